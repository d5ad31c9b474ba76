package meta

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"ringbin/storage"
)

// The files are what other versions of this program wrote: a test that finds
// them different found a break of the log, so only new names may be added.
var updateGolden = flag.Bool("update", false, "write the golden files that are missing")

// golden compares bytes with those that are pinned under a name.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".hex")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && *updateGolden {
		text = []byte(inLines(hex.EncodeToString(got)))
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%x\nand was\n%x", name, got, want)
	}
	return want
}

func inLines(s string) string {
	var b strings.Builder
	for len(s) > 96 {
		b.WriteString(s[:96] + "\n")
		s = s[96:]
	}
	return b.String() + s + "\n"
}

func goldenHeader() Header {
	h := Header{
		NotAfter: testStart + minute, Actor: Actor{Account: "acc_1", Key: "key_1"},
		Idem: &Idempotency{Scope: "acc_1"},
	}
	for i := range 32 {
		if i < len(h.ID) {
			h.ID[i] = byte(i + 1)
		}
		h.Idem.Key[i], h.Idem.Fingerprint[i] = byte(0x40+i), byte(0x80+i)
	}
	return h
}

// goldenCommands are all commands with all their members set.
func goldenCommands() []Command {
	cid := sized(1<<20, 0xab)
	var hash [32]byte
	copy(hash[:], bytes.Repeat([]byte{0xcd}, 32))
	ring := storage.Ring{
		Version: 8, R: 2, W: 2,
		Nodes: []storage.RingNode{
			{ID: "n1", Incarnation: 1, Zone: "a", Capacity: 100}, {ID: "n2", Incarnation: 300, Zone: "b", Capacity: 70000},
		},
		Owners: [][]uint16{{0, 1}, {1, 0}}, // a ring of two partitions: its form alone is pinned
	}
	return []Command{
		Tick{},
		CreateAccount{ID: "acc_1", Email: "Ann@Example.org", Name: "Änn", BalanceCents: 1234, EntryID: "txn_1"},
		UpdateAccount{ID: "acc_1", Disabled: new(true), Name: new("Ann"), Email: new("ann@example.net"), QuotaBytes: new(int64(1 << 40))},
		Deposit{EntryID: "txn_2", Account: "acc_1", AmountCents: 5000, Reference: "wire 17"},
		CreateKey{
			ID: "key_1", Account: "acc_1", API: "hashbin", Name: "laptop", Hash: hash, Days: 365,
			Scopes: []string{"read", "write"}, RatePerMinute: 600,
		},
		RevokeKey{Account: "acc_1", ID: "key_1"},
		TouchKeys{Used: []KeyUse{{ID: "key_1", Time: testStart}, {ID: "key_2", Time: testStart + 1}}},
		CommitUpload{
			Account: "acc_1", CID: cid, Days: 30, ContentType: "text/plain; charset=utf-8", EntryID: "txn_3",
			Receipts: []storage.Receipt{
				{Node: "n1", Incarnation: 1, CID: cid, Generation: 17, Time: testStart, RingVersion: 7},
				{Node: "n2", Incarnation: 300, CID: cid, Generation: 18, Time: testStart + 2, RingVersion: 8},
			},
		},
		Extend{Account: "acc_1", CID: cid, Days: 60, EntryID: "txn_4"},
		DeleteReference{Account: "acc_1", CID: sized(5, 'x')},
		BlockContent{CID: cid, Block: true, Reason: "court order"},
		Sweep{Limit: 500},
		PutNode{Node: testNode("n1", 3)},
		RemoveNode{ID: "n1"},
		SetRing{From: 7, Ring: ring},
		RingSynced{Node: "n2", Incarnation: 300, Version: 8},
		AbortRing{Version: 8},
		SetSettings{Patch: SettingsPatch{
			MaxUploadBytes: new(int64(1 << 33)), PriceCentsPerGiB: new(int64(4)), RateKeyPerMinute: new(int64(100)),
			RateIPPerMinute: new(int64(200)), CORSOrigins: new([]string{"https://example.org"}), AdminAPI: new(true),
			QuotaBytes: new(int64(1 << 41)), AnonymousQuotaBytes: new(int64(1 << 30)), Copies: new(3), VoterTarget: new(5),
		}},
		PartitionsSynced{Node: "n2", Incarnation: 300, Version: 8, Partitions: partitionSet(0, 9, 1023)},
		HoldRing{Hold: true},
		DrainNode{ID: "n1", Drain: true, Force: true},
		ReplaceNode{Old: "n1", New: "n4", Cancel: true},
		Condemn{CIDs: []storage.CID{sized(5, 'x'), cid}},
		DropTombstones{Limit: 500},
		NewEpoch{Node: testNode("n1", 3), Ring: ring, Reason: "two of three were lost", Others: []storage.NodeID{"n2", "n3"}},
		CreatePaste{
			ID: "abc12345", Account: "acc_1", CID: cid, Filename: "Änn.txt", Extension: "txt", MediaType: "text/plain", UTF8: true,
			Private: true, Created: testStart, Expires: testStart + minute, DeleteKey: hash,
			Receipts: []storage.Receipt{{Node: "n1", Incarnation: 1, CID: cid, Generation: 17, Time: testStart, RingVersion: 7}},
		},
		DeletePaste{ID: "abc12345"},
		SetPasteExpiry{ID: "abc12345", Expires: testStart + minute},
		CreateLink{
			ID: "abc123", Account: "acc_1", Target: "https://example.org/?ä", Title: "Änn", Created: testStart,
			Expires: testStart + minute, DeleteKey: hash,
		},
		DeleteLink{ID: "abc123"},
		SetLinkExpiry{ID: "abc123", Expires: testStart + minute},
		AddCounts{
			Views: []ViewCount{{ID: "abc12345", N: 3}},
			Clicks: []ClickCount{{
				ID: "abc123", Day: 19_675, N: 300, Last: testStart, Visitors: [][8]byte{{1, 2, 3, 4, 5, 6, 7, 8}, {9}},
				Referrers: map[string]int64{"news.example": 2, "a.example": 70_000}, Countries: map[string]int64{"CH": 1, "DE": 2},
				Browsers: map[string]int64{"curl": 1, "Firefox": 2},
			}},
			Uses: []KeyUse{{ID: "key_1", Time: testStart}},
		},
		SetSalt{Day: 19_675, Salt: hash},
		RequestKey{Email: "Ann@Example.org", Name: "Änn", Token: hash, Expires: testStart + minute},
		RedeemToken{Token: hash, Account: "acc_2", KeyID: "key_2", KeyHash: hash, API: "paste69"},
		OpenKey{Account: "acc_2", KeyID: "key_2", KeyHash: hash, API: "paste69", Email: "ann@example.org", Name: "Änn"},
	}
}

