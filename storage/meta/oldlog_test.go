package meta

import (
	"encoding/hex"
	"testing"

	"ringbin/storage"
)

// A log from before PasteWizard gives the state that it gave then, to the byte.
func TestLogFromBeforeNotes(t *testing.T) {
	t.Parallel()
	w := checkedWorld(t)
	w.must(SetMasterKey{Account: "ann", Random: RandomID{1}, Hash: secret(2)})
	w.must(SetMasterKey{Account: "ann", Random: RandomID{2}, Hash: secret(3)})
	w.must(RevokeKey{Account: "ann", ID: "key"})
	w.must(UpdateAccount{ID: "ann", Name: new("Änn")})
	w.must(AddCounts{Views: []ViewCount{{ID: "paste", N: 3}}})
	w.must(BlockContent{CID: sized(5, 2), Block: true})
	w.wait(40 * dayMillis)
	w.must(Sweep{Limit: 1000})
	w.must(Condemn{CIDs: []storage.CID{sized(5, 2), sized(1<<20, 1)}})
	h := stateHash(t, w.f)
	equal(t, "state hash", hex.EncodeToString(h[:]), "0d59593f381da53f60f3dff53a0e19a098393c8fb51368bebcbc62027d2ffb9b")
}
