package meta

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// view runs a read on the database as it is.
func (f *FSM) view(op string, look func(r pebble.Reader) error) error {
	f.life.RLock()
	defer f.life.RUnlock()
	err := look(f.db)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*storage.Error](err); ok {
		return err
	}
	return storage.E("meta."+op, storage.KindInternal, err)
}

// viewAtOnce is view for a read of several records that have to be of one
// state: an entry may be applied between two looks.
func (f *FSM) viewAtOnce(op string, look func(r pebble.Reader) error) error {
	return f.view(op, func(pebble.Reader) error {
		snap := f.db.NewSnapshot()
		return errors.Join(look(snap), snap.Close())
	})
}

// lookUp decodes the record under a key.
func lookUp[T any](r pebble.Reader, key []byte) (v T, found bool, err error) {
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	defer func() { _ = closer.Close() }()
	if err := decMode.Unmarshal(b, &v); err != nil {
		return v, false, fmt.Errorf("%w: key %x: %w", errCorruptState, key, err)
	}
	return v, true, nil
}

func lookUpID(r pebble.Reader, key []byte) (string, bool, error) {
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	id := string(b)                 // a copy, made before the database takes its memory back
	return id, true, closer.Close() //nolint:wrapcheck // a read of Pebble's that ended
}

// readHot returns a record that is kept decoded, or else looks for it and keeps
// what it finds.
func readHot[K comparable, V any](f *FSM, op string, kept *recent[K, V], k K, look func(r pebble.Reader) (V, bool, error)) (v V, found bool, err error) {
	v, found, drops := kept.get(k)
	if found {
		return v, true, nil
	}
	err = f.view(op, func(r pebble.Reader) error {
		if v, found, err = look(r); found && err == nil {
			kept.put(k, v, drops)
		}
		return err
	})
	return v, found, err
}

// Account returns an account.
func (f *FSM) Account(id string) (Account, bool, error) {
	return readHot(f, "Account", &f.hot.accounts, id, func(r pebble.Reader) (Account, bool, error) {
		return lookUp[Account](r, key(tableAccounts).str(id))
	})
}

// AccountByEmail returns the account with an address, in whatever case.
func (f *FSM) AccountByEmail(email string) (a Account, found bool, err error) {
	err = f.view("AccountByEmail", func(r pebble.Reader) error {
		id, ok, err := lookUpID(r, emailKey(email))
		if err != nil || !ok {
			return err
		}
		a, found, err = lookUp[Account](r, key(tableAccounts).str(id))
		return err
	})
	return a, found, err
}

// Accounts lists accounts by id. The cursor is the last one's; next is "" on the last page.
func (f *FSM) Accounts(cursor string, limit int) (page []Account, next string, err error) {
	err = f.view("Accounts", func(r pebble.Reader) error {
		page, next, err = list(r, []byte{tableAccounts}, cursor, limit, func(_, v []byte) (a Account, ok bool, err error) {
			return a, true, decMode.Unmarshal(v, &a)
		})
		return err
	})
	return page, next, err
}

// list pages through a prefix. A cursor is the key of the last item behind the
// prefix: what is added or removed meanwhile neither repeats nor hides others.
func list[T any](r pebble.Reader, prefix []byte, cursor string, limit int, item func(k, v []byte) (T, bool, error)) ([]T, string, error) {
	from := prefix
	if cursor != "" {
		rest, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || len(rest) == 0 || len(rest) > 512 {
			return nil, "", storage.Invalid("meta.list", "invalid_parameter", "cursor", "one that a former answer gave")
		}
		from = append(append([]byte(nil), prefix...), rest...)
		from = append(from, 0)
	}
	page := make([]T, 0, limit)
	var last []byte
	next := ""
	err := scanRange(r, from, past(prefix), func(k, v []byte) (bool, error) {
		if len(page) == limit {
			next = base64.RawURLEncoding.EncodeToString(last[len(prefix):])
			return false, nil
		}
		it, ok, err := item(k, v)
		if ok {
			page = append(page, it)
			last = append(last[:0], k...)
		}
		return true, err
	})
	return page, next, err
}

