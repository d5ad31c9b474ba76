package meta

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"ringbin/storage"
)

// held is content that something of JSONBin holds: the base of a bin, one of
// its versions, or a schema doc. It has a reference of its own until it is
// dropped, or taken down for good.
type held struct {
	holder  string
	account string // that its bytes are counted for
	cid     storage.CID
	taken   bool
}

// Sorts of holders, the first byte of their names.
const (
	holderBase    = 'b'
	holderVersion = 'v'
	holderSchema  = 's'
)

func baseHolder(bin string) string { return string(holderBase) + bin }

func schemaHolder(doc string) string { return string(holderSchema) + doc }

func versionHolder(v versionID) string {
	return fmt.Sprintf("%c%s.%d.%d", holderVersion, v.bin, v.clearing, v.n)
}

func splitVersionHolder(holder string) (v versionID, err error) {
	parts := strings.Split(holder[1:], ".")
	if len(parts) != 3 {
		return v, fmt.Errorf("%w: holder %q", errCorruptState, holder)
	}
	clearing, err1 := strconv.ParseUint(parts[1], 10, 64)
	n, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return v, fmt.Errorf("%w: holder %q", errCorruptState, holder)
	}
	return versionID{bin: parts[0], clearing: clearing, n: n}, nil
}

func (b Bin) base() held {
	return held{holder: baseHolder(b.ID), account: b.Account, cid: b.Base, taken: b.BaseTaken}
}

func (d SchemaDoc) held() held {
	return held{holder: schemaHolder(d.ID), account: d.Account, cid: d.CID, taken: d.Taken}
}

func (h held) ref() refID { return refID{cid: h.cid, kind: refBin, holder: h.holder} }

// record is the one form of such a reference: there is no need to know when it was made.
func (h held) record() refRecord { return refRecord{Expires: never, Account: h.account} }

// roomFor refuses content above the account's quota, when it comes in the place of old.
func (t *tx) roomFor(a Account, cid storage.CID, old *held) error {
	if old != nil && !old.taken && !old.cid.Inline() {
		a.UsedBytes -= old.cid.Size()
	}
	return t.withinQuota(a, cid)
}

// hold writes the reference of new content, in the place of old if there is
// any. What forbids it was looked for before.
func (t *tx) hold(h held, b blobRecord, known bool, old *held) error {
	if old != nil && old.cid == h.cid && old.taken == h.taken {
		return nil // the same record again moves nothing
	}
	if !h.taken {
		a, ok, err := t.account(h.account)
		if err != nil || !ok {
			return orFatal(err, "content of an account that is not there")
		}
		if err := t.addReference(&a, h.ref(), b, known, nil, h.record(), Entry{}); err != nil {
			return err
		}
	}
	if old == nil {
		return nil
	}
	return t.letGo(*old)
}

// letGo drops the reference of content that its holder has no more.
func (t *tx) letGo(h held) error {
	if h.taken {
		return nil
	}
	return t.dropRef(h.ref(), h.record())
}

// take notes with a holder that its content was taken down for good: the caller
// drops its reference. The holder stays, and has no bytes any more.
func (t *tx) take(holder string) error {
	if holder == "" {
		return fmt.Errorf("%w: reference of nobody", errCorruptState)
	}
	switch id := holder[1:]; holder[0] {
	case holderBase:
		return change(t, binKey(id), func(b *Bin) { b.BaseTaken = true })
	case holderSchema:
		return change(t, schemaDocKey(id), func(d *SchemaDoc) { d.Taken = true })
	case holderVersion:
		v, err := splitVersionHolder(holder)
		if err != nil {
			return err
		}
		return change(t, v.key(), func(r *versionRecord) { r.Taken = true })
	}
	return fmt.Errorf("%w: holder %q", errCorruptState, holder)
}

// change changes a record that must be there.
func change[T any](t *tx, k []byte, by func(*T)) error {
	v, ok, err := read[T](t, k)
	if err != nil || !ok {
		return orFatal(err, fmt.Sprintf("no record under key %x", k))
	}
	by(&v)
	return write(t, k, v)
}

// heldBy returns what a holder of that name holds.
func heldBy(r pebble.Reader, holder string) (h held, found bool, err error) {
	if holder == "" {
		return h, false, nil
	}
	switch id := holder[1:]; holder[0] {
	case holderBase:
		b, ok, err := lookUp[Bin](r, binKey(id))
		return b.base(), ok, err
	case holderSchema:
		d, ok, err := lookUp[SchemaDoc](r, schemaDocKey(id))
		return d.held(), ok, err
	case holderVersion:
		v, err := splitVersionHolder(holder)
		if err != nil {
			return h, false, nil //nolint:nilerr // no such holder
		}
		rec, ok, err := lookUp[versionRecord](r, v.key())
		return held{holder: holder, cid: rec.CID, taken: rec.Taken}, ok, err
	}
	return h, false, nil
}

// holds tells of content without its reference.
func (c *check) holds(h held) error {
	if h.taken {
		return nil
	}
	return c.mustRef(h.ref(), new(h.record()), "the reference of %q to %s", h.holder, h.cid)
}

// heldBy tells of a reference whose holder is not there, or holds something else.
func (c *check) heldBy(id refID) error {
	h, ok, err := heldBy(c.r, id.holder)
	switch {
	case err != nil:
		return c.say("holder %q of %s: %v", id.holder, id.cid, err)
	case !ok || h.taken || h.cid != id.cid:
		return c.say("%q, which holds a reference to %s, does not", id.holder, id.cid)
	}
	return nil
}
