package meta

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// ReserveRequests takes a block of an account's requests of the calendar month
// that FSM time is in, UTC. Its value is a [RequestBlock].
type ReserveRequests struct {
	Account  string `cbor:"1,keyasint"`
	Requests int64  `cbor:"2,keyasint"` // wanted: above zero
}

// RequestBlock is the value of a ReserveRequests.
type RequestBlock struct {
	Requests int64 `cbor:"1,keyasint"` // granted: at least one
	Until    int64 `cbor:"2,keyasint"` // the end of the month: what is left of the block is void from then on
}

// RandomID is what makes an id unguessable, drawn by who proposes. The id is made
// when the command is applied: of the time of creation, which rises strictly
// within an account, and of this.
type RandomID [6]byte

// Limits of what an account has.
const (
	binsMax        = 1_000_000
	collectionsMax = 10_000
	schemaDocsMax  = 10_000
	leavingMax     = 16 // collections that are gone, and whose bins are still to be told
)

// RequestsMax bounds the requests of one block.
const RequestsMax = 1_000_000_000

// binAccount is what JSONBin keeps of an account beside the account itself.
type binAccount struct {
	Created     int64 `cbor:"1,keyasint"` // of the newest id
	Bins        int64 `cbor:"2,keyasint,omitempty"`
	Collections int64 `cbor:"3,keyasint,omitempty"`
	SchemaDocs  int64 `cbor:"4,keyasint,omitempty"`

	// Leaving are collections that are gone while bins are still listed under them.
	Leaving []string `cbor:"5,keyasint,omitempty"`

	Month    int64 `cbor:"6,keyasint,omitempty"` // when it begins
	Requests int64 `cbor:"7,keyasint,omitempty"` // that were given out in that month
}

func binAccountKey(account string) []byte { return key(tableBinAccounts).str(account) }

func (t *tx) binAccount(account string) (binAccount, error) {
	a, _, err := read[binAccount](t, binAccountKey(account))
	return a, err
}

func (t *tx) putBinAccount(account string, a binAccount) error {
	return write(t, binAccountKey(account), a)
}

// newID makes the id of what is created now, and returns when that is.
func (a *binAccount) newID(now int64, random RandomID) (id string, created int64) {
	a.Created = max(now, a.Created+1)
	return fmt.Sprintf("%012x%x", a.Created, random[:]), a.Created
}

// idUnused refuses an id that something in a table has: of another account,
// made in the same millisecond with the same luck.
func (t *tx) idUnused(op string, k []byte) error {
	if _, taken, err := t.get(k); err != nil || taken {
		return orRefuse(err, refuse(op, storage.KindConflict, "id_taken", nil))
	}
	return nil
}

// oneMore refuses another one of what an account has its most of.
func oneMore(op string, has, most int64) error {
	if has < most {
		return nil
	}
	return refuse(op, storage.KindForbidden, "owned_limit_reached", map[string]any{"limit": most})
}

func (t *tx) reserveRequests(h Header, c ReserveRequests) (RequestBlock, error) {
	const op = "ReserveRequests"
	if err := ownAccount(op, h, c.Account); err != nil {
		return RequestBlock{}, err
	}
	if c.Requests < 1 || c.Requests > RequestsMax {
		return RequestBlock{}, refuseField(op, "requests", "1 to 1000000000")
	}
	if _, ok, err := t.account(c.Account); err != nil || !ok {
		return RequestBlock{}, orRefuse(err, refuseMissing(op))
	}
	a, err := t.binAccount(c.Account)
	if err != nil {
		return RequestBlock{}, err
	}
	month, end := monthOf(t.time)
	quota := t.cache.settings.JSONBin.RequestsPerMonth
	if quota == 0 {
		return RequestBlock{Requests: c.Requests, Until: end}, nil
	}
	if a.Month != month {
		a.Month, a.Requests = month, 0
	}
	left := quota - a.Requests
	if left <= 0 {
		return RequestBlock{}, refuse(op, storage.KindForbidden, "quota_exhausted", map[string]any{"quota": quota, "until": end})
	}
	granted := min(c.Requests, left)
	a.Requests += granted
	return RequestBlock{Requests: granted, Until: end}, t.putBinAccount(c.Account, a)
}

