package pastewizard

import (
	"context"

	"ringbin/node"
)

// tokenBody is a token as administrators see it. Its text is not in it: it is
// shown once, to who made it.
type tokenBody struct {
	TokenID            int64     `json:"token_id"`
	Name               string    `json:"name"`
	User               *userBody `json:"user"`
	Scopes             []string  `json:"scopes"`
	RateLimitPerMinute int64     `json:"rate_limit_per_minute"`
	CreatedAt          string    `json:"created_at"`
	RevokedAt          *string   `json:"revoked_at"`
}

type tokenList struct {
	OK         bool        `json:"ok"`
	Tokens     []tokenBody `json:"tokens"`
	NextCursor *string     `json:"next_cursor"`
}

type tokenMade struct {
	OK      bool   `json:"ok"`
	Token   string `json:"token"`
	TokenID int64  `json:"token_id"`
}

type tokenEdited struct {
	OK      bool  `json:"ok"`
	TokenID int64 `json:"token_id"`
}

type tokenRevoked struct {
	OK      bool `json:"ok"`
	Revoked bool `json:"revoked"`
}

// cursorBody is a cursor as answers have it: null on the last page.
func cursorBody(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

// user is an account as answers have it; null for one that is gone.
func (c *call) user(account string) *userBody {
	number, name, found := c.service().DisplayOf(account)
	if !found {
		return nil
	}
	return &userBody{number, name}
}

// account is the one whose number is sent as user_id; "" when none is.
func (d *Dialect) account(ctx context.Context, caller node.Caller, f fields) (string, error) {
	number, err := f.number("user_id", 1, numberMax)
	if err != nil || number == nil {
		return "", err
	}
	account, err := d.s.AccountByNumber(ctx, caller, *number)
	return account.ID, err
}

func (c *call) listTokens() error {
	var q node.TokenQuery
	var err error
	if q.Limit, q.Cursor, err = c.fields.paging(); err != nil {
		return err
	}
	if q.Revoked, err = c.fields.flag("revoked", false); err != nil {
		return err
	}
	if q.Account, err = c.d.account(c.r.Context(), c.caller, c.fields); err != nil {
		return err
	}
	page, err := c.service().Tokens(c.r.Context(), c.caller, q)
	if err != nil {
		return err
	}
	list := tokenList{OK: true, Tokens: []tokenBody{}, NextCursor: cursorBody(page.Next)}
	for _, k := range page.Items {
		list.Tokens = append(list.Tokens, tokenBody{
			TokenID: k.Number, Name: k.Name, User: c.user(k.Account), Scopes: k.Scopes, RateLimitPerMinute: k.RatePerMinute,
			CreatedAt: stamp(k.Created), RevokedAt: stampOrNull(k.Revoked),
		})
	}
	return c.reply(list)
}

func (c *call) createToken() error {
	var t node.NewToken
	var err error
	if t.Name, err = c.fields.name(); err != nil {
		return err
	}
	if t.Scopes, err = c.fields.scopes(); err != nil {
		return err
	}
	if t.RatePerMinute, err = c.fields.number("rate_limit_per_minute", 0, rateMax); err != nil {
		return err
	}
	if t.Account, err = c.d.account(c.r.Context(), c.caller, c.fields); err != nil {
		return err
	}
	key, token, err := c.service().CreateToken(c.r.Context(), c.caller, t)
	if err != nil {
		return err
	}
	return c.reply(tokenMade{true, token, key.Number})
}

func (c *call) editToken() error {
	number, err := c.fields.tokenID()
	if err != nil {
		return err
	}
	var p node.TokenPatch
	if p.Name, err = given(c.fields, "name", c.fields.name); err != nil {
		return err
	}
	if p.Scopes, err = given(c.fields, "scopes", c.fields.scopes); err != nil {
		return err
	}
	if p.RatePerMinute, err = c.fields.number("rate_limit_per_minute", 0, rateMax); err != nil {
		return err
	}
	key, err := c.service().EditToken(c.r.Context(), c.caller, number, p)
	if err != nil {
		return err
	}
	return c.reply(tokenEdited{true, key.Number})
}

func (c *call) revokeToken() error {
	number, err := c.fields.tokenID()
	if err != nil {
		return err
	}
	if _, err := c.service().RevokeToken(c.r.Context(), c.caller, number); err != nil {
		return err
	}
	return c.reply(tokenRevoked{true, true})
}
