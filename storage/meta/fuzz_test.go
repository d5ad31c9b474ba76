package meta

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// What decodes encodes to a form that is read alike and does not change again.
// It may differ from what came in: only what Encode writes is canonical.
func FuzzDecodeCommand(f *testing.F) {
	for _, c := range allGoldenCommands() {
		for _, h := range []Header{goldenHeader(), {ID: RequestID{1}}} {
			b, err := Encode(h, c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decode(b)
		if err != nil {
			return
		}
		if d.body.commandType() != d.spec.typ || byte(d.spec.typ) != b[0] {
			t.Fatalf("type %d is read as %T", b[0], d.body)
		}
		once, err := Encode(d.header, d.body)
		if err != nil {
			return // above the limit in its canonical form
		}
		again, err := decode(once)
		if err != nil {
			t.Fatalf("%x does not decode: %v", once, err)
		}
		twice, err := Encode(again.header, again.body)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%x becomes %x, %v", once, twice, err)
		}
	})
}

func FuzzUnpack(f *testing.F) {
	f.Add(Pack(testStart, nil))
	f.Add(Pack(testStart, [][]byte{{1, 2, 3}, {}, bytes.Repeat([]byte{7}, 130)}))
	f.Add(withCRC(1, append(make([]byte, 8), 0x80, 0x00))) // a length in two bytes where one will do
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		stamp, commands, err := unpack(b)
		if err != nil {
			// Behind a right checksum nothing may panic either.
			if len(b) < envelopeHead {
				return
			}
			if stamp, commands, err = unpack(withCRC(envelopeVersion, b[5:])); err != nil {
				return
			}
		}
		packed := Pack(stamp, commands)
		stamp2, commands2, err := unpack(packed)
		if err != nil || stamp2 != stamp || len(commands2) != len(commands) {
			t.Fatalf("%x is read as %d, %x, %v", packed, stamp2, commands2, err)
		}
		for i := range commands {
			if !bytes.Equal(commands[i], commands2[i]) {
				t.Fatalf("command %d is %x and was %x", i, commands2[i], commands[i])
			}
		}
	})
}

// The snapshot of a state that came out of a snapshot gives that state again;
// a snapshot that is refused leaves the state as it was.
func FuzzSnapshot(f *testing.F) {
	fsm, err := Open(testDir, testOptions(vfs.NewMem()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(snapshotOf(f, fsm), false)
	w := &world{t: f, f: fsm, now: testStart}
	w.must(CreateAccount{ID: "ann", Email: "a", BalanceCents: 5, EntryID: "e"})
	b := snapshotOf(f, fsm)
	if err := fsm.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Add(b, true)
	f.Add(b[:len(b)-1], false)
	f.Add([]byte(snapshotHead), false)
	f.Fuzz(func(t *testing.T, b []byte, sign bool) {
		if sign && len(b) > 32 {
			b = signed(b)
		}
		fsm, err := Open(testDir, testOptions(vfs.NewMem()))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := fsm.Close(); err != nil {
				t.Error(err)
			}
		}()
		before := stateHash(t, fsm)
		if err := fsm.fill("db-2", bytes.NewReader(b)); err != nil {
			if stateHash(t, fsm) != before {
				t.Error("a refused snapshot changes the state")
			}
			return
		}
		if err := fsm.swap("db-2"); err != nil {
			return // well-formed, but no state: the node does not come up with it
		}
		once := snapshotOf(t, fsm)
		if err := restore(fsm, once); err != nil {
			t.Fatalf("%x is refused: %v", once, err)
		}
		if twice := snapshotOf(t, fsm); !bytes.Equal(once, twice) {
			t.Errorf("%x becomes %x", once, twice)
		}
	})
}
