package meta

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// Collection is what an account gathers bins in.
type Collection struct {
	ID        string `cbor:"1,keyasint"`
	Account   string `cbor:"2,keyasint"`
	Name      string `cbor:"3,keyasint"`
	SchemaDoc string `cbor:"4,keyasint,omitempty"` // that its bins' records are validated by; empty: none
	Created   int64  `cbor:"5,keyasint"`
}

// CreateCollection makes a collection; its value is a [Collection].
type CreateCollection struct {
	Account string   `cbor:"1,keyasint"`
	Random  RandomID `cbor:"2,keyasint"`
	Name    string   `cbor:"3,keyasint"`
}

// RenameCollection gives a collection another name; its value is a [Collection].
type RenameCollection struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
	Name    string `cbor:"3,keyasint"`
}

// DeleteCollection removes a collection. Its bins are in none from then on. Its
// value is the [Collection] that is gone.
type DeleteCollection struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
}

// AttachSchema attaches a schema doc to a collection, in the place of the one
// that was; without a SchemaDoc it detaches that one. Its value is an [Attached].
type AttachSchema struct {
	Account    string `cbor:"1,keyasint"`
	Collection string `cbor:"2,keyasint"`
	SchemaDoc  string `cbor:"3,keyasint,omitempty"`
}

// Attached is the value of an AttachSchema.
type Attached struct {
	Collection Collection `cbor:"1,keyasint"` // after it
	SchemaDoc  SchemaDoc  `cbor:"2,keyasint"` // that was attached, or detached
}

func collectionKey(id string) []byte { return key(tableCollections).str(id) }

func collectionsOf(account string) keyBuilder { return key(tableCollectionsOf).str(account) }

// collection returns an account's collection.
func (t *tx) collection(op, account, id string) (Collection, error) {
	c, ok, err := read[Collection](t, collectionKey(id))
	if err != nil || !ok || c.Account != account {
		return Collection{}, orRefuse(err, refuse(op, storage.KindNotFound, "collection_not_found", nil))
	}
	return c, nil
}

// ownCollection is collection for who acts.
func (t *tx) ownCollection(op string, h Header, account, id string) (Collection, error) {
	if err := ownAccount(op, h, account); err != nil {
		return Collection{}, err
	}
	return t.collection(op, account, id)
}

// validated refuses a record that was not validated by the schema that the
// collection it is for has now.
func (t *tx) validated(op, collection, doc string, revision uint64) error {
	c, _, err := read[Collection](t, collectionKey(collection))
	if err != nil {
		return err
	}
	var d SchemaDoc
	if c.SchemaDoc != "" {
		var ok bool
		if d, ok, err = read[SchemaDoc](t, schemaDocKey(c.SchemaDoc)); err != nil || !ok {
			return orFatal(err, "collection of a schema doc that is not there")
		}
	}
	if doc != d.ID || revision != d.Revision {
		return refuse(op, storage.KindConflict, "schema_changed", nil)
	}
	return nil
}

func (t *tx) createCollection(h Header, c CreateCollection) (Collection, error) {
	const op = "CreateCollection"
	if err := ownAccount(op, h, c.Account); err != nil {
		return Collection{}, err
	}
	if _, ok, err := t.account(c.Account); err != nil || !ok {
		return Collection{}, orRefuse(err, refuseMissing(op))
	}
	has, err := t.binAccount(c.Account)
	if err != nil {
		return Collection{}, err
	}
	if err := oneMore(op, has.Collections, collectionsMax); err != nil {
		return Collection{}, err
	}
	id, created := has.newID(t.time, c.Random)
	if err := t.idUnused(op, collectionKey(id)); err != nil {
		return Collection{}, err
	}
	has.Collections++
	t.counts.Collections++
	t.countsOld = true
	n := Collection{ID: id, Account: c.Account, Name: c.Name, Created: created}
	return n, errors.Join(t.putBinAccount(c.Account, has), t.set(collectionsOf(n.Account).str(n.ID), nil), write(t, collectionKey(id), n))
}

func (t *tx) renameCollection(h Header, c RenameCollection) (Collection, error) {
	n, err := t.ownCollection("RenameCollection", h, c.Account, c.ID)
	if err != nil {
		return Collection{}, err
	}
	n.Name = c.Name
	return n, write(t, collectionKey(n.ID), n)
}

