package paste69

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"ringbin/api/web"
	"ringbin/node"
)

// framingMax is what a body may have besides its content.
const framingMax = 1 << 20

// jsonTestMax is how large a body without a type may be and still be JSON.
const jsonTestMax = 1 << 20

// createFields are the fields of create, those with bytes to store first.
var createFields = []string{
	contentField, urlField, "filename", "extension", "ext", "expires_in", "expires", "expires_at", "private",
}

const (
	fileField    = "file"
	contentField = "content"
	urlField     = "url"
)

// createOptions are what create needs to know of its node.
type createOptions struct {
	Limit int64            // bytes of content: PasteUploadLimit of the caller
	Spool *spooler         // one for a node
	Now   func() time.Time // for the expiry
}

// create is a create request on its way in: the reader of its content.
// Options may stand before the content and after it.
type create struct {
	o      createOptions
	wishes *wishes
	query  string   // content in the query, where the body has none
	src    fields   // nil for a raw body, and at the end of any other
	spool  *spooled // nil for none

	source   string // what the content is: "" for a raw body
	value    io.Reader
	declared int64
	target   string    // what is to be fetched
	fetch    io.Closer // the fetched content
	partName string    // the file name of the part or the fetched URL

	read int64
	utf8 utf8Checker
}

// readCreate decides what a body is, and reads it up to the content.
func readCreate(r *http.Request, o createOptions) (*create, error) {
	if err := identityOnly(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > o.Limit+framingMax {
		return nil, tooLarge(o.Limit)
	}
	c := &create{o: o, wishes: newWishes(r, createFields), declared: -1}
	if said := c.wishes.query[contentField]; said.text != "" {
		c.query = said.text
	}
	delete(c.wishes.query, contentField)
	delete(c.wishes.query, urlField)
	body := &limitedBody{r: bodyOf(r), limit: o.Limit, left: o.Limit + framingMax}
	if err := c.open(r, body); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func bodyOf(r *http.Request) io.Reader {
	if r.Body == nil {
		return http.NoBody
	}
	return r.Body
}

// identityOnly refuses encoded bodies: none is ever decompressed, and what was
// compressed by the client is not what it wants to store.
func identityOnly(h http.Header) error {
	for _, v := range h.Values("Content-Encoding") {
		if v = strings.TrimSpace(v); v != "" && !strings.EqualFold(v, "identity") {
			return invalid("invalid_header", textEncoding, nil)
		}
	}
	return nil
}

// open tells the forms of bodies apart.
func (c *create) open(r *http.Request, body io.Reader) error {
	src, body, err := c.formOf(r, body)
	if err != nil {
		return err
	}
	if src != nil {
		c.src = src
		return c.find()
	}
	c.value, c.declared = body, r.ContentLength
	c.wishes.takeHeaders(r.Header)
	if err := c.queryBesideRaw(); err != nil {
		return err
	}
	return c.check(&node.NewPaste{}) // nothing follows the body that could change it
}

// formOf returns the fields of a body, or a raw one.
func (c *create) formOf(r *http.Request, body io.Reader) (fields, io.Reader, error) {
	contentType := r.Header.Get("Content-Type")
	mediaType, _ := web.MediaType(contentType)
	switch {
	case mediaType == "multipart/form-data":
		src, err := newPartFields(body, contentType)
		if err != nil {
			return nil, nil, err
		}
		return src, nil, nil
	case mediaType == "application/json":
		return newJSONFields(body), nil, nil
	case mediaType == "application/x-www-form-urlencoded":
		return c.decide(body, formTest(createFields), func(r io.Reader) fields { return newFormFields(r) })
	case mediaType == "application/xml", mediaType == "text/xml":
		return c.decide(body, createXMLTest, func(r io.Reader) fields { return newXMLFields(r) })
	case strings.TrimSpace(contentType) == "" && !namesFile(r):
		return c.decide(body, createJSONTest, func(r io.Reader) fields {
			return newJSONFields(&limitedBody{r: r, left: jsonTestMax})
		})
	}
	return nil, body, nil
}

var (
	createXMLTest = fieldTest{
		names: createFields, once: true,
		enough: func(seen, _ nameSet) bool { return seen[contentField] || seen[urlField] },
	}
	createJSONTest = fieldTest{
		names:  createFields,
		enough: func(_, filled nameSet) bool { return filled[contentField] || filled[urlField] },
	}
)

// namesFile is for bodies without a type: who names the file uploads a file.
func namesFile(r *http.Request) bool {
	q := r.URL.Query()
	return q.Get("filename") != "" || q.Get("extension") != "" || q.Get("ext") != "" ||
		r.Header.Get("X-Filename") != "" || r.Header.Get("X-Extension") != ""
}

// decide reads a body as a form. If it is one, its fields are read once more;
// if not, the body is.
func (c *create) decide(body io.Reader, test fieldTest, open func(io.Reader) fields) (fields, io.Reader, error) {
	c.spool = c.o.Spool.keep(body)
	isForm := test.passes(open(c.spool))
	if err := c.spool.fault(); err != nil {
		return nil, nil, err
	}
	again, err := c.spool.again()
	if err != nil {
		return nil, nil, err
	}
	if isForm {
		return open(again), nil, nil
	}
	return nil, again, nil
}

// queryBesideRaw takes the content from the query where the body is empty.
func (c *create) queryBesideRaw() error {
	if c.query == "" {
		return nil
	}
	value, some, err := filled(c.value)
	switch {
	case err != nil:
		return err
	case some:
		c.value = value
		return tooManySources()
	}
	c.takeQuery()
	return nil
}

func (c *create) takeQuery() {
	c.source, c.value, c.declared = contentField, strings.NewReader(c.query), int64(len(c.query))
}

func tooManySources() error { return invalid("too_many_sources", textOneSource, nil) }

// find goes on to the content, and takes in the fields before it.
func (c *create) find() error {
	for c.value == nil && c.src != nil {
		if err := c.advance(); err != nil {
			return err
		}
	}
	if c.value != nil {
		return nil
	}
	return c.notInBody()
}

// advance takes in the next field; c.src is nil after the last.
func (c *create) advance() error {
	f, err := c.src.next()
	if err == io.EOF { //nolint:errorlint // bare, by contract
		c.src = nil
		return nil
	}
	if err != nil {
		return bodyFault(err)
	}
	return c.field(f)
}

// notInBody is for a body that ended without content.
func (c *create) notInBody() error {
	switch {
	case c.target != "" && c.query != "":
		return tooManySources()
	case c.target != "":
		return nil
	case c.query == "":
		return invalid("no_file", textNoFile, nil)
	}
	c.takeQuery()
	return nil
}

// field takes in one field: c.value is set once it is the content.
func (c *create) field(f *field) error {
	switch {
	case f.name == apiKeyField:
		return invalid("invalid_api_key_place", textAPIKey, nil)
	case f.name == fileField && c.isParts():
		return c.file(f)
	case f.name == contentField:
		return c.content(f)
	case f.name == urlField:
		return c.url(f)
	case slices.Contains(createFields, f.name):
		return c.wishes.take(f)
	}
	return nil // what nobody knows is skipped
}

func (c *create) isParts() bool {
	_, parts := c.src.(*partFields)
	return parts
}

// file takes in a part of that name. Without a name and empty, it is what a
// browser sends for a file that was not chosen.
func (c *create) file(f *field) error {
	value, some, err := filled(f.value)
	switch {
	case err != nil:
		return err
	case !some && f.file && f.filename == "":
		return nil
	case c.source == fileField:
		return invalid("too_many_files", textOneFile, nil)
	case c.source != "" || c.target != "" || c.query != "":
		return tooManySources()
	case !some:
		value = strings.NewReader("")
	}
	c.source, c.value, c.partName = fileField, value, f.filename
	return nil
}

func (c *create) content(f *field) error {
	if f.kind != textField {
		return badBody(errors.New("content is not a string"))
	}
	value, some, err := filled(f.value)
	switch {
	case err != nil:
		return err
	case !some || c.source == contentField: // the first one counts
		return nil
	case c.source != "" || c.target != "":
		return tooManySources()
	}
	c.source, c.value = contentField, value
	return nil
}

func (c *create) url(f *field) error {
	if f.kind != textField {
		return badBody(errors.New("url is not a string"))
	}
	text, err := f.text()
	switch {
	case err != nil:
		return err
	case text == "" || c.target != "":
		return nil
	case c.source != "":
		return tooManySources()
	}
	c.target = text
	return nil
}

// Read reads the content.
func (c *create) Read(p []byte) (int, error) {
	if c.value == nil {
		return 0, io.EOF
	}
	n, err := c.value.Read(p)
	c.read += int64(n)
	c.utf8.write(p[:n])
	switch {
	case c.read > c.o.Limit:
		return n, tooLarge(c.o.Limit)
	case err != nil && err != io.EOF: // bare at the regular end only
		return n, bodyFault(err)
	}
	return n, err
}

// URL is what is to be fetched; "" where the request has content of its own.
func (c *create) URL() string { return c.target }

// fetched gives a create by URL its content, which close closes.
func (c *create) fetched(body io.ReadCloser, name string) {
	c.source, c.value, c.fetch, c.partName = urlField, body, body, name
}

// size is the content's declared size, -1 when it has none.
func (c *create) size() int64 { return c.declared }

// finish is node's AfterBody: it takes in what follows the content, and then
// knows what was asked for.
func (c *create) finish(p *node.NewPaste) error {
	for c.src != nil {
		if err := c.advance(); err != nil {
			return err
		}
	}
	if c.read == 0 {
		return invalid("empty_file", textEmptyFile, nil)
	}
	return c.check(p)
}

// check fills in what the options say.
func (c *create) check(p *node.NewPaste) error {
	var err error
	if p.Private, err = c.wishes.private(); err != nil {
		return err
	}
	if p.Expiry, err = c.wishes.expiry(c.o.Now()); err != nil {
		return err
	}
	names, err := c.wishes.texts("filename")
	if err != nil {
		return err
	}
	extensions, err := c.wishes.texts("extension", "ext")
	if err != nil {
		return err
	}
	p.UTF8 = c.utf8.valid() && sniff(p.Head).text // a PDF may be valid UTF-8 and is no text
	described := describe(append(names, c.partName), extensions, p.Head)
	p.Filename, p.Extension, p.MediaType = described.name, described.extension, described.mediaType
	return nil
}

// close gives back disk and connections.
func (c *create) close() {
	if c.spool != nil {
		c.spool.close()
	}
	if c.fetch != nil {
		_ = c.fetch.Close() // it was read
	}
}

// limitedBody fails above a limit. Where limit is 0 it is no more than that:
// the body is not one of the small ones.
type limitedBody struct {
	r           io.Reader
	limit, left int64
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if l.left -= int64(n); l.left >= 0 {
		return n, err
	}
	l.left = 0
	if l.limit == 0 {
		return 0, errors.New("above the limit of a test")
	}
	return 0, tooLarge(l.limit)
}