// monthOf returns when the calendar month of a time begins and ends, UTC.
func monthOf(ms int64) (begin, end int64) {
	year, month, _ := time.UnixMilli(ms).UTC().Date()
	at := func(m time.Month) int64 { return time.Date(year, m, 1, 0, 0, 0, 0, time.UTC).UnixMilli() }
	return at(month), at(month + 1)
}

// binCounts folds what accounts have of JSONBin.
func binCounts(r pebble.Reader) (map[string]binAccount, error) {
	all := map[string]binAccount{}
	count := func(account string, by func(*binAccount)) {
		a := all[account]
		by(&a)
		all[account] = a
	}
	return all, errors.Join(
		fold(r, tableBins, func(b Bin) { count(b.Account, func(a *binAccount) { a.Bins++ }) }),
		fold(r, tableCollections, func(c Collection) { count(c.Account, func(a *binAccount) { a.Collections++ }) }),
		fold(r, tableSchemaDocs, func(d SchemaDoc) { count(d.Account, func(a *binAccount) { a.SchemaDocs++ }) }))
}

func fold[T any](r pebble.Reader, table byte, count func(T)) error {
	return scan(r, []byte{table}, func(k, b []byte) (bool, error) {
		var v T
		if err := decMode.Unmarshal(b, &v); err != nil {
			return false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
		}
		count(v)
		return true, nil
	})
}

// bins checks that accounts count the bins, collections and schema docs that they have.
func (a *audit) bins(r pebble.Reader) error {
	counted, err := binCounts(r)
	if err != nil {
		return err
	}
	err = scan(r, []byte{tableBinAccounts}, func(k, v []byte) (bool, error) {
		var kept binAccount
		if err := decMode.Unmarshal(v, &kept); err != nil {
			return false, fmt.Errorf("JSONBin's record of account %q: %w", k[1:], err)
		}
		id := string(k[1 : len(k)-1])
		found := counted[id]
		delete(counted, id)
		if kept.Bins != found.Bins || kept.Collections != found.Collections || kept.SchemaDocs != found.SchemaDocs {
			return false, fmt.Errorf("account %s counts %d bins, %d collections and %d schema docs, and has %d, %d and %d", id,
				kept.Bins, kept.Collections, kept.SchemaDocs, found.Bins, found.Collections, found.SchemaDocs)
		}
		return true, nil
	})
	for id := range counted {
		err = errors.Join(err, fmt.Errorf("account %s has bins, and JSONBin has no record of it", id))
	}
	return err
}

// binAccounts checks the records of accounts against the accounts, and what they say of collections that are gone.
func (c *check) binAccounts() error {
	return each(c, tableBinAccounts, func(k []byte, a binAccount) error {
		id := string(k[1 : len(k)-1])
		err := c.owner(id, "JSONBin's record of it")
		for _, collection := range a.Leaving {
			_, there, readErr := lookUp[Collection](c.r, collectionKey(collection))
			if readErr != nil {
				return readErr
			}
			if there {
				err = errors.Join(err, c.say("collection %s of account %s is there, and is noted as gone", collection, id))
			}
			if !c.waits(endOfCollection, leavingID(id, collection)) {
				err = errors.Join(err, c.say("the bins of collection %s of account %s, which is gone, wait for nothing", collection, id))
			}
		}
		return err
	})
}

// queue reads tableDue once: what waits for its end, without when.
func (c *check) queue() error {
	c.waiting = map[string]bool{}
	return scan(c.r, []byte{tableDue}, func(k, _ []byte) (bool, error) {
		if len(k) > 1+8 {
			c.waiting[string(k[1+8:])] = true
		}
		return true, nil
	})
}

// waits reports whether something waits for its end.
func (c *check) waits(end byte, id []byte) bool { return c.waiting[string(end)+string(id)] }
