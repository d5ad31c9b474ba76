package hashbin

import (
	"net/http"
	"strconv"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// Paging of lists.
const (
	pageDefault = 50
	pageMost    = 100
)

func (d *dialect) session(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	a, err := d.s.Account(r.Context(), c)
	if err != nil {
		return err
	}
	type user struct {
		ID    string `json:"id"`
		Email string `json:"email"`
		Name  string `json:"name"`
	}
	return answer(w, http.StatusOK, struct {
		Authenticated bool `json:"authenticated"`
		User          user `json:"user"`
	}{true, user{a.ID, a.Email, a.Name}})
}

// answer sends JSON that no cache may keep.
func answer(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Cache-Control", "no-store")
	return web.WriteJSON(w, status, v)
}

type keyJSON struct {
	ID       string  `json:"id"`
	Name     string  `json:"name"`
	Created  string  `json:"created"`
	Expires  string  `json:"expires"`
	LastUsed *string `json:"lastUsed"`
}

func (d *dialect) listKeys(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	keys, err := d.s.Keys(r.Context(), c, node.APIHashBin)
	if err != nil {
		return err
	}
	out := struct {
		Keys []keyJSON `json:"keys"`
	}{Keys: make([]keyJSON, 0, len(keys))}
	for _, k := range keys {
		j := keyJSON{ID: k.ID, Name: k.Name, Created: stamp(k.Created), Expires: stamp(k.Expires)}
		if k.LastUsed != 0 {
			used := stamp(k.LastUsed)
			j.LastUsed = &used
		}
		out.Keys = append(out.Keys, j)
	}
	return answer(w, http.StatusOK, out)
}

type newKeyJSON struct {
	ID      string  `json:"id"`
	Key     string  `json:"key"`
	Name    string  `json:"name"`
	Created string  `json:"created"`
	Expires *string `json:"expires"` // null, never, in other APIs only
}

func (d *dialect) createKey(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	return d.makeKey(w, r, c, c.Account, in, node.NewKey{API: node.APIHashBin})
}

// makeKey reads what both ways to make a key have in common.
func (d *dialect) makeKey(w http.ResponseWriter, r *http.Request, c node.Caller, account string, in *web.Object, k node.NewKey) error {
	name, days := in.String("name"), in.Int("expiresInDays")
	if err := in.Err(); err != nil {
		return err
	}
	switch {
	case name != nil:
		k.Name = *name
	case k.API != node.APIJSONBin && k.API != node.APIPasteWizard: // they have a name for one without
		return storage.Invalid("hashbin.makeKey", "invalid_parameter", "name", "required: 1 to 100 characters")
	}
	if days != nil {
		n := int(min(*days, 1<<30))
		k.ExpiresInDays = &n
	}
	key, secret, err := d.s.CreateKey(r.Context(), c, account, k)
	if err != nil {
		return err
	}
	made := newKeyJSON{ID: key.ID, Key: secret, Name: key.Name, Created: stamp(key.Created)}
	if key.Expires != 0 {
		expires := stamp(key.Expires)
		made.Expires = &expires
	}
	return answer(w, http.StatusOK, made)
}

func (d *dialect) revokeKey(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	k, err := d.s.RevokeKey(r.Context(), c, c.Account, p.ByName("id"))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		ID      string `json:"id"`
		Revoked bool   `json:"revoked"`
	}{k.ID, true})
}

func (d *dialect) balance(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	a, err := d.s.Account(r.Context(), c)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Cents     int64  `json:"balance_cents"`
		Formatted string `json:"balance_formatted"`
	}{a.BalanceCents, money(a.BalanceCents)})
}

type entryJSON struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	AmountCents  int64  `json:"amount_cents"`
	BalanceAfter int64  `json:"balance_after_cents"`
	CID          string `json:"cid,omitempty"`
	CreatedAt    string `json:"created_at"`
}

func (d *dialect) history(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	limit, at, err := web.Paging(r.URL.Query(), pageDefault, pageMost)
	if err != nil {
		return err
	}
	page, err := d.s.History(r.Context(), c, limit, at)
	if err != nil {
		return err
	}
	out := struct {
		Entries []entryJSON `json:"entries"`
		Next    *string     `json:"next_cursor"`
	}{Entries: make([]entryJSON, 0, len(page.Items)), Next: cursor(page.Next)}
	for _, e := range page.Items {
		j := entryJSON{ID: e.ID, Type: e.Type, AmountCents: e.AmountCents, BalanceAfter: e.BalanceAfterCents, CreatedAt: stamp(e.Created)}
		if e.CID != nil {
			j.CID = e.CID.String()
		}
		out.Entries = append(out.Entries, j)
	}
	return answer(w, http.StatusOK, out)
}

// wish is what a price is asked for, as it was sent.
type wish struct{ size, months, days *int64 }

func (d *dialect) calculateBody(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	d.listed(w, r)
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	q := wish{in.Int("size_bytes"), in.Int("retention_months"), in.Int("retention_days")}
	if err := in.Err(); err != nil {
		return err
	}
	return d.calculate(w, q)
}

func (d *dialect) calculateQuery(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	d.listed(w, r)
	query := r.URL.Query()
	var faults []web.Fault
	integer := func(name string) *int64 {
		if !query.Has(name) {
			return nil
		}
		n, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil {
			faults = append(faults, web.Fault{Field: name, Want: "must be an integer"})
			return nil
		}
		return &n
	}
	q := wish{integer("size_bytes"), integer("retention_months"), integer("retention_days")}
	if err := web.Faults("hashbin.calculate", web.CodeInvalidParameter, faults...); err != nil {
		return err
	}
	return d.calculate(w, q)
}

func (d *dialect) calculate(w http.ResponseWriter, q wish) error {
	const op = "hashbin.calculate"
	if q.size == nil || *q.size < 0 || *q.size > storage.ContentMax {
		return storage.Invalid(op, "invalid_parameter", "size_bytes", "integer from 0 to 2^48-1")
	}
	days, err := retention(op, q)
	if err != nil {
		return err
	}
	cost := d.s.Quote(*q.size, days)
	return answer(w, http.StatusOK, struct {
		Size      int64  `json:"size_bytes"`
		Months    int    `json:"retention_months"`
		Days      int    `json:"retention_days"`
		Cost      int64  `json:"cost_cents"`
		Formatted string `json:"cost_formatted"`
	}{*q.size, days / daysOfMonth, days, cost, money(cost)})
}

// Months are 30 days here; the most is what 36,500 days hold.
const (
	daysOfMonth = 30
	monthsMost  = 1216
)

func retention(op string, q wish) (int, error) {
	switch {
	case q.months != nil && q.days != nil:
		return 0, storage.Invalid(op, "invalid_parameter", "retention_days", "instead of retention_months, not beside it")
	case q.days != nil:
		if *q.days < 1 || *q.days%daysOfMonth != 0 || *q.days > monthsMost*daysOfMonth {
			return 0, storage.Invalid(op, "invalid_parameter", "retention_days", "a positive multiple of 30, at most 36480")
		}
		return int(*q.days), nil
	case q.months == nil || *q.months < 1 || *q.months > monthsMost:
		return 0, storage.Invalid(op, "invalid_parameter", "retention_months", "integer from 1 to 1216")
	}
	return int(*q.months) * daysOfMonth, nil
}
