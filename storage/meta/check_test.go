package meta

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

func problemsOf(t *testing.T, f *FSM) []string {
	t.Helper()
	var all []string
	if err := f.Check(t.Context(), func(p string) { all = append(all, p) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// checkedWorld has a row in every table that Check looks at.
func checkedWorld(t *testing.T) *world {
	t.Helper()
	w := newCluster(t)
	w.must(CreateKey{ID: "key", Account: "ann", API: "hashbin", Name: "k", Hash: [32]byte{1}, Days: 30})
	w.mustUpload(w.upload("ann", sized(1<<20, 1), 30))
	w.mustUpload(w.upload("ann", sized(5, 2), 30))
	w.must(w.paste("paste", "ann", sized(1<<20, 1)))
	w.must(w.link("link", "ann"))
	w.must(w.link("gone", "ann"))
	for _, id := range []string{"link", "gone"} {
		w.must(AddCounts{Clicks: []ClickCount{{
			ID: id, Day: dayOf(testStart), N: 2, Visitors: visitors(1, 2), Browsers: map[string]int64{"curl": 1, "Firefox": 1},
		}}})
	}
	w.must(DeleteLink{ID: "gone"}) // its clicks wait to be swept
	w.must(SetSalt{Day: dayOf(testStart), Salt: [32]byte{1}})
	w.must(w.request("bob@example.org", 1))
	return w
}

// What a state consists of is free of problems, and each planted one is told.
func TestCheckFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	if got := problemsOf(t, checkedWorld(t).f); len(got) != 0 {
		t.Fatalf("a good state has problems: %q", got)
	}
	for table, want := range map[byte]string{
		tableAccounts: "account", tableEmails: "the address of account ann is missing", tableKeys: "the index of key hashes has 1 rows",
		tableKeyHashes: "the hash of key", tableKeysOf: "key key of account", tableRefs: "references", tableRefsOf: "row of index references by account",
		tableRefsUploaded: "row of index references by upload", tableRefsExpiring: "row of index references by expiry", tableExpiry: "row of index expiry",
		tableBlobs: "which the catalogue does not have", tableEntries: "of an account's history is missing", tableEntriesOf: "the index of ledger entries by account",
		tableNatural: "natural id", tableRequests: ", which has an answer", tableAnswers: "the index of requests by id",
		tablePastes: "paste paste, which holds a reference", tablePastesOf: "paste paste among those of account", tableLinks: "account ann counts 1 pastes and 1 short links",
		tableLinksOf: "short link link among those of account", tableClicks: "of a day that is not there",
		tableVisitors: "day 19675 of short link link counts 2 visitors and has 1", tablePending: "is the end of nothing",
		tablePendingOf: "the address of the key request of bob@example.org is missing", tableDue: "the table of clicks has 6 rows, want 3",
	} {
		w := checkedWorld(t)
		// A row goes without a trace: only its own index, or what it indexes, knows.
		w.poke(func(tx *tx) error {
			// The first rows of some are of a link that is gone: nothing knows of them.
			// The first blob goes with its only reference.
			return tx.del(rowOf(t, tx, table, map[byte]int{tableBlobs: 1, tableClicks: 3, tableVisitors: 2}[table]))
		})
		if all := strings.Join(problemsOf(t, w.f), "\n"); !strings.Contains(all, want) {
			t.Errorf("a row of table 0x%02x is gone; told:\n%s\nwant %s", table, all, want)
		}
	}
}

// plantRef writes a reference that its holder knows nothing of.
func plantRef(x *tx, id refID, r refRecord) error {
	b, _, err := x.blob(id.cid)
	return errors.Join(err, x.putRef(&b, id, r, nil), x.putBlob(id.cid, b))
}

// rowOf returns the key of a table's nth row.
func rowOf(t *testing.T, tx *tx, table byte, n int) []byte {
	t.Helper()
	all, err := keysIn(tx.rows(), []byte{table}, []byte{table + 1}, n+1)
	if err != nil || len(all) <= n {
		t.Fatalf("table 0x%02x has no row: %v", table, err)
	}
	return all[n]
}

// Each record of a paste, a short link or a key request that says something else
// than the others is told of.
func TestCheckFindsWhatDisagrees(t *testing.T) {
	t.Parallel()
	today := dayOf(testStart)
	v := visitor(9)
	for want, plant := range map[string]func(*tx) error{
		"the reference of paste paste names another one": func(x *tx) error {
			p, _, err := x.paste("paste")
			p.Expires = 0
			return errors.Join(err, write(x, pasteKey(p.ID), p))
		},
		"the reference of paste other is missing": func(x *tx) error {
			p, _, err := x.paste("paste")
			p.ID = "other"
			return errors.Join(err, write(x, pasteKey(p.ID), p))
		},
		"the id of paste paste among those issued is missing": func(x *tx) error { return x.del(key(tableIssued).str("paste")) },
		"account eve of paste paste is missing": func(x *tx) error {
			p, _, err := x.paste("paste")
			p.Account = "eve"
			return errors.Join(err, write(x, pasteKey(p.ID), p))
		},
		"the index of pastes by account has 2 rows, want 1":      func(x *tx) error { return x.set(key(tablePastesOf).str("ann").timeDesc(1).str("x"), nil) },
		"the index of short links by account has 2 rows, want 1": func(x *tx) error { return x.set(key(tableLinksOf).str("ann").timeDesc(1).str("x"), nil) },
		"the end of short link link is missing":                  func(x *tx) error { return x.clearEnd(testStart+dayMillis, endOfLink, []byte("link")) },
		"short link link counts 3 clicks, its days 2": func(x *tx) error {
			l, _, err := x.link("link")
			l.Clicks++
			return errors.Join(err, write(x, linkKey(l.ID), l))
		},
		"day 19675 of short link link counts 2 visitors and has 3": func(x *tx) error {
			return x.set(key(tableVisitors).day(today).str("link").raw(v[:]), nil)
		},
		"day 19676 of short link link, which has visitors is missing": func(x *tx) error {
			return x.set(key(tableVisitors).day(today+1).str("link").raw(v[:]), nil)
		},
		"the end of a day with visitors is missing": func(x *tx) error { return x.clearEnd(eraseAt(today), endOfDay, dayID(today)) },
		"the end of a day with a salt is missing":   func(x *tx) error { return write(x, saltKey(today+1), Salt{Day: today + 1}) },
		"counts 2 names of sort b and has 3": func(x *tx) error {
			return write(x, dayKey("link", today).byte(nameBrowser).raw([]byte("w3m")), int64(1))
		},
		"short link link: state can't be read":   func(x *tx) error { return write(x, dayKey("link", today).byte('?').raw([]byte("w3m")), int64(1)) },
		"the table of clicks has 7 rows, want 6": func(x *tx) error { return write(x, dayKey("never", today), dayRecord{}) },
		"the end of the key request of bob@example.org is missing": func(x *tx) error {
			token := [32]byte{1}
			return x.clearEnd(testStart+dayMillis, endOfKeyRequest, token[:])
		},
		"the index of key requests by address has 2 rows": func(x *tx) error { return x.set(pendingOf("x"), nil) },
		"is the end of nothing":                           func(x *tx) error { return x.setEnd(testStart, endOfLink, []byte("link")) },
		"0 pastes are counted and 1 there": func(x *tx) error {
			x.counts.Pastes--
			x.countsOld = true
			return x.endEntry()
		},
		"account ann counts 2 pastes and 1 short links, and has 1 and 1": func(x *tx) error {
			a, _, err := x.account("ann")
			a.Pastes++
			return errors.Join(err, x.putAccount(a))
		},
	} {
		w := checkedWorld(t)
		w.poke(plant)
		if all := strings.Join(problemsOf(t, w.f), "\n"); !strings.Contains(all, want) {
			t.Errorf("told:\n%s\nwant %s", all, want)
		}
	}
}

// An audit stops at what an account, a reference or a paste has wrong.
func TestAuditOfPastes(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(*tx) error{
		"no paste": func(x *tx) error { return x.del(pasteKey("paste")) },
		"pastes counted": func(x *tx) error {
			a, _, err := x.account("ann")
			a.Pastes++
			return errors.Join(err, x.putAccount(a))
		},
		"links counted": func(x *tx) error {
			a, _, err := x.account("ann")
			a.Links--
			return errors.Join(err, x.putAccount(a))
		},
		"owner changed": func(x *tx) error {
			p, _, err := x.paste("paste")
			p.Account = anonymous
			return errors.Join(err, write(x, pasteKey(p.ID), p))
		},
	} {
		w := checkedWorld(t)
		if _, err := w.f.Audit(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.poke(plant)
		if _, err := w.f.Audit(t.Context()); storage.KindOf(err) != storage.KindCorrupt {
			t.Errorf("%s: the audit finds %v", name, err)
		}
	}
}

// A value that changed under the hash is told with its table.
func TestCheckFindsChangedValues(t *testing.T) {
	t.Parallel()
	w := checkedWorld(t)
	k := key(tableAccounts).str("ann")
	a := w.account("ann")
	a.BalanceCents++
	changed, err := encMode.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.f.db.Set(k, changed, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(problemsOf(t, w.f), "\n")
	for _, want := range []string{"table 0x01 does not match its hash", "account ann has"} {
		if !strings.Contains(all, want) {
			t.Errorf("told:\n%s\nwant %s", all, want)
		}
	}
}

// Metadata that is opened to be looked at is not changed by it.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := checkedWorld(t)
	before := stateHash(t, w.f)
	if err := w.f.CopyTo("elsewhere"); err != nil {
		t.Fatal(err)
	}
	o := w.f.opts
	o.ReadOnly = true
	f, err := Open("elsewhere", o)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "state hash", stateHash(t, f), before)
	if got := problemsOf(t, f); len(got) != 0 {
		t.Errorf("problems: %q", got)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open("nowhere", o); err == nil {
		t.Error("metadata that is not there opens")
	}
}
