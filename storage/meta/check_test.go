package meta

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
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
		tableNatural: "natural id", tableRequests: "the index of requests by age", tableRequestsAge: "the age of request",
	} {
		w := checkedWorld(t)
		// A row goes without a trace: only its own index, or what it indexes, knows.
		w.poke(func(tx *tx) error {
			var first []byte
			err := scan(tx.b, []byte{table}, func(k, _ []byte) (bool, error) {
				first = append([]byte(nil), k...)
				return false, nil
			})
			if err != nil || first == nil {
				t.Fatalf("table 0x%02x has no row: %v", table, err)
			}
			return tx.del(first)
		})
		if all := strings.Join(problemsOf(t, w.f), "\n"); !strings.Contains(all, want) {
			t.Errorf("a row of table 0x%02x is gone; told:\n%s\nwant %s", table, all, want)
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
