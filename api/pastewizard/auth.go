package pastewizard

import (
	"net/http"
	"strings"

	"ringbin/node"
	"ringbin/storage"
)

// enter lets pass who shows a token that counts, and is within its limit.
func (c *call) enter() error {
	token, err := c.token()
	if err != nil {
		return err
	}
	if c.caller, err = c.service().Authenticate(c.r.Context(), node.APIPasteWizard, token); err != nil {
		c.caller = node.Caller{}
		return err
	}
	return c.service().AdmitToken(c.r.Context(), c.caller)
}

// token is the first text that was sent as a token, and is not empty; "" for
// none. The body is read for it only if there is none elsewhere.
func (c *call) token() (string, error) {
	if scheme, token, ok := strings.Cut(c.r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "bearer") {
		if token = strings.TrimSpace(token); token != "" {
			return token, nil
		}
	}
	if token := c.query["token"].text; token != "" || c.r.Method != http.MethodPost {
		return token, nil
	}
	body, err := c.body()
	if err != nil && storage.KindOf(err) != storage.KindInvalid {
		return "", err
	}
	return body["token"].text, nil // of no fields, if they can't be read
}
