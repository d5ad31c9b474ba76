package meta

import (
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// hotMost is how many records of one sort are kept decoded, twice over: those
// asked for lately, and those before them.
const hotMost = 32 << 10

// hot keeps what requests ask for most, decoded. A record is dropped when a
// batch that changes what it is made of is committed, before the batch's index
// shows anywhere: who waits for an index (I4) or for a command's answer (I14)
// never reads what is older than it.
type hot struct {
	accounts recent[string, Account]
	keys     recent[string, Key]
	keyIDs   recent[[32]byte, string] // by the SHA-256 of the secret
	shown    recent[storage.CID, shown]
}

// shown is content with a live upload as it is from one time up to another: no
// upload expires in between that says when it was uploaded or how long it lasts.
type shown struct {
	Blob
	from, until int64
}

// written are the records that a batch changes.
type written struct {
	accounts, keys []string
	keyIDs         [][32]byte
	shown          []storage.CID
}

// changes reads from a batch which records it changes.
func changes(b *pebble.Batch) (w written, err error) {
	for r := b.Reader(); ; {
		_, key, _, more, err := r.Next()
		if err != nil || !more {
			return w, err //nolint:wrapcheck // wrapped by commit
		}
		switch key[0] {
		case tableAccounts:
			w.accounts = append(w.accounts, string(key[1:len(key)-1]))
		case tableKeys:
			w.keys = append(w.keys, string(key[1:len(key)-1]))
		case tableKeyHashes:
			w.keyIDs = append(w.keyIDs, [32]byte(key[1:]))
		case tableBlobs, tableRefs, tableRefsUploaded, tableRefsExpiring:
			n := storage.CIDBinaryLen(key[1:])
			if n < 0 || n >= len(key) {
				return w, errors.New("key without a CID")
			}
			cid, err := storage.CIDFromBinary(key[1 : 1+n])
			if err != nil {
				return w, err
			}
			if last := len(w.shown) - 1; last < 0 || w.shown[last] != cid { // the rows of one reference are written together
				w.shown = append(w.shown, cid)
			}
		}
	}
}

func (h *hot) drop(w written) {
	h.accounts.drop(w.accounts)
	h.keys.drop(w.keys)
	h.keyIDs.drop(w.keyIDs)
	h.shown.drop(w.shown)
}

// clear drops all: the database is another one.
func (h *hot) clear() {
	h.accounts.clear()
	h.keys.clear()
	h.keyIDs.clear()
	h.shown.clear()
}

// recent keeps values by key, those that were asked for lately. Its zero value
// is empty. (A library's cache keeps what a reader puts into it, even when that was
// read before a batch dropped it.)
type recent[K comparable, V any] struct {
	mu sync.RWMutex // protects the fields below
	// young fills up; then it becomes old, and what nobody asked for since goes.
	young, old map[K]V
	drops      uint64 // how often something was dropped
}

// get returns a value, or what put needs to know to keep what is read instead.
func (r *recent[K, V]) get(k K) (v V, found bool, drops uint64) {
	r.mu.RLock()
	v, found = r.young[k]
	aged := false
	if !found {
		v, found = r.old[k]
		aged = found
	}
	drops = r.drops
	r.mu.RUnlock()
	if aged {
		r.put(k, v, drops)
	}
	return v, found, drops
}

// put keeps a value that was read, unless anything was dropped since get: it
// may be what was read before.
func (r *recent[K, V]) put(k K, v V, drops uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drops != drops {
		return
	}
	if len(r.young) >= hotMost {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = map[K]V{}
	}
	r.young[k] = v
}

func (r *recent[K, V]) drop(keys []K) {
	if len(keys) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops++
	for _, k := range keys {
		delete(r.young, k)
		delete(r.old, k)
	}
}

func (r *recent[K, V]) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops++
	r.young, r.old = nil, nil
}
