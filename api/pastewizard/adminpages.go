package pastewizard

import (
	"net/http"
	"net/url"
	"strings"

	"ringbin/node"
)

// The pages of administrators: what the endpoints for tokens and logs do.

func (v *visit) showTokens() error {
	query := v.query()
	user := query["user_id"].text
	account, err := v.d.account(v.r.Context(), v.caller, query)
	if err != nil {
		return err
	}
	page, err := v.tokenList(tokensPath, account, query)
	if err != nil {
		return err
	}
	page.User, page.New = user, choice{adminScopes, userScopes}
	return v.render("tokens", "API Tokens", page)
}

func (v *visit) changeTokens() error {
	form, err := v.form()
	if err != nil {
		return err
	}
	back := tokensPath + tokensQuery(parseForm(strings.TrimPrefix(form["back"].text, "?")))
	switch form["action"].text {
	case "create":
		return v.createAnyToken(form)
	case "edit":
		return v.editToken(form, back)
	case "revoke":
		return v.revokeToken(form, back)
	}
	return invalid("action")
}

// createAnyToken makes a token for any account.
func (v *visit) createAnyToken(form fields) error {
	form = form.filled()
	t := node.NewToken{Scopes: form.ticked(adminScopes)}
	var err error
	if t.Account, err = v.d.account(v.r.Context(), v.caller, form); err != nil {
		return err
	}
	if t.RatePerMinute, err = form.number("rate_limit_per_minute", 0, rateMax); err != nil {
		return err
	}
	return v.createToken(t, form, tokensPath)
}

// editToken sets all that can be changed of a token.
func (v *visit) editToken(form fields, back string) error {
	number, err := form.tokenID()
	if err != nil {
		return err
	}
	name, err := form.name()
	if err != nil {
		return err
	}
	limit, err := form.number("rate_limit_per_minute", 0, rateMax)
	if err != nil {
		return err
	}
	scopes := form.ticked(adminScopes)
	if len(scopes) == 0 {
		return invalid("scopes")
	}
	patch := node.TokenPatch{Name: &name, Scopes: &scopes, RatePerMinute: limit}
	if _, err := v.service().EditToken(v.r.Context(), v.caller, number, patch); err != nil {
		return err
	}
	return v.redirect(http.StatusSeeOther, back)
}

// logFilters are the fields of the form above the logs.
func logFilters(asked fields) []filter {
	all := []filter{
		{"from", "From (UTC)", "", "2026-11-22 09:00:00"},
		{"to", "To, not in it", "", "2026-11-22 10:00:00"},
		{"token_id", "Token", "", "7"},
		{"user_id", "User", "", "123"},
		{"endpoint", "Endpoint", "", "paste.php"},
		{"status", "Status", "", "200"},
		{"ip", "Address", "", "203.0.113.9"},
	}
	for i := range all {
		all[i].Value = asked[fieldName(all[i].Name)].text
	}
	return all
}

func (v *visit) showLogs() error {
	query := v.query()
	q, err := query.logQuery()
	if err != nil {
		return err
	}
	list, err := v.service().RequestLogs(v.r.Context(), v.caller, q)
	if err != nil {
		return err
	}
	page := logsPage{Filters: logFilters(query), Logs: list.Logs, Missing: list.Missing}
	if list.Next != "" {
		next := url.Values{"cursor": {list.Next}}
		for _, field := range page.Filters {
			if field.Value != "" {
				next.Set(field.Name, field.Value)
			}
		}
		page.Next = logsPath + "?" + next.Encode()
	}
	return v.render("logs", "API Logs", page)
}
