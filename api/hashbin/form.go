package hashbin

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"ringbin/node"
	"ringbin/storage"
)

const formType = "multipart/form-data"

// Limits of a form.
const (
	partsMax = 32
	fieldMax = 64 << 10 // bytes of a part that is not the content
)

// formBody is the one part named content of a multipart form, as a stream.
// Fields may stand before it and after it.
type formBody struct {
	parts *multipart.Reader
	seen  int
	keep  *retentionWishes
	part  *multipart.Part // the content, once found
	typ   string          // its declared type
	ended bool
}

func readForm(r *http.Request, keep *retentionWishes) (*formBody, error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, storage.Invalid("hashbin.form", "invalid_header", "Content-Type", "a multipart form needs a boundary")
	}
	return &formBody{parts: multipart.NewReader(r.Body, params["boundary"]), keep: keep}, nil
}

func missingContent(want string) error {
	return storage.Invalid("hashbin.form", "missing_content", "content", want)
}

// Read reads the content. Its faults are the client's own, with a Kind.
func (f *formBody) Read(p []byte) (int, error) {
	if f.part == nil {
		if err := f.find(); err != nil {
			return 0, err
		}
	}
	n, err := f.part.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		f.ended = true
		return n, io.EOF
	case err != nil:
		return n, formFault(err)
	}
	return n, nil
}

// find goes on to the content and takes in the fields before it.
func (f *formBody) find() error {
	for {
		part, err := f.next()
		switch {
		case err != nil:
			return err
		case part == nil:
			return missingContent("required: one part of that name")
		case part.FormName() == "content":
			f.part, f.typ = part, part.Header.Get("Content-Type")
			return nil
		}
		if err := f.field(part); err != nil {
			return err
		}
	}
}

// next returns the next part, nil after the last.
func (f *formBody) next() (*multipart.Part, error) {
	if f.seen++; f.seen > partsMax {
		return nil, missingContent("a form has at most 32 parts")
	}
	part, err := f.parts.NextRawPart()
	if err == io.EOF { // bare at the final boundary, wrapped where the body broke off
		return nil, nil //nolint:nilnil // the end is the ordinary answer
	}
	if err != nil {
		return nil, formFault(err)
	}
	return part, nil
}

// field takes in a part that is not the content.
func (f *formBody) field(part *multipart.Part) error {
	b, err := io.ReadAll(io.LimitReader(part, fieldMax+1))
	switch {
	case err != nil:
		return formFault(err)
	case len(b) > fieldMax:
		name := part.FormName()
		details := map[string]any{name: "at most 64 KiB"} // first: the part may be called max_bytes
		details["max_bytes"] = fieldMax
		return &storage.Error{Op: "hashbin.form", Kind: storage.KindTooLarge, Code: "payload_too_large", Field: name, Details: details}
	case part.FormName() == "retention_months":
		return f.keep.addMonths(string(b))
	}
	return nil
}

// after takes in what follows the content, and then knows what was asked for.
func (f *formBody) after(u *node.Upload) error {
	if f.part == nil || !f.ended {
		return missingContent("required: one part of that name")
	}
	for {
		part, err := f.next()
		if err != nil {
			return err
		}
		if part == nil {
			break
		}
		if part.FormName() == "content" {
			return missingContent("one part of that name only")
		}
		if err := f.field(part); err != nil {
			return err
		}
	}
	u.ContentType = declaredType(f.typ)
	if u.Idem != nil {
		u.Idem.Request += " " + u.ContentType
	}
	var err error
	u.Days, err = f.keep.days()
	return err
}

// formFault is a form that broke off. The error below hides an io.EOF that
// would look like the content's regular end.
func formFault(err error) error {
	return &storage.Error{Op: "hashbin.form", Kind: storage.KindInvalid, Code: "incomplete_body", Err: errors.New(err.Error())}
}
