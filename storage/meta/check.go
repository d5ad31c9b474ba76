package meta

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// CheckEntry reports whether the data of a log entry is what Apply can read.
func CheckEntry(data []byte) error {
	_, commands, err := unpack(data)
	if err != nil {
		return storage.E("meta.CheckEntry", storage.KindCorrupt, err)
	}
	for _, c := range commands {
		if _, err := decode(c); err != nil {
			return storage.E("meta.CheckEntry", storage.KindCorrupt, err)
		}
	}
	return nil
}

// checkProblemsMax is how many problems a Check tells of: who has more has
// lost the file, not a record.
const checkProblemsMax = 1000

var errTooManyProblems = errors.New("too many problems")

// check is one on its way.
type check struct {
	r       pebble.Reader
	told    int
	problem func(string)

	found *tableHashes
	rows  map[byte]int64 // pairs of each table
	refs  map[storage.CID]int64

	waiting map[string]bool // rows of tableDue, without their times
}

// Check holds every table against the others: hashes, the ledger, each index
// against what it is an index of. Unlike Audit it goes on after a problem, and
// tells each in one line. The error is that of a state that can't be read on.
func (f *FSM) Check(ctx context.Context, problem func(string)) error {
	f.life.RLock()
	defer f.life.RUnlock()
	snap := f.db.NewSnapshot()
	defer func() { _ = snap.Close() }()
	c := &check{r: snap, problem: problem, found: &tableHashes{}, rows: map[byte]int64{}, refs: map[storage.CID]int64{}}
	for _, step := range []func() error{
		c.hashes, c.accounts, c.keys, c.references, c.blobs, c.entries, c.remembered, c.members, c.counts,
		c.pastes, c.links, c.clicks, c.keyRequests, c.ends,
		c.queue, c.bins, c.versions, c.collections, c.schemaDocs, c.binAccounts,
		c.notes, c.tokens, c.numbers, c.sessions,
	} {
		if err := ctx.Err(); err != nil {
			return storage.E("meta.Check", storage.KindUnavailable, err)
		}
		if err := step(); errors.Is(err, errTooManyProblems) {
			return nil
		} else if err != nil {
			return storage.E("meta.Check", storage.KindCorrupt, err)
		}
	}
	return nil
}

// say tells of a problem, and ends the check with the last one that is told.
func (c *check) say(format string, args ...any) error {
	if c.told++; c.told > checkProblemsMax {
		if c.told == checkProblemsMax+1 {
			c.problem(fmt.Sprintf("metadata: more than %d problems, the rest is not told", checkProblemsMax))
		}
		return errTooManyProblems
	}
	c.problem("metadata: " + fmt.Sprintf(format, args...))
	return nil
}

// must tells of a key that should be there and is not, or has another value.
func (c *check) must(k, value []byte, format string, args ...any) error {
	v, closer, err := c.r.Get(k)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return c.say("%s is missing", fmt.Sprintf(format, args...))
	case err != nil:
		return fmt.Errorf("%w: %w", errCorruptState, err)
	}
	same := value == nil || bytes.Equal(v, value)
	if err := closer.Close(); err != nil {
		return fmt.Errorf("%w: %w", errCorruptState, err)
	}
	if !same {
		return c.say("%s names another one", fmt.Sprintf(format, args...))
	}
	return nil
}

// rowsAre tells of an index that has rows too many: those that it should have
// were looked for one by one.
func (c *check) rowsAre(table byte, want int64, what string) error {
	if got := c.rows[table]; got != want {
		return c.say("%s has %d rows, want %d", what, got, want)
	}
	return nil
}

