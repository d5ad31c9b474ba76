package pastewizard

import (
	"net/http"
	"net/url"

	"ringbin/node"
)

// tokensShown is how many tokens stand on a page.
const tokensShown = 50

// tokenList reads a part of the tokens of an account, or of all, for a page
// whose route is path; query is what that page was asked with.
func (v *visit) tokenList(path, account string, query fields) (tokensPage, error) {
	page := tokensPage{DefaultLimit: v.service().Settings().PasteWizard.RateLimitDefault}
	q := node.TokenQuery{Account: account, Limit: tokensShown}
	var err error
	if q.Revoked, err = query.flag("revoked", false); err != nil {
		return page, err
	}
	if q.Cursor, err = query.text("cursor"); err != nil {
		return page, err
	}
	list, err := v.service().Tokens(v.r.Context(), v.caller, q)
	if err != nil {
		return page, err
	}
	page.Revoked = q.Revoked
	for _, key := range list.Items {
		row := tokenRow{Key: key}
		row.User, row.UserName, _ = v.service().DisplayOf(key.Account)
		page.Tokens = append(page.Tokens, row)
	}
	page.Back = tokensQuery(query)
	if list.Next != "" {
		query["cursor"] = textOf(list.Next)
		page.Next = path + tokensQuery(query)
	}
	delete(query, "cursor")
	if delete(query, "revoked"); !q.Revoked {
		query["revoked"] = textOf("1")
	}
	page.Other = path + tokensQuery(query)
	return page, nil
}

// tokensQuery writes what a list of tokens was asked with as a query, "?" in
// front; "" for nothing.
func tokensQuery(asked fields) string {
	query := url.Values{}
	for _, name := range []fieldName{"user_id", "revoked", "cursor"} {
		if text := asked[name].text; text != "" {
			query.Set(string(name), text)
		}
	}
	if len(query) == 0 {
		return ""
	}
	return "?" + query.Encode()
}

func (v *visit) showKeys() error {
	page, err := v.tokenList(keysPath, v.caller.Account, v.query())
	if err != nil {
		return err
	}
	page.New = choice{userScopes, userScopes}
	return v.render("keys", "My API Keys", page)
}

// changeKeys makes a token of who is logged in, with the limit that all have,
// or revokes one.
func (v *visit) changeKeys() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	switch form["action"].text {
	case "create":
		return v.createToken(node.NewToken{Scopes: form.ticked(userScopes)}, form, keysPath)
	case "revoke":
		return v.revokeToken(form, keysPath)
	}
	return invalid("action")
}

// ticked are the scopes of a form that are ticked.
func (f fields) ticked(offered []string) []string {
	var scopes []string
	for _, scope := range offered {
		if f["scope_"+fieldName(scope)].text == "1" {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// createToken makes a token and shows it, this once.
func (v *visit) createToken(t node.NewToken, form fields, back string) (err error) {
	if t.Name, err = form.name(); err != nil {
		return err
	}
	if len(t.Scopes) == 0 {
		return invalid("scopes")
	}
	key, token, err := v.service().CreateToken(v.r.Context(), v.caller, t)
	if err != nil {
		return err
	}
	return v.render("created", "Your new token", createdPage{Token: token, Name: key.Name, Number: key.Number, Back: back})
}

func (v *visit) revokeToken(form fields, back string) error {
	number, err := form.tokenID()
	if err != nil {
		return err
	}
	if _, err := v.service().RevokeToken(v.r.Context(), v.caller, number); err != nil {
		return err
	}
	return v.redirect(http.StatusSeeOther, back)
}
