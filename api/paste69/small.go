package paste69

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ringbin/api/web"
	"ringbin/node"
)

// smallMax is how large a body of shorten, PUT and key request may be.
const smallMax = 64 << 10

// Fields of the routes with small bodies.
var (
	shortenFields = []string{urlField, "title", "expires_in", "expires", "expires_at", "private"}
	expiryFields  = []string{"expires_in", "expires", "expires_at"}
	keyFields     = []string{"name", "email"}
	tokenFields   = []string{"token"}
)

// shortenForm is what POST /u takes. Title is clean, "" for none.
type shortenForm struct {
	URL, Title string
	Expiry     node.Expiry
}

// readShorten checks the URL, too, but not whether it is a short link: see checkOwn.
func readShorten(r *http.Request, now time.Time) (shortenForm, error) {
	var form shortenForm
	w, err := readSmall(r, shortenFields)
	if err != nil {
		return form, err
	}
	if form.URL, err = w.text(urlField); err != nil {
		return form, err
	}
	if err := checkURL(form.URL); err != nil {
		return form, err
	}
	if form.Title, err = w.text("title"); err != nil {
		return form, err
	}
	form.Title = cleanTitle(form.Title)
	if _, err := w.private(); err != nil {
		return form, err
	}
	form.Expiry, err = w.expiry(now)
	return form, err
}

// titleMax is the longest title in bytes.
const titleMax = 255

func cleanTitle(title string) string { return cutText(cleanText(title), titleMax) }

// readExpiry reads the new end of a paste or short link.
func readExpiry(r *http.Request, now time.Time) (node.Expiry, error) {
	w, err := readSmall(r, expiryFields)
	if err != nil {
		return node.Expiry{}, err
	}
	e, err := w.expiry(now)
	if err == nil && e == (node.Expiry{}) {
		err = invalid("expiry_missing", textNoExpiry, nil)
	}
	return e, err
}

// personMax is the longest name of a person in bytes.
const personMax = 100

// readKeyRequest reads who asks for a key.
func readKeyRequest(r *http.Request) (name, email string, err error) {
	w, err := readSmall(r, keyFields)
	if err != nil {
		return "", "", err
	}
	if email, err = w.text("email"); err != nil {
		return "", "", err
	}
	if name, err = w.text("name"); err != nil {
		return "", "", err
	}
	email = strings.Trim(email, " ")
	if email == "" {
		return "", "", invalid("email_missing", textNoEmail, nil)
	}
	if !isPlainAddress(email) {
		return "", "", invalid("email_invalid", textEmail, nil)
	}
	if name = strings.TrimSpace(cleanText(name)); len(name) > personMax {
		return "", "", invalid("name_invalid", textName, nil)
	}
	return name, email, nil
}

// readToken reads the field or query parameter; "" for none.
func readToken(r *http.Request) (string, error) {
	w, err := readSmall(r, tokenFields)
	if err != nil {
		return "", err
	}
	return w.text("token")
}

