package paste69

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"ringbin/api/web"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := enc.Encode(m.name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// union is an answer's members in their two forms: as data holds them, and flat
// beside it. Both have the same names.
type union struct {
	data, flat object
	base       string
	absolute   bool // URLs in data, too
}

// union is an empty one for this request: URLs in data are relative on main
// routes and absolute on aliases.
func (c *call) union() *union { return &union{base: c.base(), absolute: c.alias} }

// like is another empty one for the same request.
func (u *union) like() *union { return &union{base: u.base, absolute: u.absolute} }

// put adds a member that is the same in both.
func (u *union) put(name string, value any) { u.split(name, value, value) }

// split adds a member that differs.
func (u *union) split(name string, data, flat any) {
	u.data = append(u.data, member{name, data})
	u.flat = append(u.flat, member{name, flat})
}

// link adds a URL of this server.
func (u *union) link(name, path string) { u.split(name, u.inData(path), u.base+path) }

// inData is a URL of this server as data has it.
func (u *union) inData(path string) string {
	if u.absolute {
		return u.base + path
	}
	return path
}

// items are members of a list, in their two forms.
func items[T any](u *union, all []T, add func(*union, T)) (data, flat []object) {
	data, flat = []object{}, []object{}
	for _, v := range all {
		one := u.like()
		add(one, v)
		data, flat = append(data, one.data), append(flat, one.flat)
	}
	return data, flat
}

// send answers with the union; message may be empty. What stands in answers
// is somebody's own or a secret: nobody keeps it.
func (c *call) send(u *union, message string) error {
	out := object{{"success", true}}
	if message != "" {
		out = append(out, member{"message", message})
	}
	out = append(out, member{"data", u.data})
	return c.sendObject(append(out, u.flat...))
}

// done answers with a message alone.
func (c *call) done(message string) error {
	return c.sendObject(object{{"success", true}, {"message", message}})
}

func (c *call) sendObject(o object) error {
	c.secretHeaders()
	return web.WriteJSON(c.w, http.StatusOK, o)
}

// secretHeaders are those of answers that hold a secret, or what is somebody's own.
func (c *call) secretHeaders() {
	h := c.w.Header()
	h.Set("Cache-Control", "private, no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Robots-Tag", "noindex")
}

// stamp renders a time: UTC, whole seconds.
func stamp(ms int64) string {
	return time.UnixMilli(ms).UTC().Truncate(time.Second).Format(time.RFC3339)
}

// stampOrNull is null for a time that is not.
func stampOrNull(ms int64) any {
	if ms == 0 {
		return nil
	}
	return stamp(ms)
}