func (t *tx) deleteCollection(h Header, c DeleteCollection) (Collection, error) {
	const op = "DeleteCollection"
	n, err := t.ownCollection(op, h, c.Account, c.ID)
	if err != nil {
		return Collection{}, err
	}
	has, err := t.binAccount(n.Account)
	if err != nil {
		return Collection{}, err
	}
	prefix := binsOf(n.Account, n.ID)
	bins, err := keysIn(t.rows(), prefix, past(prefix), 1)
	if err != nil {
		return Collection{}, err
	}
	if len(bins) > 0 {
		if len(has.Leaving) >= leavingMax {
			return Collection{}, refuse(op, storage.KindUnavailable, "busy", nil)
		}
		has.Leaving = append(has.Leaving, n.ID)
		if err := t.setEnd(t.time, endOfCollection, leavingID(n.Account, n.ID)); err != nil {
			return Collection{}, err
		}
	}
	has.Collections--
	t.counts.Collections--
	t.countsOld = true
	return n, errors.Join(t.putBinAccount(n.Account, has), t.del(collectionsOf(n.Account).str(n.ID)), t.del(collectionKey(n.ID)))
}

// leavingID names a collection that is gone while bins are still listed under it.
func leavingID(account, collection string) []byte {
	return keyBuilder(nil).str(account).raw([]byte(collection))
}

// endCollection lists up to limit bins of a collection that is gone where bins
// without one are, and returns how many records it changed. They are there for
// all who read since the collection went. The row goes with the last bin.
func (t *tx) endCollection(row, id []byte, limit int) (int, error) {
	account, collection, ok := strings.Cut(string(id), "\x00")
	if !ok {
		return 0, fmt.Errorf("%w: collection %x", errCorruptState, id)
	}
	prefix := binsOf(account, collection)
	keys, err := keysIn(t.rows(), prefix, past(prefix), limit)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		b, ok, err := binAt(t.rows(), string(k[len(prefix):len(k)-1]))
		if err != nil || !ok {
			return 0, orFatal(err, "list of a bin that is not there")
		}
		if err := t.putBin(b); err != nil {
			return 0, err
		}
	}
	if len(keys) == limit {
		return limit, nil // there may be more
	}
	has, err := t.binAccount(account)
	if err != nil {
		return 0, err
	}
	has.Leaving = slices.DeleteFunc(has.Leaving, func(id string) bool { return id == collection })
	return len(keys) + 1, errors.Join(t.putBinAccount(account, has), t.del(row))
}

func (t *tx) attachSchema(h Header, c AttachSchema) (Attached, error) {
	const op = "AttachSchema"
	n, err := t.ownCollection(op, h, c.Account, c.Collection)
	if err != nil {
		return Attached{}, err
	}
	id := c.SchemaDoc
	if id == "" {
		id = n.SchemaDoc
	}
	d, err := t.schemaDoc(op, n.Account, id)
	if err != nil {
		return Attached{}, err
	}
	n.SchemaDoc = c.SchemaDoc
	return Attached{Collection: n, SchemaDoc: d}, write(t, collectionKey(n.ID), n)
}

// Collection returns a collection.
func (f *FSM) Collection(id string) (c Collection, found bool, err error) {
	err = f.view("Collection", func(r pebble.Reader) error {
		c, found, err = lookUp[Collection](r, collectionKey(id))
		return err
	})
	return c, found, err
}

// CollectionsOf lists all of an account's collections, oldest first.
func (f *FSM) CollectionsOf(account string) (all []Collection, err error) {
	err = f.viewAtOnce("CollectionsOf", func(r pebble.Reader) error {
		prefix := collectionsOf(account)
		return scan(r, prefix, func(k, _ []byte) (bool, error) {
			c, ok, err := lookUp[Collection](r, collectionKey(string(k[len(prefix):len(k)-1])))
			if err != nil || !ok {
				return false, orFatal(err, "list of a collection that is not there")
			}
			all = append(all, c)
			return true, nil
		})
	})
	return all, err
}

// collections checks each collection against its rows elsewhere.
func (c *check) collections() error {
	err := each(c, tableCollections, func(_ []byte, n Collection) error {
		problem := errors.Join(
			c.must(collectionsOf(n.Account).str(n.ID), nil, "collection %s in the list of account %s", n.ID, n.Account),
			c.owner(n.Account, "collection "+n.ID))
		if n.SchemaDoc == "" {
			return problem
		}
		return errors.Join(problem, c.must(schemaDocKey(n.SchemaDoc), nil, "schema doc %s of collection %s", n.SchemaDoc, n.ID))
	})
	return errors.Join(err, c.rowsAre(tableCollectionsOf, c.rows[tableCollections], "the lists of collections"))
}

// leaving reports whether a collection whose bins are to be told is gone.
func (c *check) leaving(id []byte) (bool, error) {
	account, collection, _ := strings.Cut(string(id), "\x00")
	a, _, err := lookUp[binAccount](c.r, binAccountKey(account))
	return slices.Contains(a.Leaving, collection), err
}