// readSmall gathers fields from a small body and the query.
func readSmall(r *http.Request, names []string) (*wishes, error) {
	if err := identityOnly(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > smallMax {
		return nil, tooLarge(smallMax)
	}
	body, err := io.ReadAll(&limitedBody{r: bodyOf(r), limit: smallMax, left: smallMax})
	if err != nil {
		return nil, bodyFault(err)
	}
	w := newWishes(r, names)
	if len(bytes.TrimSpace(body)) == 0 {
		return w, nil
	}
	src, err := smallFields(body, r.Header.Get("Content-Type"), names)
	if err != nil {
		return nil, err
	}
	if src == nil { // a lone URL
		put(w.body, urlField, wish{text: string(bytes.TrimSpace(body))})
		return w, nil
	}
	return w, w.takeAll(src, names)
}

// takeAll adds the fields of a body.
func (w *wishes) takeAll(src fields, names []string) error {
	for {
		f, err := src.next()
		if err == io.EOF { //nolint:errorlint // bare, by contract
			return nil
		}
		if err != nil {
			return bodyFault(err)
		}
		if f.name == apiKeyField {
			return invalid("invalid_api_key_place", textAPIKey, nil)
		}
		if !slices.Contains(names, f.name) {
			continue
		}
		if err := w.take(f); err != nil {
			return err
		}
	}
}

var errForeignBody = errors.New("no form of the route's")

// smallFields tells the forms of small bodies apart; nil for a lone URL.
func smallFields(body []byte, contentType string, names []string) (fields, error) {
	mediaType, _ := web.MediaType(contentType)
	switch mediaType {
	case "multipart/form-data":
		return newPartFields(bytes.NewReader(body), contentType)
	case "application/json":
		return newJSONFields(bytes.NewReader(body)), nil
	case "application/xml", "text/xml":
		return newXMLFields(bytes.NewReader(body)), testXML(body, names)
	case "", "application/x-www-form-urlencoded", "text/plain":
	default:
		return nil, badBody(errForeignBody)
	}
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")):
		return newJSONFields(bytes.NewReader(body)), nil
	case formTest(names).passes(newFormFields(bytes.NewReader(body))):
		return newFormFields(bytes.NewReader(body)), nil
	case slices.Contains(names, urlField) && checkURL(string(bytes.TrimSpace(body))) == nil:
		return nil, nil //nolint:nilnil // a form of its own
	}
	return nil, badBody(errForeignBody)
}

func testXML(body []byte, names []string) error {
	test := fieldTest{names: names, once: true, enough: func(_, _ nameSet) bool { return true }}
	if !test.passes(newXMLFields(bytes.NewReader(body))) {
		return badBody(errForeignBody)
	}
	return nil
}

// targetMax is the longest URL in bytes.
const targetMax = 8192

// checkURL says whether a URL may be the target of a short link.
func checkURL(target string) error {
	if target == "" {
		return invalid("url_missing", textNoURL, nil)
	}
	if _, err := parseTarget(target); err != nil {
		return invalid("url_invalid", textURL, err)
	}
	return nil
}

var errTarget = errors.New("not an absolute http or https URL")

func parseTarget(target string) (*url.URL, error) {
	bare := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if len(target) > targetMax || !utf8.ValidString(target) || strings.ContainsFunc(target, bare) {
		return nil, errTarget
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, errTarget // the error would tell the log what may be a secret
	}
	if _, ok := portOf(u); !ok || u.Hostname() == "" {
		return nil, errTarget
	}
	return u, nil
}

// portOf is the port that a URL leads to; ok is false for another scheme than
// http and https, and for no port at all.
func portOf(u *url.URL) (port int64, ok bool) {
	switch u.Scheme {
	case "http":
		port = 80
	case "https":
		port = 443
	default:
		return 0, false
	}
	if u.Port() == "" {
		return port, true
	}
	port, ok = web.ParseUint(u.Port(), 1<<16-1)
	return port, ok && port > 0
}

// checkOwn refuses a target that is a short link under one of the bases: the
// base_url, the URL that the request came to.
func checkOwn(target string, bases ...string) error {
	t, err := parseTarget(target)
	if err != nil {
		return invalid("url_invalid", textURL, err)
	}
	for _, base := range bases {
		b, err := parseTarget(base)
		if err == nil && sameHost(t, b) && isShortLink(t.Path, b.Path) {
			return invalid("url_own", textOwnURL, nil)
		}
	}
	return nil
}

// sameHost leaves the scheme aside: a server that has both redirects.
func sameHost(a, b *url.URL) bool {
	host := func(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".") }
	portA, _ := portOf(a)
	portB, _ := portOf(b)
	standard := (portA == 80 || portA == 443) && (portB == 80 || portB == 443)
	return host(a) == host(b) && (portA == portB || standard)
}

const shortIDLen = 6

func isShortLink(path, prefix string) bool {
	id, found := strings.CutPrefix(path, strings.TrimSuffix(prefix, "/")+"/u/")
	id = strings.TrimSuffix(id, "/")
	return found && len(id) == shortIDLen && strings.Trim(id, alphanumeric) == ""
}

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
