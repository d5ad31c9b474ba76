package paste69

import (
	"strings"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// apiKey is the key that the request carries; "" for none.
func (c *call) apiKey() string {
	if scheme, value, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		if key := strings.TrimSpace(value); key != "" {
			return key
		}
	}
	if key := strings.TrimSpace(c.r.Header.Get("X-Api-Key")); key != "" {
		return key
	}
	return c.r.URL.Query().Get("api_key")
}

// deleteKey is the delete key that the request carries; "" for none.
func (c *call) deleteKey() string {
	if key := c.params.ByName("key"); key != "" {
		return key
	}
	if key := c.r.Header.Get("X-Delete-Key"); key != "" {
		return key
	}
	return c.r.URL.Query().Get("key")
}

// enter finds who asks, and takes one request from the bucket that stands for them.
func (c *call) enter(w who, rate node.RateClass) error {
	refused := c.identify(w)
	if err := c.admit(rate); err != nil {
		return err
	}
	if storage.CodeOf(refused) != "auth_missing" {
		return c.wrongSecret(refused)
	}
	return refused
}

// identify finds the caller as far as the route wants to know.
func (c *call) identify(w who) error {
	key := c.apiKey()
	if w == nobody || key == "" && w != keyOnly {
		return nil
	}
	caller, err := c.service().Authenticate(c.r.Context(), node.APIPaste69, key)
	if err != nil && w == reader {
		if storage.KindOf(err) != storage.KindUnauthenticated {
			c.unsure = err
		}
		return nil
	}
	c.caller = caller
	return err
}

// needKey refuses a request of nobody.
func (c *call) needKey() error {
	if c.caller.Account == "" {
		return &storage.Error{Op: "paste69.needKey", Kind: storage.KindUnauthenticated, Code: "auth_missing"}
	}
	return nil
}

// admit takes one request: from the key's bucket where there is a good one,
// else from the address's.
func (c *call) admit(rate node.RateClass) error {
	return c.service().Admit(rate, c.caller, web.ClientAddr(c.r, c.service().Config().TrustedProxies))
}

// wrongSecret counts what failed with a secret in hand against the address that
// tried it. err is what it failed with; nil is handed on.
func (c *call) wrongSecret(err error) error {
	if kind := storage.KindOf(err); kind != storage.KindUnauthenticated && kind != storage.KindNotFound {
		return err
	}
	limited := c.service().Admit(node.RateWrongSecrets, node.Caller{}, web.ClientAddr(c.r, c.service().Config().TrustedProxies))
	if limited != nil {
		return limited
	}
	return err
}

// byDeleteKey is wrongSecret for a call that took the request's delete key. A
// key that is not right and a thing that is not there count alike: whose
// counting ended would tell that there is a private paste.
func (c *call) byDeleteKey(err error) error {
	if c.deleteKey() == "" {
		return err
	}
	return c.wrongSecret(err)
}

// named gives the error of a thing that is not there the sentence for what it
// would be. Where it is not known whether the key would open it, that is said.
func (c *call) named(err error, sentence string) error {
	if storage.KindOf(err) != storage.KindNotFound {
		return err
	}
	if c.unsure != nil {
		return c.unsure
	}
	return &storage.Error{Op: "paste69.named", Kind: storage.KindNotFound, Text: sentence, Err: err}
}

// The sentences of things that are not there.
const (
	noPaste = "Paste not found or expired"
	noLink  = "Shortlink not found or expired"
	noToken = "Invalid or expired verification token" //nolint:gosec // a sentence, no token
)
