package paste69

import (
	"errors"
	"net/http"
	"time"

	"ringbin/node"
)

// wish is what one source says of a field.
type wish struct {
	text string
	kind fieldKind
}

// wishes gathers the options of a request by where they stand, the source that
// counts most first: body, query, header. Of a repeated name the first value
// counts; an empty one is none, but for private: what was to be private must
// not become public because its value got lost.
type wishes struct {
	body, query, header map[string]wish
}

func newWishes(r *http.Request, names []string) *wishes {
	w := &wishes{body: map[string]wish{}, query: map[string]wish{}}
	query := r.URL.Query() // what is not well-formed is left out
	for _, name := range names {
		for _, text := range query[name] {
			put(w.query, name, wish{text: text})
		}
	}
	return w
}

func put(into map[string]wish, name string, v wish) {
	if _, given := into[name]; given || v.kind == textField && v.text == "" && name != "private" {
		return
	}
	into[name] = v
}

// take adds a field of the body.
func (w *wishes) take(f *field) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	put(w.body, f.name, wish{text, f.kind})
	return nil
}

// optionHeaders are the fields that a raw body's request may have as headers.
var optionHeaders = map[string]string{
	"filename": "X-Filename", "extension": "X-Extension",
	"expires_in": "X-Expires-In", "expires_at": "X-Expires-At", "private": "X-Private",
}

func (w *wishes) takeHeaders(h http.Header) {
	w.header = map[string]wish{}
	for name, header := range optionHeaders {
		for _, text := range h.Values(header) {
			put(w.header, name, wish{text: text})
		}
	}
}

// all returns what is said under some names, the alias last, by what counts most.
func (w *wishes) all(names ...string) []wish {
	var found []wish
	for _, source := range []map[string]wish{w.body, w.query, w.header} {
		for _, name := range names {
			if v, given := source[name]; given {
				found = append(found, v)
			}
		}
	}
	return found
}

// texts is all where only text will do.
func (w *wishes) texts(names ...string) ([]string, error) {
	var texts []string
	for _, v := range w.all(names...) {
		if v.kind != textField {
			return nil, badBody(errors.New(names[0] + " is not a string"))
		}
		texts = append(texts, v.text)
	}
	return texts, nil
}

// text is the text that counts, "" for none.
func (w *wishes) text(names ...string) (string, error) {
	texts, err := w.texts(names...)
	if err != nil || len(texts) == 0 {
		return "", err
	}
	return texts[0], nil
}

// private is false where nothing is said.
func (w *wishes) private() (bool, error) {
	said := w.all("private")
	if len(said) == 0 {
		return false, nil
	}
	if said[0].kind != otherField {
		switch lower(said[0].text) {
		case "true", "1", "on", "yes":
			return true, nil
		case "false", "0", "off", "no":
			return false, nil
		}
	}
	return false, invalid("invalid_private", textPrivate, nil)
}

// expiry is the end that is wished for, the zero Expiry where nothing is said.
// All sources together may say it in one way only.
func (w *wishes) expiry(now time.Time) (node.Expiry, error) {
	in, alias, at := w.all("expires_in"), w.all("expires"), w.all("expires_at")
	if len(at) > 0 && len(in)+len(alias) > 0 {
		return node.Expiry{}, invalid("expiry_twice", textTwoExpiries, nil)
	}
	if len(at) > 0 {
		return parseWish(at[0], now, parseExpiresAt)
	}
	var said node.Expiry
	for i, list := range [][]wish{alias, in} {
		if len(list) == 0 {
			continue
		}
		e, err := parseWish(list[0], now, parseExpiresIn)
		if err != nil {
			return node.Expiry{}, err
		}
		if i > 0 && len(alias) > 0 && e != said {
			return node.Expiry{}, invalid("expiry_twice", textTwoExpiries, nil)
		}
		said = e
	}
	return said, nil
}

func parseWish(v wish, now time.Time, parse func(string, time.Time) (node.Expiry, error)) (node.Expiry, error) {
	if v.kind != textField {
		return node.Expiry{}, badExpiry(errors.New("not a string"))
	}
	return parse(v.text, now)
}
