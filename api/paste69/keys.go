package paste69

import (
	"net/http"

	"ringbin/node"
	"ringbin/storage"
)

// messages tell where a requested key, or the link to it, went.
var messages = map[string]string{
	"email":    "Please check your email to verify your API key",
	"log":      "The verification link was written to the server log",
	"response": "API key created",
}

func (c *call) requestKey() error {
	name, email, err := readKeyRequest(c.r)
	if err != nil {
		return err
	}
	made, err := c.service().RequestKey(c.r.Context(), name, email)
	if err != nil {
		return err
	}
	u := c.union()
	u.put("email", email)
	u.put("delivery", made.Delivery)
	if made.Secret != "" {
		u.put("api_key", made.Secret)
	}
	return c.send(u, messages[made.Delivery])
}

// verifyKey takes the link of a mail, or tells a key about itself.
func (c *call) verifyKey() error {
	token := c.r.URL.Query().Get("token")
	switch {
	case token == "":
		return c.describeKey()
	case isBrowser(c.r) || c.r.Method == http.MethodHead:
		return c.askToRedeem(token) // scanners of mail follow links: nothing is used up
	}
	return c.redeem(token)
}

func (c *call) askToRedeem(token string) error {
	name, email, err := c.service().PendingKey(c.r.Context(), token)
	if err := c.wrongSecret(c.named(err, noToken)); err != nil {
		return err
	}
	if isBrowser(c.r) {
		return c.d.pages.token(c.w, c.r, tokenPage{site: c.site(), Token: token, Name: name, Email: email})
	}
	c.secretHeaders()
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// redeemToken is what the page's button posts.
func (c *call) redeemToken() error {
	token, err := readToken(c.r)
	if err != nil {
		return err
	}
	return c.redeem(token)
}

func (c *call) redeem(token string) error {
	secret, name, email, err := c.service().RedeemToken(c.r.Context(), token)
	if err := c.wrongSecret(c.named(err, noToken)); err != nil {
		return err
	}
	if isBrowser(c.r) {
		return c.d.pages.key(c.w, c.r, keyPage{site: c.site(), Key: secret, Name: name, Email: email})
	}
	u := c.union()
	u.put("api_key", secret)
	u.put("name", name)
	u.put("email", email)
	return c.send(u, "API key verified")
}

func (c *call) describeKey() error {
	if err := c.identify(keyOnly); err != nil {
		if storage.CodeOf(err) == "auth_missing" {
			return err
		}
		return c.wrongSecret(err)
	}
	k, err := c.service().KeyInfo(c.r.Context(), c.caller)
	if err != nil {
		return err
	}
	u := c.union()
	u.put("valid", true)
	u.put("name", k.Name)
	u.put("email", k.Email)
	u.put("email_verified", k.EmailVerified)
	u.put("created_at", stamp(k.Created))
	u.put("max_upload_size", k.MaxUpload)
	u.put("retention_days", object{{"min", k.MinDays}, {"max", k.MaxDays}})
	return c.send(u, "")
}

// keysMode is how keys are given out, as the docs page tells it.
func keysMode(cfg node.Config, settings node.Settings) string {
	if cfg.SMTP.Host != "" {
		return "email"
	}
	return settings.Paste69.KeysMode
}
