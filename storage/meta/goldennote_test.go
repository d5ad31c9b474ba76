package meta

import (
	"fmt"
	"testing"

	"ringbin/storage"
)

const (
	goldenHash = "Ab3Xy9Qk"
	goldenCode = "XYZ123"
	goldenPHC  = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2Fs$aGFzaA"
)

// goldenNoteCommands are the commands of PasteWizard with all their members set.
func goldenNoteCommands() []Command {
	cid := sized(1<<20, 0xab)
	hash := [32]byte{31: 0xcd}
	receipts := []storage.Receipt{{Node: "n1", Incarnation: 300, CID: cid, Generation: 70_000, Time: testStart, RingVersion: 8}}
	return []Command{
		CreateNote{
			Hash: goldenHash, Code: goldenCode, Account: "acc_1", Title: "Änn's", Language: "php", Privacy: PrivacyPrivate, Burn: true,
			Password: goldenPHC, CID: cid, Sealed: []byte{1, 2, 3}, Created: testStart, Expires: testStart + minute, Receipts: receipts,
		},
		EditNote{
			Hash: goldenHash, Account: "acc_1", Admin: true, Revision: 300, Title: new("ä"), Language: new("c++"), Privacy: new(PrivacyUnlisted),
			Expires: new(testStart + minute), Password: new(goldenPHC), Content: &NoteContent{CID: cid, Sealed: []byte{4, 5}, Receipts: receipts},
		},
		DeleteNote{Hash: goldenHash, Account: "acc_1", Admin: true},
		BurnNote{Hash: goldenHash, Revision: 300},
		ResealNote{Hash: goldenHash, Revision: 300, Sealed: []byte{6, 7}},
		CreateToken{ID: "key_3", Account: "acc_1", Name: "ci", Hash: hash, Scopes: []string{TokenRead, TokenWrite}, RatePerMinute: 70_000},
		UpdateToken{Number: 300, Name: new("cd"), Scopes: new([]string{TokenAdmin}), RatePerMinute: new(int64(60))},
		RevokeToken{Number: 300, Account: "acc_1"},
		OpenSession{Hash: hash, Key: "key_3", Created: testStart, Expires: testStart + minute},
		CloseSession{Hash: hash},
	}
}

// goldenNoteValues are the values of commands of PasteWizard. A note's is pinned
// with all its members: so it lies in its table.
func goldenNoteValues() []any {
	n := Note{
		Hash: goldenHash, Code: goldenCode, Account: "acc_1", Title: "Änn's", Language: "php", Privacy: PrivacyPrivate, Burn: true,
		Password: goldenPHC, PasswordRevision: 300, CID: sized(1<<20, 0xab), Sealed: []byte{1, 2, 3}, Created: testStart,
		Expires: testStart + minute, Revision: 70_000, Views: 7, Burned: testStart + 1, BurnedBy: RequestID{1, 2, 15: 0xff},
		Ends: testStart + dayMillis,
	}
	return []any{
		n,
		Burn{Note: n, Won: true},
		Session{Hash: [32]byte{31: 0xcd}, Account: "acc_1", Key: "key_3", Created: testStart, Expires: testStart + minute},
	}
}

var goldenNoteReaders = map[string]commandType{"Note": typeEditNote, "Burn": typeBurnNote, "Session": typeOpenSession}

// goldenPasteWizard changes each setting of the dialect.
func goldenPasteWizard() *PasteWizardPatch {
	n := func(v int64) *int64 { return &v }
	return &PasteWizardPatch{
		ContentMaxBytes: n(1 << 20), RateLimitDefault: n(2), ExpiredKeepDays: n(3), LogRetentionDays: n(4),
		BaseURL: new("https://paste.example"), CORS: new(true),
	}
}

// What came later into values and records is pinned beside those without it.
func TestGoldenLaterInValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		value  any
		decode func([]byte) (any, error)
	}{
		"value-Key.Number": {
			Key{ID: "key_3", Account: "acc_1", API: APIPasteWizard, Name: "ci", Created: testStart, Scopes: []string{TokenRead}, Number: 300},
			specs[typeCreateToken].decodeValue,
		},
		"value-Account.Number": {
			Account{ID: "acc_1", Email: "ann@example.org", Name: "Ann", Created: testStart, Number: 300, Admin: true, Notes: 7},
			specs[typeUpdateAccount].decodeValue,
		},
		"value-refRecord.Graceless": {
			refRecord{Uploaded: testStart, Expires: never, Account: "acc_1", Graceless: true},
			func(b []byte) (any, error) {
				var r refRecord
				err := decMode.Unmarshal(b, &r)
				return r, err
			},
		},
	} {
		b, err := encMode.Marshal(c.value)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.decode(golden(t, name, b))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", c.value))
	}
}