// hashes reads every pair once.
func (c *check) hashes() error {
	var kept tableHashes
	err := scanRange(c.r, nil, nil, func(k, v []byte) (bool, error) {
		c.rows[k[0]]++
		if k[0] != tableLocal {
			c.found[k[0]].add(pairLanes(k, v))
		} else if bytes.Equal(k, local(localHashes)) {
			return true, kept.parse(v)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for t := range 256 {
		table := byte(t)
		if c.found[table] != kept[table] {
			if err := c.say("table 0x%02x does not match its hash", table); err != nil {
				return err
			}
		}
	}
	return nil
}

// each decodes the records of a table; one that can't be read is told and left out.
func each[T any](c *check, table byte, look func(k []byte, v T) error) error {
	return scan(c.r, []byte{table}, func(k, b []byte) (bool, error) {
		var v T
		if err := decMode.Unmarshal(b, &v); err != nil {
			return true, c.say("table 0x%02x: key %x: %v", table, k, err)
		}
		return true, look(k, v)
	})
}

func (c *check) accounts() error {
	var n int64
	err := each(c, tableAccounts, func(_ []byte, a Account) error {
		if a.Email == "" {
			return nil
		}
		n++
		return c.must(emailKey(a.Email), []byte(a.ID), "the address of account %s", a.ID)
	})
	return errors.Join(err, c.rowsAre(tableEmails, n, "the index of addresses"))
}

func (c *check) keys() error {
	var n int64
	err := each(c, tableKeys, func(_ []byte, k Key) error {
		n++
		return errors.Join(
			c.must(key(tableKeyHashes).raw(k.Hash[:]), []byte(k.ID), "the hash of key %s", k.ID),
			c.must(key(tableAccounts).str(k.Account), nil, "account %s of key %s", k.Account, k.ID),
			c.must(keysOf(k.Account, k.API).str(k.ID), nil, "key %s of account %s", k.ID, k.Account),
		)
	})
	return errors.Join(err, c.rowsAre(tableKeyHashes, n, "the index of key hashes"), c.rowsAre(tableKeysOf, n, "the index of keys by account"))
}

func (c *check) references() error {
	rows := map[byte]int64{}
	must := func(id refID, indexes [][]byte) error {
		for _, index := range indexes {
			rows[index[0]]++
			if err := c.must(index, nil, "row of index %s for the reference of %q to %s", refIndexNames[index[0]], id.holder, id.cid); err != nil {
				return err
			}
		}
		return nil
	}
	err := each(c, tableRefs, func(k []byte, r refRecord) error {
		id, err := splitRefKey(k)
		if err != nil {
			return c.say("%v", err)
		}
		c.refs[id.cid]++
		return errors.Join(must(id, id.indexes(r)), must(id, id.contentIndexes(r)), c.holderOf(id))
	})
	err = errors.Join(err, each(c, tableBlobs, func(k []byte, b blobRecord) error {
		cid, err := storage.CIDFromBinary(k[1:])
		if err != nil || b.Only.Kind == 0 {
			return nil //nolint:nilerr // blobs tells of the key
		}
		id := b.Only.id(cid)
		c.refs[cid]++
		c.rows[tableRefs]++ // as if it were a row: who counts references counts both
		return errors.Join(must(id, id.indexes(b.Only.Ref)), c.holderOf(id))
	}))
	for _, table := range slices.Sorted(maps.Keys(refIndexNames)) {
		err = errors.Join(err, c.rowsAre(table, rows[table], "index "+refIndexNames[table]))
	}
	return err
}

// mustRef tells of a reference that should be there and is not, or says
// something else than r, unless that is nil.
func (c *check) mustRef(id refID, r *refRecord, format string, args ...any) error {
	var want []byte
	var err error
	if r != nil {
		want, err = encMode.Marshal(*r)
	}
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	b, _, err := lookUp[blobRecord](c.r, key(tableBlobs).cid(id.cid))
	switch {
	case err != nil:
		return c.say("%s: %v", id.cid, err)
	case !b.Only.is(id):
		return c.must(id.key(), want, format, args...)
	case r != nil && b.Only.Ref != *r:
		return c.say("%s names another one", fmt.Sprintf(format, args...))
	}
	return nil
}

// holderOf tells of a reference whose holder does not have it.
func (c *check) holderOf(id refID) error {
	switch id.kind {
	case refPaste:
		return c.must(pasteKey(id.holder), nil, "paste %s, which holds a reference to %s", id.holder, id.cid)
	case refBin:
		return c.heldBy(id)
	case refNote:
		return c.heldByNote(id)
	}
	return nil
}

var refIndexNames = map[byte]string{
	tableRefsOf: "references by account", tableRefsUploaded: "references by upload",
	tableRefsExpiring: "references by expiry", tableExpiry: "expiry",
}

func (c *check) blobs() error {
	var dead, buried int64
	err := each(c, tableBlobs, func(k []byte, b blobRecord) error {
		cid, err := storage.CIDFromBinary(k[1:])
		if err != nil {
			return c.say("key %x: %v", k, err)
		}
		got := c.refs[cid]
		delete(c.refs, cid)
		if got != b.References {
			return c.say("%s counts %d references and has %d", cid, b.References, got)
		}
		switch {
		case got == 0 && b.DeadSince == 0 && b.Condemned == 0:
			return c.say("%s has no reference, and waits for nothing", cid)
		case got > 0 && b.DeadSince != 0 && !b.Blocked:
			return c.say("%s has %d references and is dead since %d", cid, got, b.DeadSince)
		}
		for _, q := range []struct {
			table byte
			since int64
			count *int64
			what  string
		}{{tableDead, b.DeadSince, &dead, "the dead"}, {tableTombstones, b.Buried, &buried, "the tombstones"}} {
			if q.since == 0 {
				continue
			}
			*q.count++
			if err := c.must(key(q.table).time(q.since).cid(cid), nil, "row of %s for %s", q.what, cid); err != nil {
				return err
			}
		}
		return nil
	})
	for _, cid := range slices.SortedFunc(maps.Keys(c.refs), storage.CID.Compare) {
		err = errors.Join(err, c.say("reference to %s, which the catalogue does not have", cid))
	}
	return errors.Join(err, c.rowsAre(tableDead, dead, "the queue of the dead"), c.rowsAre(tableTombstones, buried, "the queue of tombstones"))
}

// entries checks the ledger with the audit's own rules, and its index by account.
func (c *check) entries() error {
	var sides, natural int64
	err := each(c, tableEntries, func(_ []byte, e Entry) error {
		if e.natural() {
			natural++
		}
		for _, side := range []string{e.Debit, e.Credit} {
			if id, ok := strings.CutPrefix(side, customer("")); ok {
				sides++
				if err := c.must(key(tableAccounts).str(id), nil, "account %s of ledger entry %s", id, e.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = errors.Join(c.rowsAre(tableEntriesOf, sides, "the index of ledger entries by account"), c.rowsAre(tableNatural, natural, "the index of natural ids"))
	err = errors.Join(err, scan(c.r, []byte{tableEntriesOf}, func(_, v []byte) (bool, error) {
		return true, c.must(key(tableEntries).str(string(v)), nil, "ledger entry %s of an account's history", v)
	}))
	a := newAudit()
	for _, step := range []func(pebble.Reader) error{a.entries, a.references, a.links, a.accounts, a.anonymous, a.bins} {
		if problem := step(c.r); problem != nil {
			return errors.Join(err, c.say("%v", problem))
		}
	}
	if a.report.DebitCents != a.report.CreditCents {
		err = errors.Join(err, c.say("debits are %d cents, credits %d", a.report.DebitCents, a.report.CreditCents))
	}
	return err
}

// remembered checks that each answer that is kept will be forgotten one day.
func (c *check) remembered() error {
	var requests int64
	err := scan(c.r, []byte{tableAnswers}, func(k, v []byte) (bool, error) {
		_, answers, err := parseAnswers(v)
		if err != nil || len(k) != 1+8 {
			return true, c.say("answers %x: %v", k, err)
		}
		for i, a := range answers {
			requests++
			at := place{index: binary.BigEndian.Uint64(k[1:]), n: uint32(i)}
			if err := c.must(requestKey(a.id), at.bytes(), "request %x, which has an answer", a.id); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	err = errors.Join(err, each(c, tableIdem, func(k []byte, s storedResult) error {
		return c.must(key(tableIdemAge).time(s.Forget).raw(k[1:]), nil, "the age of Idempotency-Key %x", k[1:])
	}))
	return errors.Join(err,
		c.rowsAre(tableRequests, requests, "the index of requests by id"),
		c.rowsAre(tableIdemAge, c.rows[tableIdem], "the index of Idempotency-Keys by age"))
}

// members checks rings and address book.
func (c *check) members() error {
	err := each(c, tableNodes, func(_ []byte, n Node) error {
		_, gone, err := lookUp[int64](c.r, key(tableRemoved).str(string(n.ID)))
		if err == nil && gone {
			err = c.say("node %s is a member, and was removed", n.ID)
		}
		return err
	})
	for _, name := range []string{singleRing, singleNextRing} {
		r, ok, readErr := lookUp[storage.Ring](c.r, single(name))
		if readErr == nil && ok {
			readErr = r.Validate()
		}
		if readErr != nil {
			err = errors.Join(err, c.say("%s: %v", name, readErr))
		}
	}
	return err
}

func (c *check) counts() error {
	counts, _, err := lookUp[Counts](c.r, single(singleCounts))
	if err != nil {
		return c.say("counts: %v", err)
	}
	for _, t := range []struct {
		what  string
		count int64
		table byte
	}{
		{"accounts", counts.Accounts, tableAccounts},
		{"keys", counts.Keys, tableKeys},
		{"references", counts.References, tableRefs},
		{"ledger entries", counts.Entries, tableEntries},
		{"blobs", counts.Blobs, tableBlobs},
		{"pastes", counts.Pastes, tablePastes},
		{"short links", counts.Links, tableLinks},
		{"key requests", counts.KeyRequests, tablePending},
		{"bins", counts.Bins, tableBins},
		{"collections", counts.Collections, tableCollections},
		{"schema docs", counts.SchemaDocs, tableSchemaDocs},
		{"notes", counts.Notes, tableNotes},
	} {
		if got := c.rows[t.table]; got != t.count {
			err = errors.Join(err, c.say("%d %s are counted and %d there", t.count, t.what, got))
		}
	}
	return err
}
