package testcluster_test

import (
	"testing"

	"ringbin/testcluster"
)

// The checker finds what no order explains, and lets stand what one does.
func TestHistoryIsJudged(t *testing.T) {
	testcluster.Parallel(t)
	account, key, ref := testcluster.AccountObject("a"), testcluster.KeyObject("k"), testcluster.Object{Kind: testcluster.ObjectReference, ID: "r"}
	bin := testcluster.BinObject("b")
	type o = testcluster.Operation
	tests := []struct {
		name  string
		right bool
		ops   []o
	}{
		{"a balance that follows", true, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Got: 7},
			{Object: account, What: "read", Got: 7},
			{Object: account, What: "charge", Cents: 8, Refused: true},
			{Object: account, What: "deposit", Cents: 5, Got: 12},
		}},
		{"a stale balance", false, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Got: 7},
			{Object: account, What: "read", Got: 10},
		}},
		{"a charge that was made twice", false, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Got: 7},
			{Object: account, What: "read", Got: 4},
		}},
		{"refused with money enough", false, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Refused: true},
		}},
		{"an unknown charge that shows late", true, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Unknown: true},
			{Object: account, What: "read", Got: 10},
			{Object: account, What: "read", Got: 7},
		}},
		{"an unknown charge that is undone", false, []o{
			{Object: account, What: "open", Cents: 10},
			{Object: account, What: "charge", Cents: 3, Unknown: true},
			{Object: account, What: "read", Got: 7},
			{Object: account, What: "read", Got: 10},
		}},
		{"a key's life", true, []o{
			{Object: key, What: "use", Refused: true},
			{Object: key, What: "create"},
			{Object: key, What: "use"},
			{Object: key, What: "revoke"},
			{Object: key, What: "use", Refused: true},
			{Object: key, What: "revoke"},
		}},
		{"a key that outlives its revocation", false, []o{
			{Object: key, What: "create"},
			{Object: key, What: "revoke"},
			{Object: key, What: "use"},
		}},
		{"a key that is not known yet", false, []o{
			{Object: key, What: "create"},
			{Object: key, What: "use", Refused: true},
		}},
		{"a reference that comes and goes", true, []o{
			{Object: ref, What: "read", Refused: true},
			{Object: ref, What: "put"},
			{Object: ref, What: "read"},
			{Object: ref, What: "delete"},
			{Object: ref, What: "delete", Refused: true},
			{Object: ref, What: "read", Refused: true},
			{Object: ref, What: "put", Unknown: true},
			{Object: ref, What: "read"},
		}},
		{"a bin's life", true, []o{
			{Object: bin, What: "create", Record: 7},
			{Object: bin, What: "read", Record: 7, Got: 1},
			{Object: bin, What: "update", Record: 8, Match: 1, Got: 2},
			{Object: bin, What: "update", Record: 9, Match: 1, Got: 2, Refused: true},
			{Object: bin, What: "update", Record: 10, Match: 2, Unknown: true},
			{Object: bin, What: "read", Record: 8, Got: 2},
			{Object: bin, What: "read", Record: 10, Got: 3},
		}},
		{"a lost update", false, []o{
			{Object: bin, What: "create", Record: 7},
			{Object: bin, What: "update", Record: 8, Match: 1, Got: 2},
			{Object: bin, What: "update", Record: 9, Match: 1, Got: 2},
		}},
		{"a record of another revision", false, []o{
			{Object: bin, What: "create", Record: 7},
			{Object: bin, What: "update", Record: 8, Match: 1, Got: 2},
			{Object: bin, What: "read", Record: 7, Got: 2},
		}},
		{"a refused update that shows", false, []o{
			{Object: bin, What: "create", Record: 7},
			{Object: bin, What: "update", Record: 8, Match: 3, Got: 1, Refused: true},
			{Object: bin, What: "read", Record: 8, Got: 2},
		}},
		{"an update that was made twice", false, []o{
			{Object: bin, What: "create", Record: 7},
			{Object: bin, What: "update", Record: 8, Match: 1, Got: 2},
			{Object: bin, What: "read", Record: 8, Got: 3},
		}},
		{"a 404 of what is there", false, []o{
			{Object: ref, What: "put"},
			{Object: ref, What: "read", Refused: true},
		}},
		{"what was deleted is listed", false, []o{
			{Object: ref, What: "put"},
			{Object: ref, What: "delete"},
			{Object: ref, What: "read"},
		}},
	}
	for _, tt := range tests {
		h := testcluster.NewHistory()
		for _, op := range tt.ops {
			op.Call = h.Now()
			h.Add(op)
		}
		v := h.Check()
		if v.Undecided != 0 || (len(v.Violations) == 0) != tt.right {
			t.Errorf("%s: right is %v, found %+v", tt.name, tt.right, v)
		}
	}
}
