package hashbin

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

type accountJSON struct {
	ID           string `json:"id"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	BalanceCents int64  `json:"balance_cents"`
	Disabled     bool   `json:"disabled"`
	Role         string `json:"role"`   // in PasteWizard
	Number       *int64 `json:"number"` // there, too; null: it has none yet
	Created      string `json:"created"`
}

// The roles of an account.
const (
	roleUser  = "user"
	roleAdmin = "admin"
)

func renderAccount(a node.Account) accountJSON {
	shown := accountJSON{
		ID: a.ID, Email: a.Email, Name: a.Name, BalanceCents: a.BalanceCents, Disabled: a.Disabled, Role: roleUser, Created: stamp(a.Created),
	}
	if a.Admin {
		shown.Role = roleAdmin
	}
	if a.Number != 0 {
		shown.Number = &a.Number
	}
	return shown
}

// replayed tells that an earlier request with the same Idempotency-Key did the work.
func replayed(w http.ResponseWriter, was bool) {
	if was {
		w.Header().Set("Idempotency-Replayed", "true")
	}
}

// idempotency reads the header; body is what makes the request the same beside
// method, path and query.
func idempotency(r *http.Request, body string) (*node.Idempotency, error) {
	key, sent, ok := web.IdempotencyKey(r.Header)
	if !ok {
		return nil, storage.Invalid("hashbin.idempotency", "invalid_header", "Idempotency-Key", "1 to 255 printable ASCII characters")
	}
	if !sent {
		return nil, nil //nolint:nilnil // most requests have none
	}
	return &node.Idempotency{Key: key, Request: r.Method + " " + r.URL.EscapedPath() + "?" + r.URL.RawQuery + "\n" + body}, nil
}

func required(op string, in *web.Object, v *string, name string) (string, error) {
	if err := in.Err(); err != nil {
		return "", err
	}
	if v == nil {
		return "", storage.Invalid(op, "invalid_parameter", name, "required")
	}
	return *v, nil
}

func (d *dialect) createAccount(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	const op = "hashbin.createAccount"
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	email, name, balance := in.String("email"), in.String("name"), in.Int("balance_cents")
	var a node.NewAccount
	if a.Email, err = required(op, in, email, "email"); err != nil {
		return err
	}
	if a.Name, err = required(op, in, name, "name"); err != nil {
		return err
	}
	if balance != nil {
		a.BalanceCents = *balance
	}
	idem, err := idempotency(r, in.Canonical())
	if err != nil {
		return err
	}
	made, again, err := d.s.CreateAccount(r.Context(), c, a, idem)
	if err != nil {
		return err
	}
	replayed(w, again)
	return answer(w, http.StatusCreated, renderAccount(made))
}

func (d *dialect) listAccounts(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	limit, at, err := web.Paging(r.URL.Query(), pageDefault, pageMost)
	if err != nil {
		return err
	}
	page, err := d.s.Accounts(r.Context(), c, r.URL.Query().Get("email"), limit, at)
	if err != nil {
		return err
	}
	out := struct {
		Accounts []accountJSON `json:"accounts"`
		Next     *string       `json:"next_cursor"`
	}{Accounts: make([]accountJSON, 0, len(page.Items)), Next: cursor(page.Next)}
	for _, a := range page.Items {
		out.Accounts = append(out.Accounts, renderAccount(a))
	}
	return answer(w, http.StatusOK, out)
}

func (d *dialect) updateAccount(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	const op = "hashbin.updateAccount"
	patch := node.AccountPatch{Disabled: in.Bool("disabled"), Name: in.String("name"), Email: in.String("email"), QuotaBytes: in.Int("quota_bytes")}
	role := in.String("role")
	if err := in.Err(); err != nil {
		return err
	}
	if role != nil {
		if *role != roleUser && *role != roleAdmin {
			return storage.Invalid(op, "invalid_parameter", "role", "one of: user, admin")
		}
		patch.Admin = new(*role == roleAdmin)
	}
	if patch == (node.AccountPatch{}) {
		return storage.Invalid(op, "invalid_parameter", "disabled", "any of disabled, name, email, quota_bytes, role is required")
	}
	a, err := d.s.UpdateAccount(r.Context(), c, p.ByName("id"), patch)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, renderAccount(a))
}

func (d *dialect) deposit(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	const op = "hashbin.deposit"
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	amount, reference := in.Int("amount_cents"), in.String("reference")
	ref, err := required(op, in, reference, "reference")
	if err != nil {
		return err
	}
	if amount == nil {
		return storage.Invalid(op, "invalid_parameter", "amount_cents", "required: a positive integer")
	}
	idem, err := idempotency(r, in.Canonical())
	if err != nil {
		return err
	}
	got, again, err := d.s.Deposit(r.Context(), c, p.ByName("id"), *amount, ref, idem)
	if err != nil {
		return err
	}
	replayed(w, again)
	return answer(w, http.StatusOK, struct {
		ID           string `json:"id"`
		AccountID    string `json:"account_id"`
		AmountCents  int64  `json:"amount_cents"`
		BalanceAfter int64  `json:"balance_after_cents"`
		Reference    string `json:"reference"`
		CreatedAt    string `json:"created_at"`
	}{got.EntryID, got.Account, got.AmountCents, got.BalanceAfterCents, got.Reference, stamp(got.Created)})
}

func (d *dialect) createKeyFor(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	k := node.NewKey{API: node.APIHashBin}
	if api := in.String("api"); api != nil {
		k.API = *api
	}
	if scopes := in.Strings("scopes"); scopes != nil {
		k.Scopes = *scopes
	}
	if rate := in.Int("rate_limit_per_minute"); rate != nil {
		k.RatePerMinute = rate
	}
	return d.makeKey(w, r, c, p.ByName("id"), in, k)
}

func (d *dialect) blockContent(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	block, reason := in.Bool("block"), in.String("reason")
	if err := in.Err(); err != nil {
		return err
	}
	text := ""
	if reason != nil {
		text = *reason
	}
	res, err := d.s.BlockContent(r.Context(), c, cid, block == nil || *block, text)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		CID     string `json:"cid"`
		Blocked bool   `json:"blocked"`
	}{res.CID.String(), res.Blocked})
}

func (d *dialect) takedowns(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	limit, at, err := web.Paging(r.URL.Query(), pageDefault, pageMost)
	if err != nil {
		return err
	}
	page, err := d.s.Takedowns(r.Context(), c, limit, at)
	if err != nil {
		return err
	}
	type entry struct {
		CID     string `json:"cid"`
		Blocked bool   `json:"blocked"`
		Reason  string `json:"reason"`
		At      string `json:"at"`
		Index   uint64 `json:"index"`
	}
	out := struct {
		Takedowns []entry `json:"takedowns"`
		Next      *string `json:"next_cursor"`
	}{Takedowns: make([]entry, 0, len(page.Items)), Next: cursor(page.Next)}
	for _, t := range page.Items {
		out.Takedowns = append(out.Takedowns, entry{t.CID.String(), t.Block, t.Reason, stamp(t.Time), t.Index})
	}
	return answer(w, http.StatusOK, out)
}

func (d *dialect) settings(w http.ResponseWriter, _ *http.Request, _ httprouter.Params, _ node.Caller) error {
	return d.writeSettings(w, d.s.Settings())
}

func (d *dialect) writeSettings(w http.ResponseWriter, s node.Settings) error {
	if s.CORSOrigins == nil {
		s.CORSOrigins = []string{}
	}
	return answer(w, http.StatusOK, s)
}

func (d *dialect) setSettings(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	patch := node.SettingsPatch{
		MaxUploadBytes: in.Int("max_upload_bytes"), PriceCentsPerGiB: in.Int("price_cents_per_gib_month"),
		RateKeyPerMinute: in.Int("rate_limit_key_per_minute"), RateIPPerMinute: in.Int("rate_limit_ip_per_minute"),
		CORSOrigins: in.Strings("cors_origins"), AdminAPI: in.Bool("admin_api"),
		QuotaBytes: in.Int("quota_bytes"), AnonymousQuotaBytes: in.Int("anonymous_quota_bytes"),
		Copies: small(in.Int("copies")), VoterTarget: small(in.Int("voter_target")),
		DeletionGraceSeconds: in.Int("deletion_grace_seconds"),
		Paste69:              web.Decode[node.Paste69Patch](in, "paste69"),
		JSONBin:              web.Decode[node.JSONBinPatch](in, "jsonbin"),
		PasteWizard:          web.Decode[node.PasteWizardPatch](in, "pastewizard"),
	}
	if err := in.Err(); err != nil {
		return err
	}
	if unknown := in.Unasked(); unknown != "" {
		return storage.Invalid("hashbin.setSettings", "invalid_parameter", unknown, "is not a setting")
	}
	s, err := d.s.SetSettings(r.Context(), c, patch)
	if err != nil {
		return err
	}
	return d.writeSettings(w, s)
}

func small(v *int64) *int {
	if v == nil {
		return nil
	}
	n := int(min(max(*v, -1), 1<<30))
	return &n
}

func (d *dialect) clusterStatus(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	s, err := d.s.ClusterStatus(r.Context(), c)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, s)
}

func (d *dialect) removeNode(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	id := p.ByName("id")
	if err := d.s.RemoveNode(r.Context(), c, storage.NodeID(id)); err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		ID      string `json:"id"`
		Removed bool   `json:"removed"`
	}{id, true})
}