// goldenValues are the values of commands that answer with records of their own.
func goldenValues() []any {
	cid := sized(1<<20, 0xab)
	var hash [32]byte
	copy(hash[:], bytes.Repeat([]byte{0xcd}, 32))
	k := Key{
		ID: "key_1", Account: "acc_1", API: "paste69", Name: "laptop", Hash: hash, Created: testStart, Expires: testStart + minute,
		Revoked: testStart + 1, LastUsed: testStart + 2, Scopes: []string{"read"}, RatePerMinute: 600,
	}
	a := Account{
		ID: "acc_1", Email: "ann@example.org", Name: "Änn", BalanceCents: 1234, Disabled: true, Created: testStart, QuotaBytes: 1 << 40,
		UsedBytes: 1 << 30, Claimed: "eve@example.org", Pastes: 3, Links: 4,
	}
	return []any{
		Paste{
			ID: "abc12345", Filename: "Änn.txt", Extension: "txt", MediaType: "text/plain", CID: cid, Account: "acc_1", UTF8: true,
			Private: true, Created: testStart, Expires: testStart + minute, DeleteKey: hash, Views: 7,
		},
		Link{
			ID: "abc123", Target: "https://example.org/", Title: "Änn", Account: "acc_1", Created: testStart, Expires: testStart + minute,
			DeleteKey: hash, Clicks: 300, LastClick: testStart + 5,
		},
		Salt{Day: 19_675, Salt: hash},
		Redeemed{Key: k, Account: a},
	}
}

