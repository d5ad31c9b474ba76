package meta

import (
	"errors"
	"strings"

	"ringbin/storage"
)

func (t *tx) account(id string) (Account, bool, error) {
	return read[Account](t, key(tableAccounts).str(id))
}

func (t *tx) putAccount(a Account) error { return write(t, key(tableAccounts).str(a.ID), a) }

// anonymous is the account of references that nobody pays for. It has no
// record and no balance; only its bytes are counted.
const anonymous = ""

// holder is the account that references are counted for, the anonymous one included.
func (t *tx) holder(id string) (Account, bool, error) {
	if id != anonymous {
		return t.account(id)
	}
	used, _, err := read[int64](t, single(singleUnpaid))
	return Account{UsedBytes: used}, true, err
}

func (t *tx) putHolder(a Account) error {
	if a.ID != anonymous {
		return t.putAccount(a)
	}
	return write(t, single(singleUnpaid), a.UsedBytes)
}

// ownAccount refuses a key that acts for another account than its own, nobody
// included: what it does then would cost it nothing.
func ownAccount(op string, h Header, account string) error {
	if h.Actor != (Actor{}) && h.Actor.Account != account {
		return refuse(op, storage.KindForbidden, "not_own_account", nil)
	}
	return nil
}

func emailKey(email string) []byte { return key(tableEmails).str(strings.ToLower(email)) }

func (t *tx) emailTaken(email, by string) error {
	owner, ok, err := t.get(emailKey(email))
	if err != nil {
		return err
	}
	if ok && string(owner) != by {
		return refuse("emailTaken", storage.KindConflict, "email_taken", nil)
	}
	return nil
}

func (t *tx) createAccount(_ Header, c CreateAccount) (Account, error) {
	const op = "CreateAccount"
	if err := t.emailTaken(c.Email, ""); err != nil {
		return Account{}, err
	}
	if err := t.accountFree(op, c.ID); err != nil {
		return Account{}, err
	}
	if c.BalanceCents < 0 || c.BalanceCents > balanceMax {
		return Account{}, refuseField(op, "balance_cents", "0 to 2^53-1")
	}
	a := Account{ID: c.ID, Email: c.Email, Name: c.Name, Created: t.time}
	if c.BalanceCents > 0 {
		e := Entry{
			ID: c.EntryID, Debit: ledgerCash, Credit: customer(c.ID), Kind: kindDeposit, AmountCents: c.BalanceCents,
			Reference: "opening balance of " + c.ID,
		}
		if err := t.post(&a, e); err != nil {
			return a, err
		}
	}
	if c.Numbered {
		if err := t.number(&a); err != nil {
			return a, err
		}
	}
	return a, t.addAccount(a)
}

// accountFree refuses an id that an account has, or can't have.
func (t *tx) accountFree(op, id string) error {
	if _, taken, err := t.account(id); err != nil || taken || id == "" || strings.ContainsRune(id, 0) {
		return orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
	}
	return nil
}

// addAccount writes a new account. One without an address is in no index of them.
func (t *tx) addAccount(a Account) error {
	t.counts.Accounts++
	t.countsOld = true
	if a.Email != "" {
		if err := t.set(emailKey(a.Email), []byte(a.ID)); err != nil {
			return err
		}
	}
	return t.putAccount(a)
}

func orRefuse(err error, refusal *storage.Error) error {
	if err != nil {
		return err
	}
	return refusal
}

func (t *tx) updateAccount(_ Header, c UpdateAccount) (Account, error) {
	const op = "UpdateAccount"
	a, ok, err := t.account(c.ID)
	if err != nil || !ok {
		return a, orRefuse(err, refuseMissing(op))
	}
	if c.Email != nil {
		if err := t.emailTaken(*c.Email, c.ID); err != nil {
			return a, err
		}
		if err := t.del(emailKey(a.Email)); err != nil {
			return a, err
		}
		if err := t.set(emailKey(*c.Email), []byte(c.ID)); err != nil {
			return a, err
		}
		a.Email = *c.Email
	}
	if c.Name != nil {
		a.Name = *c.Name
	}
	if c.Disabled != nil {
		a.Disabled = *c.Disabled
	}
	if c.QuotaBytes != nil {
		a.QuotaBytes = *c.QuotaBytes
	}
	patch(&a.Admin, c.Admin)
	return a, t.putAccount(a)
}