// KeyByHash returns the key whose secret has a SHA-256. It must not be changed.
func (f *FSM) KeyByHash(hash [32]byte) (Key, bool, error) {
	id, found, err := readHot(f, "KeyByHash", &f.hot.keyIDs, hash, func(r pebble.Reader) (string, bool, error) {
		return lookUpID(r, key(tableKeyHashes).raw(hash[:]))
	})
	if err != nil || !found {
		return Key{}, false, err
	}
	return f.Key(id)
}

// Key returns a key by its id. It must not be changed.
func (f *FSM) Key(id string) (Key, bool, error) {
	return readHot(f, "Key", &f.hot.keys, id, func(r pebble.Reader) (Key, bool, error) {
		return lookUp[Key](r, key(tableKeys).str(id))
	})
}

// Keys returns all keys of an account in a dialect, newest first.
func (f *FSM) Keys(account, api string) (keys []Key, err error) {
	err = f.view("Keys", func(r pebble.Reader) error {
		prefix := keysOf(account, api)
		return scan(r, prefix, func(k, _ []byte) (bool, error) {
			rec, ok, err := lookUp[Key](r, key(tableKeys).str(string(k[len(prefix):len(k)-1])))
			if ok {
				keys = append(keys, rec)
			}
			return true, err
		})
	})
	slices.SortStableFunc(keys, func(a, b Key) int {
		if a.Created != b.Created {
			return int(min(1, max(-1, b.Created-a.Created)))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return keys, err
}

// Blob returns what the catalogue says of a CID at a time.
func (f *FSM) Blob(cid storage.CID, now int64) (b Blob, found bool, err error) {
	kept, found, drops := f.hot.shown.get(cid)
	if found && kept.from <= now && now < kept.until {
		return kept.Blob, true, nil
	}
	err = f.view("Blob", func(r pebble.Reader) error {
		rec, ok, err := lookUp[blobRecord](r, key(tableBlobs).cid(cid))
		if err != nil || !ok {
			return err
		}
		b = Blob{CID: cid, ContentType: rec.ContentType, Blocked: rec.Blocked, Condemned: rec.Condemned}
		found = true
		if b.Expires, b.Shown, err = rec.latestExpiry(reading(r), cid, refUpload); err != nil {
			return err
		}
		if b.Shown = b.Shown && b.Expires > now; !b.Shown {
			b.Expires = 0
			b.Alive, err = rec.aliveAt(r, cid, now)
			return err
		}
		b.Alive = true
		first, err := rec.earliestUpload(r, cid, now)
		if err == nil {
			b.Uploaded = first.Uploaded
			f.hot.shown.put(cid, shown{Blob: b, from: now, until: first.Expires}, drops)
		}
		return err
	})
	return b, found, err
}

// aliveAt reports whether any reference of a CID is live at a time.
func (b blobRecord) aliveAt(r pebble.Reader, cid storage.CID, now int64) (bool, error) {
	for _, kind := range refKinds {
		expires, ok, err := b.latestExpiry(reading(r), cid, kind)
		if err != nil || ok && expires > now {
			return true, err
		}
	}
	return false, nil
}

func reading(r pebble.Reader) func() pebble.Reader { return func() pebble.Reader { return r } }

// latestExpiry returns when the reference that lasts longest expires.
func (b blobRecord) latestExpiry(rows func() pebble.Reader, cid storage.CID, kind byte) (int64, bool, error) {
	if b.Only.Kind != 0 || b.References == 0 {
		return b.Only.Ref.Expires, b.Only.Kind == kind, nil
	}
	prefix := key(tableRefsExpiring).cid(cid).byte(kind)
	it, err := rows().NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: past(prefix)})
	if err != nil {
		return 0, false, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	found := it.Last()
	var expires int64
	if found {
		expires = int64(binary.BigEndian.Uint64(it.Key()[len(prefix):]))
	}
	if err := it.Close(); err != nil {
		return 0, false, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	return expires, found, nil
}

// earliestUpload returns the oldest upload that is live.
func (b blobRecord) earliestUpload(r pebble.Reader, cid storage.CID, now int64) (first refRecord, err error) {
	if b.Only.Kind == refUpload && b.Only.Ref.Expires > now {
		return b.Only.Ref, nil
	}
	prefix := key(tableRefsUploaded).cid(cid).byte(refUpload)
	err = scan(r, prefix, func(k, _ []byte) (bool, error) {
		account := string(k[len(prefix)+8 : len(k)-1])
		ref, ok, err := lookUp[refRecord](r, uploadRef(cid, account).key())
		if err != nil {
			return false, err
		}
		if ok && ref.Expires > now {
			first = ref
			return false, nil
		}
		return true, nil
	})
	return first, err
}

// Reference returns an account's own reference when it is live at a time.
func (f *FSM) Reference(account string, cid storage.CID, now int64) (ref Reference, live bool, err error) {
	err = f.view("Reference", func(r pebble.Reader) error {
		ref, live, err = referenceAt(r, account, cid, now)
		return err
	})
	return ref, live, err
}

func referenceAt(r pebble.Reader, account string, cid storage.CID, now int64) (Reference, bool, error) {
	b, ok, err := lookUp[blobRecord](r, key(tableBlobs).cid(cid))
	if err != nil || !ok || b.Blocked {
		return Reference{}, false, err
	}
	rec, ok, err := b.reference(uploadRef(cid, account), func(k []byte) (refRecord, bool, error) { return lookUp[refRecord](r, k) })
	if err != nil || !ok || rec.Expires <= now {
		return Reference{}, false, err
	}
	return Reference{CID: cid, Account: account, ContentType: b.ContentType, Uploaded: rec.Uploaded, Expires: rec.Expires}, true, nil
}

// References lists an account's live references, newest first, then by CID.
func (f *FSM) References(account, cursor string, limit int, now int64) (page []Reference, next string, err error) {
	err = f.view("References", func(r pebble.Reader) error {
		prefix := key(tableRefsOf).str(account).byte(refUpload)
		page, next, err = list(r, prefix, cursor, limit, func(k, _ []byte) (Reference, bool, error) {
			cid, err := storage.CIDFromBinary(k[len(prefix)+8:])
			if err != nil {
				return Reference{}, false, fmt.Errorf("%w: %w", errCorruptState, err)
			}
			return referenceAt(r, account, cid, now)
		})
		return err
	})
	return page, next, err
}

// History lists an account's ledger entries, newest first.
func (f *FSM) History(account, cursor string, limit int) (page []HistoryEntry, next string, err error) {
	err = f.view("History", func(r pebble.Reader) error {
		page, next, err = history(r, account, cursor, limit)
		return err
	})
	return page, next, err
}

func history(r pebble.Reader, account, cursor string, limit int) ([]HistoryEntry, string, error) {
	prefix := key(tableEntriesOf).str(account)
	to := past(prefix)
	if cursor != "" {
		rest, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || len(rest) != 16 {
			return nil, "", storage.Invalid("meta.History", "invalid_parameter", "cursor", "one that a former answer gave")
		}
		to = append(append([]byte(nil), prefix...), rest...)
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: to})
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errCorruptState, err)
	}
	defer func() { _ = it.Close() }()
	page := make([]HistoryEntry, 0, limit)
	next := ""
	var last []byte
	for ok := it.Last(); ok; ok = it.Prev() {
		if len(page) == limit {
			next = base64.RawURLEncoding.EncodeToString(last)
			break
		}
		e, found, err := lookUp[Entry](r, key(tableEntries).str(string(it.Value())))
		if err != nil || !found {
			return nil, "", orFatal(err, "history names no entry")
		}
		page = append(page, e.asHistory(account))
		last = append(last[:0], it.Key()[len(prefix):]...)
	}
	if err := it.Error(); err != nil {
		return nil, "", fmt.Errorf("%w: %w", errCorruptState, err)
	}
	return page, next, nil
}