func allGoldenCommands() []Command {
	return slices.Concat(goldenCommands(), goldenBinCommands(), goldenNoteCommands())
}

// What an answer is remembered as is pinned, too, and read by the commands that give it.
func TestGoldenValues(t *testing.T) {
	t.Parallel()
	readers := map[string]commandType{"Paste": typeDeletePaste, "Link": typeSetLinkExpiry, "Salt": typeSetSalt, "Redeemed": typeRedeemToken}
	maps.Copy(readers, goldenBinReaders)
	maps.Copy(readers, goldenNoteReaders)
	for _, v := range slices.Concat(goldenValues(), goldenBinValues(), goldenNoteValues()) {
		name := strings.TrimPrefix(fmt.Sprintf("%T", v), "meta.")
		mustBeFilled(t, name, reflect.ValueOf(v))
		b, err := encMode.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := specs[readers[name]].decodeValue(golden(t, "value-"+name, b))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, got, v)
	}
}

// goldenPaste69 changes each setting of the dialect.
func goldenPaste69() *Paste69Patch {
	n := func(v int64) *int64 { return &v }
	return &Paste69Patch{
		Enabled: new(true), AnonymousUploads: new(true), MaxUpload: n(1 << 20), MaxUploadKey: n(1 << 21), AnonymousMinDays: n(1),
		AnonymousMaxDays: n(2), KeyMinDays: n(3), KeyMaxDays: n(4), RetentionReference: n(1 << 22), RetentionNever: new("anyone"),
		KeysMode: new("open"), FetchUploads: new(true), FetchTitles: new(true), FetchPorts: new([]int64{80, 8080}),
		FetchDeny: new([]string{"192.0.2.0/24"}), ServeHTML: new(true), CORSOrigins: new([]string{"https://example.org"}),
		FlushMillis: n(500), FlushCount: n(600),
		Rates: &Paste69RatesPatch{
			WriteAddr: &Rate{PerSecond: 1, Burst: 2}, WriteKey: &Rate{PerSecond: 3, Burst: 4}, ReadAddr: &Rate{PerSecond: 5, Burst: 6},
			ReadKey: &Rate{PerSecond: 7, Burst: 8}, KeyRequestsPerHour: n(9), KeyRequestsPerDayEmail: n(10), WrongSecretsPerMinute: n(11),
		},
	}
}

// laterMembers are members that came after their command's golden file; each has
// a file of its own, in which it is set.
var laterMembers = map[string]Command{
	"SetSettings.Patch.DeletionGraceSeconds": SetSettings{Patch: SettingsPatch{DeletionGraceSeconds: new(int64(3600))}},
	"SetSettings.Patch.Paste69":              SetSettings{Patch: SettingsPatch{Paste69: goldenPaste69()}},
	"SetSettings.Patch.JSONBin":              SetSettings{Patch: SettingsPatch{JSONBin: goldenJSONBin()}},
	"SetSettings.Patch.PasteWizard":          SetSettings{Patch: SettingsPatch{PasteWizard: goldenPasteWizard()}},
	"CreateAccount.Numbered":                 CreateAccount{ID: "acc_1", Email: "ann@example.org", Name: "Ann", Numbered: true},
	"UpdateAccount.Admin":                    UpdateAccount{ID: "acc_1", Admin: new(true)},
	"AddCounts.Notes":                        AddCounts{Notes: []ViewCount{{ID: "Ab3Xy9Qk", N: 3}}},
	"NewEpoch.Former":                        NewEpoch{Node: testNode("n1", 3), Ring: testRing(2, 1, "n1"), Former: "cluster"},
}

