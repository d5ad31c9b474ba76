package hashbin

import (
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

type callerHandler func(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error

// asCaller answers requests that carry an API key.
func (d *dialect) asCaller(h callerHandler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		d.listed(w, r)
		c, err := d.s.Authenticate(r.Context(), node.APIHashBin, credentials(r))
		if err != nil {
			return d.refused(w, r, err)
		}
		rate, err := d.s.AdmitCaller(c)
		web.SetRate(w.Header(), rate)
		if err != nil {
			return err
		}
		return h(w, r, p, c)
	}
}

// asOperator answers requests that carry the operator's token. On the public
// port the endpoints may be switched off: then they are unknown to everybody.
func (d *dialect) asOperator(h callerHandler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		if !d.private && !d.s.Settings().AdminAPI {
			return &storage.Error{Op: "hashbin.asOperator", Kind: storage.KindNotFound, Code: web.CodeEndpointNotFound}
		}
		d.listed(w, r)
		token := bearer(r)
		if token == "" {
			token = r.Header.Get("X-Admin-Token")
		}
		c, err := d.s.AuthenticateOperator(r.Context(), token)
		if err != nil {
			return d.refused(w, r, err)
		}
		return h(w, r, p, c)
	}
}

// asPublic answers anybody. A key only chooses the bucket that is counted.
func (d *dialect) asPublic(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
		if secret := credentials(r); secret != "" {
			if c, err := d.s.Authenticate(r.Context(), node.APIHashBin, secret); err == nil {
				rate, err := d.s.AdmitCaller(c)
				web.SetRate(w.Header(), rate)
				if err != nil {
					return err
				}
				return h(w, r, p)
			}
		}
		if err := d.admitAddr(w, r); err != nil {
			return err
		}
		return h(w, r, p)
	}
}

// refused counts a request with no or bad credentials against its address.
func (d *dialect) refused(w http.ResponseWriter, r *http.Request, err error) error {
	if storage.KindOf(err) != storage.KindUnauthenticated {
		return err
	}
	if limited := d.admitAddr(w, r); limited != nil {
		return limited
	}
	return err
}

func (d *dialect) admitAddr(w http.ResponseWriter, r *http.Request) error {
	rate, err := d.s.AdmitAddr(web.ClientAddr(r, d.s.Config().TrustedProxies))
	web.SetRate(w.Header(), rate)
	return err
}

// credentials are the key that a request carries: in Authorization, as Bearer
// or ApiKey, or, only without that header, in X-API-Key.
func credentials(r *http.Request) string {
	if len(r.Header.Values("Authorization")) == 0 {
		return r.Header.Get("X-API-Key")
	}
	if key := bearer(r); key != "" {
		return key
	}
	if key := scheme(r, "apikey"); key != "" {
		return key
	}
	return "malformed" // a header is there, and is no key: invalid, not missing
}

func bearer(r *http.Request) string { return scheme(r, "bearer") }

func scheme(r *http.Request, want string) string {
	name, value, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(name, want) {
		return ""
	}
	return strings.TrimSpace(value)
}