func (e Entry) asHistory(account string) HistoryEntry {
	amount := e.AmountCents
	if e.Debit == customer(account) {
		amount = -amount
	}
	return HistoryEntry{ID: e.ID, Type: e.Kind, AmountCents: amount, BalanceAfterCents: e.Balance, CID: e.CID, Created: e.Time}
}

// Blobs lists the catalogue's stored blobs that are alive, by whatever reference, in CID order,
// beginning after one, or with the first for nil. Content that was taken down
// is among them: it may be allowed again, and was paid for.
func (f *FSM) Blobs(after *storage.CID, limit int, now int64) (blobs []Blob, err error) {
	from := []byte{tableBlobs}
	if after != nil {
		from = append(key(tableBlobs).cid(*after), 0)
	}
	err = f.view("Blobs", func(r pebble.Reader) error {
		return scanRange(r, from, []byte{tableBlobs + 1}, func(k, v []byte) (bool, error) {
			cid, err := storage.CIDFromBinary(k[1:])
			if err != nil {
				return false, fmt.Errorf("%w: %w", errCorruptState, err)
			}
			var rec blobRecord
			if err := decMode.Unmarshal(v, &rec); err != nil {
				return false, fmt.Errorf("%w: %w", errCorruptState, err)
			}
			if cid.Inline() || rec.References == 0 {
				return true, nil
			}
			alive, err := rec.aliveAt(r, cid, now)
			if err != nil {
				return false, err
			}
			if alive {
				blobs = append(blobs, Blob{CID: cid, ContentType: rec.ContentType, Alive: true, Condemned: rec.Condemned})
			}
			return len(blobs) < limit, nil
		})
	})
	return blobs, err
}

