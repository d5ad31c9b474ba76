package paste69

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
)

// Limits of a multipart body.
const (
	partsMax      = 100
	partHeaderMax = 64 << 10 // bytes between two parts' values
)

// partFields are the parts of a multipart form.
type partFields struct {
	parts *multipart.Reader
	body  *meteredReader
	part  *multipart.Part
	seen  int
}

var errNoBoundary = malformed("multipart", "no boundary")

// newPartFields reads a multipart body; its boundary is in contentType.
func newPartFields(r io.Reader, contentType string) (*partFields, error) {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil, badBody(errNoBoundary)
	}
	body := &meteredReader{r: r}
	return &partFields{parts: multipart.NewReader(body, params["boundary"]), body: body}, nil
}

func (f *partFields) next() (*field, error) {
	if f.part != nil {
		if err := skip(f.part); err != nil {
			return nil, err
		}
	}
	if f.seen++; f.seen > partsMax {
		return nil, malformed("multipart", "above 100 parts")
	}
	// The part before is read to its end: what is read now is headers.
	f.body.metered, f.body.left = true, partHeaderMax
	part, err := f.parts.NextRawPart()
	f.body.metered = false
	if err == io.EOF { // bare at the final boundary, wrapped where the body broke off
		return nil, io.EOF
	}
	if err != nil {
		return nil, hideEOF(err)
	}
	f.part = part
	_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition")) // else: a part without a name
	name, named := params["filename"]
	return &field{name: part.FormName(), value: part, file: named, filename: name}, nil
}

// hideEOF keeps an error that wraps io.EOF from looking like the regular end.
func hideEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return malformed("multipart", err.Error())
	}
	return err
}

// meteredReader bounds what may be read while it is metered.
type meteredReader struct {
	r       io.Reader
	metered bool
	left    int
}

func (m *meteredReader) Read(p []byte) (int, error) {
	if !m.metered {
		return m.r.Read(p)
	}
	if m.left <= 0 {
		return 0, malformed("multipart", "headers above 64 KiB")
	}
	n, err := m.r.Read(p[:min(len(p), m.left)])
	m.left -= n
	return n, err
}