// laterInValues are the same of values; they are set in the golden file of another one.
var laterInValues = map[string]bool{
	"Redeemed.Key.Sealed": true, "Redeemed.Key.Number": true, "Key.Number": true,
	"Redeemed.Account.Number": true, "Redeemed.Account.Admin": true, "Redeemed.Account.Notes": true,
}

// Commands with a member that came later are pinned beside those without it.
func TestGoldenLaterMembers(t *testing.T) {
	t.Parallel()
	mustBeFilled(t, "Paste69Patch", reflect.ValueOf(goldenPaste69()))
	mustBeFilled(t, "JSONBinPatch", reflect.ValueOf(goldenJSONBin()))
	mustBeFilled(t, "PasteWizardPatch", reflect.ValueOf(goldenPasteWizard()))
	for path, c := range laterMembers {
		b, err := Encode(goldenHeader(), c)
		if err != nil {
			t.Fatal(err)
		}
		d, err := decode(golden(t, fmt.Sprintf("command-%02d-%s", c.commandType(), path), b))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, path, d.body, c)
	}
}

// mustBeFilled fails the test when a member is not set: one that is added
// later has to show in a golden file, too.
func mustBeFilled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[storage.CID]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			mustBeFilled(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		if v.Elem().Kind() != reflect.Struct {
			return
		}
		mustBeFilled(t, path, v.Elem())
	case v.Kind() == reflect.Slice && v.Len() > 0 && v.Index(0).Kind() == reflect.Struct:
		mustBeFilled(t, path+"[0]", v.Index(0))
	default:
		if _, later := laterMembers[path]; !later && !laterInValues[path] && v.IsZero() {
			t.Errorf("%s is not set", path)
		}
	}
}

// The bytes of each command are pinned for ever: old logs must be read alike by
// every version of the program.
func TestGoldenCommands(t *testing.T) {
	t.Parallel()
	seen := map[commandType]bool{}
	mustBeFilled(t, "Header", reflect.ValueOf(goldenHeader()))
	for _, c := range allGoldenCommands() {
		name := strings.TrimPrefix(fmt.Sprintf("%T", c), "meta.")
		seen[c.commandType()] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustBeFilled(t, name, reflect.ValueOf(c))
			b, err := Encode(goldenHeader(), c)
			if err != nil {
				t.Fatal(err)
			}
			pinned := golden(t, fmt.Sprintf("command-%02d-%s", c.commandType(), name), b)
			d, err := decode(pinned)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "header", d.header, goldenHeader())
			equal(t, "body", d.body, c)
			equal(t, "type", d.spec.typ, commandType(pinned[0]))
		})
	}
	for typ := range specs {
		if !seen[typ] {
			t.Errorf("command type %d has no golden file", typ)
		}
	}
}

func TestGoldenEnvelope(t *testing.T) {
	t.Parallel()
	commands := [][]byte{{1, 2, 3}, {}, bytes.Repeat([]byte{7}, 130)}
	b := golden(t, "envelope", Pack(testStart, commands))
	stamp, got, err := unpack(b)
	if err != nil || stamp != testStart || len(got) != len(commands) {
		t.Fatal(stamp, got, err)
	}
	for i := range commands {
		if !bytes.Equal(got[i], commands[i]) {
			t.Errorf("command %d is %x", i, got[i])
		}
	}
}