// keysMax is the number of active keys that an account may have in each API.
const keysMax = 25

const dayMillis = 86_400_000

func keysOf(account, api string) keyBuilder { return key(tableKeysOf).str(account).str(api) }

func (t *tx) createKey(_ Header, c CreateKey) (Key, error) {
	const op = "CreateKey"
	if c.Days < 0 || c.Days > daysAheadMax {
		return Key{}, refuseField(op, "days", "0 to 36500")
	}
	if _, ok, err := t.account(c.Account); err != nil || !ok {
		return Key{}, orRefuse(err, refuseMissing(op))
	}
	k := Key{
		ID: c.ID, Account: c.Account, API: c.API, Name: c.Name, Hash: c.Hash,
		Created: t.wholeSeconds(), // expiry counts from what is shown
		Scopes:  c.Scopes, RatePerMinute: c.RatePerMinute,
	}
	if c.Days > 0 {
		k.Expires = k.Created + int64(c.Days)*dayMillis
	}
	if err := t.keyFree(op, k); err != nil {
		return Key{}, err
	}
	return k, t.addKey(k)
}

// keyFree refuses a key whose id or hash another one has, and one too many.
func (t *tx) keyFree(op string, k Key) error {
	for _, taken := range [][]byte{key(tableKeyHashes).raw(k.Hash[:]), key(tableKeys).str(k.ID)} {
		if _, taken, err := t.get(taken); err != nil || taken {
			return orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
		}
	}
	active, err := t.activeKeys(k.Account, k.API)
	if err != nil {
		return err
	}
	if active >= keysMax {
		return refuse(op, storage.KindInvalid, "key_limit_reached", map[string]any{"limit": int64(keysMax), "active": active})
	}
	return nil
}

// addKey writes a new key with its indexes.
func (t *tx) addKey(k Key) error {
	t.counts.Keys++
	t.countsOld = true
	if err := t.set(key(tableKeyHashes).raw(k.Hash[:]), []byte(k.ID)); err != nil {
		return err
	}
	if err := t.set(keysOf(k.Account, k.API).str(k.ID), nil); err != nil {
		return err
	}
	return t.putKey(k)
}

func (t *tx) putKey(k Key) error { return write(t, key(tableKeys).str(k.ID), k) }

func (t *tx) activeKeys(account, api string) (int64, error) {
	var ids []string
	prefix := keysOf(account, api)
	err := scan(t.rows(), prefix, func(k, _ []byte) (bool, error) {
		ids = append(ids, string(k[len(prefix):len(k)-1]))
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	var active int64
	for _, id := range ids {
		k, ok, err := read[Key](t, key(tableKeys).str(id))
		if err != nil {
			return 0, err
		}
		if ok && k.Revoked == 0 && (k.Expires == 0 || k.Expires > t.time) {
			active++
		}
	}
	return active, nil
}

func (t *tx) revokeKey(_ Header, c RevokeKey) (Key, error) {
	k, ok, err := read[Key](t, key(tableKeys).str(c.ID))
	if err != nil || !ok || k.Account != c.Account || k.Revoked != 0 && k.Expires != 0 && k.Expires <= t.time {
		return Key{}, orRefuse(err, refuseMissing("RevokeKey"))
	}
	return t.revoke(k)
}

// revoke revokes a key, with its sessions. One that was revoked stays as it was.
func (t *tx) revoke(k Key) (Key, error) {
	if k.Revoked != 0 {
		return k, nil
	}
	k.Revoked = t.time
	return k, errors.Join(t.endSessions(k.ID), t.putKey(k))
}

// touchMax bounds the keys of one TouchKeys.
const touchMax = 1000

func (t *tx) touchKeys(_ Header, c TouchKeys) (none, error) {
	if len(c.Used) > touchMax {
		return none{}, refuseField("TouchKeys", "used", "at most 1000")
	}
	return none{}, t.touch(c.Used)
}

func (t *tx) touch(used []KeyUse) error {
	for _, u := range used {
		k, ok, err := read[Key](t, key(tableKeys).str(u.ID))
		if err != nil {
			return err
		}
		if !ok || u.Time <= k.LastUsed {
			continue
		}
		k.LastUsed = u.Time
		if err := t.putKey(k); err != nil {
			return err
		}
	}
	return nil
}