// IdempotentResult returns what a client's Idempotency-Key did before.
func (f *FSM) IdempotentResult(scope string, k [32]byte) (fingerprint [32]byte, res Result, found bool, err error) {
	now := f.Now()
	err = f.view("IdempotentResult", func(r pebble.Reader) error {
		s, ok, err := lookUp[storedResult](r, idemKey(scope, k))
		if err != nil || !ok || s.Forget <= now {
			return err
		}
		found = true
		copy(fingerprint[:], s.Fingerprint)
		res, err = s.result()
		res.Replayed = true
		return err
	})
	return fingerprint, res, found, err
}

// remembered returns the answer under a request id.
func (f *FSM) remembered(id RequestID) (res Result, found bool) {
	err := f.view("remembered", func(r pebble.Reader) error {
		s, ok, err := answeredAt(r, id)
		if err != nil || !ok {
			return err
		}
		found = true
		res, err = s.result()
		return err
	})
	return res, found && err == nil
}

// Ring returns the ring that holds and the one that is being filled; either
// may be nil. They must not be changed.
func (f *FSM) Ring() (cur, next *storage.Ring) {
	s := f.state.Load()
	return s.ring, s.next
}

// Nodes returns the address book, by id.
func (f *FSM) Nodes() []Node {
	s := f.state.Load()
	all := make([]Node, 0, len(s.nodes))
	for _, n := range s.nodes {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b Node) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return all
}

// Node returns a member of the address book.
func (f *FSM) Node(id storage.NodeID) (Node, bool) {
	n, ok := f.state.Load().nodes[id]
	return n, ok
}

// Settings returns the cluster's settings.
func (f *FSM) Settings() Settings { return f.state.Load().settings }

// Counts returns how many of each there are.
func (f *FSM) Counts() Counts { return f.state.Load().counts }