// A snapshot that this version writes is pinned, too, and one that an older one
// wrote is restored.
func TestGoldenSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(Tick{})
	b := golden(t, "snapshot", snapshotOf(t, w.f))
	if !bytes.HasPrefix(b, []byte("ringbin meta 1\n")) {
		t.Errorf("snapshot begins with %q", b[:min(20, len(b))])
	}
	other := newWorld(t)
	if err := restore(other.f, b); err != nil {
		t.Fatal(err)
	}
	equal(t, "state hash", stateHash(t, other.f), stateHash(t, w.f))
	equal(t, "applied index", other.f.AppliedIndex(), uint64(1))
	equal(t, "FSM time", other.f.Now(), testStart)
}

// withCRC makes an envelope of bytes that pass its checksum.
func withCRC(version byte, rest []byte) []byte {
	sum := crc32.Checksum(rest, crcTable)
	return append([]byte{version, byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, rest...)
}

// What can't be read halts the node, for ever: to skip it would be to diverge.
func TestHalts(t *testing.T) {
	t.Parallel()
	tick, err := Encode(Header{ID: RequestID{9}}, Tick{})
	if err != nil {
		t.Fatal(err)
	}
	good := Pack(testStart, [][]byte{tick})
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	unknown := bytes.Clone(tick)
	unknown[0] = 0xee
	stamp := make([]byte, 8)
	for name, data := range map[string][]byte{
		"unknown type":         Pack(testStart, [][]byte{tick, unknown}),
		"empty command":        Pack(testStart, [][]byte{{}}),
		"header is no CBOR":    Pack(testStart, [][]byte{{1, 1, 0xff, 0xa0}}),
		"body is no CBOR":      Pack(testStart, [][]byte{append(bytes.Clone(tick[:len(tick)-1]), 0xff)}),
		"header is cut":        Pack(testStart, [][]byte{tick[:3]}),
		"wrong checksum":       flipped,
		"empty entry":          {},
		"cut within the stamp": good[:7],
		"unknown version":      withCRC(2, stamp),
		"length past the end":  withCRC(1, append(bytes.Clone(stamp), 5, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []error
			o := testOptions(vfs.NewMem())
			o.OnHalt = func(err error) { told = append(told, err) }
			w := &world{t: t, f: openTest(t, o), now: testStart}
			w.must(Tick{})
			before := stateHash(t, w.f)
			// An entry that could be applied goes with it: the batch is dropped whole.
			answers := w.f.ApplyBatch([]*raft.Log{w.append(tick), {Index: 3, Term: 1, Type: raft.LogCommand, Data: data}})
			for _, a := range answers {
				if a == nil {
					t.Error("no error for raft")
				}
			}
			next, err := Encode(Header{ID: RequestID{10}}, Tick{})
			if err != nil {
				t.Fatal(err)
			}
			if w.f.Apply(&raft.Log{Index: 4, Term: 1, Type: raft.LogCommand, Data: Pack(testStart, [][]byte{next})}) == nil {
				t.Error("an entry behind it is applied")
			}
			equal(t, "OnHalt's calls", len(told), 1)
			equal(t, "applied index", w.f.AppliedIndex(), uint64(1))
			equal(t, "state hash", stateHash(t, w.f), before)
			if _, err := w.f.Snapshot(); err == nil {
				t.Error("a node that has halted makes a snapshot")
			}
		})
	}
}

// Encode refuses what the log should not carry, but lets a large ring through.
func TestEncodeRefusesLargeCommands(t *testing.T) {
	t.Parallel()
	_, err := Encode(Header{}, CreateAccount{Name: strings.Repeat("x", CommandMax)})
	equal(t, "kind", storage.KindOf(err), storage.KindTooLarge)
	if _, err := Encode(Header{}, CreateAccount{Name: strings.Repeat("x", CommandMax-100)}); err != nil {
		t.Error(err)
	}
	var ids []storage.NodeID
	for i := range 600 {
		ids = append(ids, storage.NodeID(fmt.Sprintf("%0100d", i)))
	}
	if _, err := Encode(Header{}, SetRing{Ring: testRing(1, 7, ids...)}); err != nil {
		t.Error(err)
	}
}
