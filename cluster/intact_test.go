package cluster

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// TestStableIsChecked flips each bit of each value in turn: none is ever read
// as another one.
func TestStableIsChecked(t *testing.T) {
	t.Parallel()
	inner := raft.NewInmemStore()
	s := checkedStable{inner}
	if _, err := s.GetUint64([]byte("CurrentTerm")); err == nil || err.Error() != "not found" {
		t.Errorf("a value that is not there: %v", err)
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("somebody"))); err != nil {
		t.Fatal(err)
	}
	if v, err := s.GetUint64([]byte("CurrentTerm")); err != nil || v != 7 {
		t.Errorf("CurrentTerm %d, %v", v, err)
	}
	if v, err := s.Get([]byte("LastVoteCand")); err != nil || string(v) != "somebody" {
		t.Errorf("LastVoteCand %q, %v", v, err)
	}
	for _, key := range []string{"CurrentTerm", "LastVoteCand"} {
		whole, err := inner.Get([]byte(key))
		if err != nil {
			t.Fatal(err)
		}
		for bit := range len(whole) * 8 {
			rotten := append([]byte(nil), whole...)
			rotten[bit/8] ^= 1 << (bit % 8)
			if err := inner.Set([]byte(key), rotten); err != nil {
				t.Fatal(err)
			}
			if v, err := s.Get([]byte(key)); storage.KindOf(err) != storage.KindCorrupt {
				t.Errorf("%s with bit %d flipped: %q, %v", key, bit, v, err)
			}
		}
	}
}

func TestLogIsVerified(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	intact := func(b []byte) error {
		if string(b) == "rotten" {
			return bad
		}
		return nil
	}
	entry := func(i, term uint64, data string) *raft.Log {
		return &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: []byte(data)}
	}
	for name, c := range map[string]struct {
		logs []*raft.Log
		ok   bool
	}{
		"good":           {[]*raft.Log{entry(5, 1, "a"), entry(6, 1, "b"), entry(7, 3, "c")}, true},
		"empty":          {nil, true},
		"rotten":         {[]*raft.Log{entry(5, 1, "a"), entry(6, 1, "rotten")}, false},
		"one is missing": {[]*raft.Log{entry(5, 1, "a"), entry(7, 1, "c")}, false},
		"terms go back":  {[]*raft.Log{entry(5, 2, "a"), entry(6, 1, "b")}, false},
	} {
		store := raft.NewInmemStore()
		if err := store.StoreLogs(c.logs); err != nil {
			t.Fatal(err)
		}
		if err := verifyStores(store, checkedStable{store}, intact); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
