package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
	"ringbin/storage/meta"
)

// pasteRig is one node with two owners, who each have a key.
type pasteRig struct {
	node *node.Node
	s    *node.Service
	op   node.Caller
	a, b node.Caller
}

func openPasteRig(t *testing.T) *pasteRig {
	t.Helper()
	n := open(t, 1)[0]
	r := &pasteRig{node: n, s: n.Service()}
	var err error
	if r.op, err = r.s.AuthenticateOperator(t.Context(), n.AdminToken()); err != nil {
		t.Fatal(err)
	}
	r.a, r.b = r.owner(t, "a@example.com"), r.owner(t, "b@example.com")
	return r
}

func (r *pasteRig) owner(t *testing.T, email string) node.Caller {
	t.Helper()
	a, _, err := r.s.CreateAccount(t.Context(), r.op, node.NewAccount{Email: email, Name: email}, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := r.s.CreateKey(t.Context(), r.op, a.ID, node.NewKey{API: node.APIPaste69, Name: "k"})
	if err != nil || key.Expires != 0 || len(secret) != 64 {
		t.Fatalf("%+v, a secret of %d: %v", key, len(secret), err)
	}
	c, err := r.s.Authenticate(t.Context(), node.APIPaste69, secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.Authenticate(t.Context(), node.APIHashBin, secret); storage.CodeOf(err) != "auth_invalid" {
		t.Fatalf("a key of Paste69 in HashBin: %v", err)
	}
	return c
}

func (r *pasteRig) paste(t *testing.T, c node.Caller, content string, private bool) (node.Paste, string) {
	t.Helper()
	p, deleteKey, err := r.s.CreatePaste(t.Context(), c, node.NewPaste{
		Body: bytes.NewReader([]byte(content)), ContentLength: -1, Filename: "f.txt", Extension: "txt", MediaType: "text/plain",
		UTF8: true, Private: private,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, deleteKey
}

func (r *pasteRig) set(t *testing.T, p meta.Paste69Patch) {
	t.Helper()
	if _, err := r.s.SetSettings(t.Context(), r.op, node.SettingsPatch{Paste69: &p}); err != nil {
		t.Fatal(err)
	}
}

func code(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := storage.CodeOf(err); got != want || (err == nil) != (want == "") {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// TestPasteComesBack: bytes, of whatever size, with what was said of them only
// once they had been read.
func TestPasteComesBack(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	for _, size := range []int{1, 64, 65, 4000, 300_000} {
		content := bytes.Repeat([]byte("x"), size)
		before := 0
		p, deleteKey, err := r.s.CreatePaste(t.Context(), node.Caller{}, node.NewPaste{
			Body: bytes.NewReader(content), ContentLength: int64(size),
			BeforeBody: func() error { before++; return nil },
			AfterBody: func(p *node.NewPaste) error {
				if p.Size != int64(size) || len(p.Head) != min(size, 3072) || before != 1 {
					return fmt.Errorf("%d bytes, a head of %d, %d calls before", p.Size, len(p.Head), before)
				}
				p.Filename, p.Extension, p.MediaType, p.UTF8 = "late.md", "md", "text/markdown", true
				p.Expiry = node.Expiry{Seconds: 3600}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.ID) != 8 || len(deleteKey) != 32 || p.Filename != "late.md" || p.MediaType != "text/markdown" || !p.UTF8 ||
			p.Expires != p.Created+3_600_000 || p.Created%1000 != 0 || p.Account != "" {
			t.Errorf("%d bytes: %+v, delete key %q", size, p, deleteKey)
		}
		got, err := r.s.Paste(t.Context(), r.b, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.s.PasteContent(t.Context(), got)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(b, content) || c.ContentType != "text/markdown" || c.Size() != int64(size) {
			t.Errorf("%d bytes came back as %d of %s: %v", size, len(b), c.ContentType, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		// What only pastes know is not shown by its CID; inline content is its own.
		_, err = r.s.Content(t.Context(), p.CID)
		code(t, fmt.Sprint(size, " bytes by their CID"), err, map[bool]string{false: "content_not_found", true: ""}[p.CID.Inline()])
	}
}

func TestPasteIsRefused(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	limit, limitKey, days := int64(100), int64(200), int64(1)
	r.set(t, meta.Paste69Patch{MaxUpload: &limit, MaxUploadKey: &limitKey, AnonymousMinDays: &days, AnonymousMaxDays: &days})
	if r.s.PasteUploadLimit(node.Caller{}) != limit || r.s.PasteUploadLimit(r.a) != limitKey {
		t.Fatal("limits")
	}
	for _, c := range []struct {
		name     string
		who      node.Caller
		size     int
		declared int64
		p        node.NewPaste
		code     string
		unread   bool // refused before the body
	}{
		{name: "private without a key", size: 5, declared: -1, p: node.NewPaste{Private: true}, code: "private_needs_key", unread: true},
		{name: "for ever without a key", size: 5, declared: -1, p: node.NewPaste{Expiry: node.Expiry{Never: true}}, code: "never_needs_key", unread: true},
		{name: "in the past", size: 5, declared: -1, p: node.NewPaste{Expiry: node.Expiry{At: 1}}, code: "expiry_not_future", unread: true},
		{name: "declared too large", size: 101, declared: 101, code: "payload_too_large", unread: true},
		{name: "too large", size: 101, declared: -1, code: "payload_too_large"},
		{name: "as large as may be", size: 100, declared: 100},
		{name: "larger with a key", who: r.a, size: 200, declared: -1},
		{name: "too long", size: 5, declared: -1, p: node.NewPaste{Expiry: node.Expiry{Seconds: 86_401}}, code: "expiry_too_long"},
		{name: "for ever with a key", who: r.a, size: 5, declared: -1, p: node.NewPaste{Expiry: node.Expiry{Never: true}}},
		{name: "private with a key", who: r.a, size: 5, declared: -1, p: node.NewPaste{Private: true}},
		{name: "private by a field behind the content", size: 5, declared: -1, code: "private_needs_key", p: node.NewPaste{
			AfterBody: func(p *node.NewPaste) error { p.Private = true; return nil },
		}},
	} {
		read := false
		c.p.Body, c.p.ContentLength = bytes.NewReader(bytes.Repeat([]byte("y"), c.size)), c.declared
		c.p.BeforeBody = func() error { read = true; return nil }
		_, _, err := r.s.CreatePaste(t.Context(), c.who, c.p)
		code(t, c.name, err, c.code)
		if c.unread == read {
			t.Errorf("%s: the body was read: %t", c.name, read)
		}
	}
	off := false
	r.set(t, meta.Paste69Patch{AnonymousUploads: &off})
	_, _, err := r.s.CreatePaste(t.Context(), node.Caller{}, node.NewPaste{Body: bytes.NewReader([]byte("z")), ContentLength: 1})
	code(t, "anonymous, switched off", err, "anonymous_disabled")
}

// TestPasteIDs: what a path stands for is never an id.
func TestPasteIDs(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	asked := 0
	p, _, err := r.s.CreatePaste(t.Context(), node.Caller{}, node.NewPaste{
		Body: bytes.NewReader([]byte("z")), ContentLength: 1,
		Reserved: func(string) bool { asked++; return asked < 3 },
	})
	if err != nil || asked != 3 || len(p.ID) != 8 {
		t.Fatalf("%q after %d draws: %v", p.ID, asked, err)
	}
	_, _, err = r.s.CreateLink(t.Context(), r.a, node.NewLink{Target: "https://example.com", Reserved: func(string) bool { return true }})
	code(t, "no id is free", err, "id_taken")
}

// TestPasteRights: who may do what, and what everybody else is told.
func TestPasteRights(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	nobody := node.Caller{}
	owners := map[string]node.Caller{"a's": r.a, "a's private": r.a, "nobody's": nobody}
	for _, c := range []struct {
		paste, who string
		key        string // right, wrong, none
		read, set  string // codes
	}{
		{"a's", "a", "none", "", ""},
		{"a's", "a", "wrong", "", ""},
		{"a's", "b", "none", "", "not_authorized"},
		{"a's", "b", "right", "", ""},
		{"a's", "b", "wrong", "", "delete_key_invalid"},
		{"a's", "nobody", "none", "", "auth_missing"},
		{"a's", "nobody", "right", "", ""},
		{"a's", "nobody", "wrong", "", "delete_key_invalid"},
		{"a's private", "a", "none", "", ""},
		{"a's private", "b", "none", "not_found", "not_found"},
		{"a's private", "b", "wrong", "not_found", "not_found"},
		{"a's private", "b", "right", "not_found", ""},
		{"a's private", "nobody", "none", "not_found", "not_found"},
		{"a's private", "nobody", "right", "not_found", ""},
		{"nobody's", "a", "none", "", "not_authorized"},
		{"nobody's", "a", "right", "", ""},
		{"nobody's", "nobody", "none", "", "auth_missing"},
		{"nobody's", "nobody", "right", "", ""},
		{"nobody's", "nobody", "wrong", "", "delete_key_invalid"},
	} {
		name := fmt.Sprintf("%s of %s, delete key %s", c.who, c.paste, c.key)
		p, right := r.paste(t, owners[c.paste], name, c.paste == "a's private")
		who := map[string]node.Caller{"a": r.a, "b": r.b, "nobody": nobody}[c.who]
		key := map[string]string{"right": right, "wrong": "x" + right[1:] + "y"}[c.key]
		_, err := r.s.Paste(t.Context(), who, p.ID)
		code(t, name+" reads", err, c.read)
		after, err := r.s.SetPasteExpiry(t.Context(), who, p.ID, key, node.Expiry{Seconds: 60})
		code(t, name+" sets", err, c.set)
		if err == nil && (after.Expires > r.s.Now()+60_000 || after.Expires < p.Created) {
			t.Errorf("%s: ends at %d", name, after.Expires)
		}
		if c.key != "none" {
			_, err = r.s.CheckPasteKey(t.Context(), p.ID, key)
			want := ""
			if c.key == "wrong" {
				want = "delete_key_invalid"
				if p.Private {
					want = "not_found"
				}
			}
			code(t, name+" checks", err, want)
		}
		code(t, name+" deletes", r.s.DeletePaste(t.Context(), who, p.ID, key), c.set)
		if c.set == "" {
			code(t, name+" deletes again", r.s.DeletePaste(t.Context(), who, p.ID, key), "not_found")
			_, err = r.s.Paste(t.Context(), owners[c.paste], p.ID)
			code(t, name+" has deleted", err, "not_found")
		}
	}
	for _, id := range []string{"", "short", "unknown1", "not-one!", "AAAAAAAA"} {
		_, err := r.s.Paste(t.Context(), r.a, id)
		code(t, "id "+id, err, "not_found")
	}
}

// TestPasteExpires: not found from that second on, and what is set anew counts
// from the request, by how the paste was made.
func TestPasteExpires(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	p, deleteKey := r.paste(t, node.Caller{}, "made without a key", false)
	_, err := r.s.SetPasteExpiry(t.Context(), r.a, p.ID, deleteKey, node.Expiry{Never: true})
	code(t, "never for what was made without a key", err, "never_needs_key")
	_, err = r.s.SetPasteExpiry(t.Context(), r.a, p.ID, deleteKey, node.Expiry{Seconds: 700 * 86_400})
	code(t, "two years for what was made without a key", err, "expiry_too_long")
	own, _ := r.paste(t, r.a, "kept", false)
	own, err = r.s.SetPasteExpiry(t.Context(), r.a, own.ID, "", node.Expiry{Never: true})
	if err != nil || own.Expires != 0 {
		t.Fatalf("%+v %v", own, err)
	}
	_, err = r.s.SetPasteExpiry(t.Context(), r.a, own.ID, "", node.Expiry{})
	code(t, "no wish", err, "expiry_invalid")
	short, err := r.s.SetPasteExpiry(t.Context(), r.a, own.ID, "", node.Expiry{Seconds: 2})
	if err != nil {
		t.Fatal(err)
	}
	for r.s.Now() < short.Expires {
		if _, err := r.s.Paste(t.Context(), r.a, own.ID); err != nil && r.s.Now() < short.Expires {
			t.Fatalf("%d ms before its end: %v", short.Expires-r.s.Now(), err)
		}
		<-time.After(20 * time.Millisecond)
	}
	_, err = r.s.Paste(t.Context(), r.a, own.ID)
	code(t, "when its time is over", err, "not_found")
}

func applied(t *testing.T, r *pasteRig) uint64 {
	t.Helper()
	s, err := r.s.ClusterStatus(t.Context(), r.op)
	if err != nil {
		t.Fatal(err)
	}
	return s.Applied
}

func TestPasteLists(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	var sizes []int64
	for i := range 5 {
		p, _ := r.paste(t, r.a, fmt.Sprintf("%0*d", 10*(1+(i*3)%5), i), i == 2)
		sizes = append(sizes, p.CID.Size())
	}
	r.paste(t, r.b, "another's", false)
	r.paste(t, node.Caller{}, "nobody's", false)
	for _, c := range []struct {
		o    node.ListOrder
		want []int64 // sizes
	}{
		{node.ListOrder{Page: 1, Limit: 10, Sort: "size"}, []int64{10, 20, 30, 40, 50}},
		{node.ListOrder{Page: 1, Limit: 2, Sort: "size", Reverse: true}, []int64{50, 40}},
		{node.ListOrder{Page: 3, Limit: 2, Sort: "size"}, []int64{50}},
		{node.ListOrder{Page: 4, Limit: 2, Sort: "size"}, []int64{}},
		{node.ListOrder{Page: 1 << 62, Limit: 100, Sort: "size"}, []int64{}},
	} {
		page, total, err := r.s.Pastes(t.Context(), r.a, c.o)
		if err != nil || total != 5 || page == nil {
			t.Fatal(total, err)
		}
		got := []int64{}
		for _, p := range page {
			got = append(got, p.CID.Size())
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%+v: %v, want %v of %v", c.o, got, c.want, sizes)
		}
	}
	_, _, err := r.s.Pastes(t.Context(), node.Caller{}, node.ListOrder{Page: 1, Limit: 10})
	code(t, "nobody's list", err, "auth_missing")
}

func TestLinks(t *testing.T) {
	t.Parallel()
	r := openPasteRig(t)
	ctx := t.Context()
	_, _, err := r.s.CreateLink(ctx, node.Caller{}, node.NewLink{Target: "https://example.com"})
	code(t, "without a key", err, "auth_missing")
	l, deleteKey, err := r.s.CreateLink(ctx, r.a, node.NewLink{Target: "https://example.com/ü", Title: "T"})
	if err != nil || len(l.ID) != 6 || l.Expires != 0 || l.Title != "T" {
		t.Fatalf("%+v %v", l, err)
	}
	if got, err := r.s.Link(ctx, l.ID); err != nil || got.Target != "https://example.com/ü" {
		t.Fatalf("%+v %v", got, err)
	}
	_, err = r.s.OwnLink(ctx, r.b, l.ID)
	code(t, "another's", err, "not_authorized")
	_, err = r.s.OwnLink(ctx, node.Caller{}, l.ID)
	code(t, "nobody's", err, "auth_missing")
	_, err = r.s.CheckLinkKey(ctx, l.ID, deleteKey)
	code(t, "the right delete key", err, "")
	_, err = r.s.CheckLinkKey(ctx, l.ID, deleteKey+"x")
	code(t, "a wrong delete key", err, "delete_key_invalid")
	for range 3 {
		r.s.CountClick(l.ID, node.Click{Addr: netip.MustParseAddr("198.51.100.7"), Browser: "curl"})
	}
	var stats node.LinkStats
	for len(stats.Days) == 0 || stats.Link.Clicks < 3 {
		if ctx.Err() != nil {
			t.Fatal("the clicks were never written")
		}
		today := int32(r.s.Now() / 86_400_000)
		if stats, err = r.s.LinkStats(ctx, r.a, l.ID, today-1, today); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
	if d := stats.Days[len(stats.Days)-1]; stats.Link.Clicks != 3 || d.Visitors != 1 || d.Browsers["curl"] != 3 {
		t.Errorf("%+v", stats)
	}
	_, err = r.s.LinkStats(ctx, r.b, l.ID, 0, 1<<20)
	code(t, "another's statistics", err, "not_authorized")
	if l, err = r.s.SetLinkExpiry(ctx, node.Caller{}, l.ID, deleteKey, node.Expiry{Months: 12_000}); err != nil || l.Expires == 0 {
		t.Errorf("a thousand years: %+v %v", l, err)
	}
	if l, err = r.s.SetLinkExpiry(ctx, r.a, l.ID, "", node.Expiry{Never: true}); err != nil || l.Expires != 0 {
		t.Errorf("for ever: %+v %v", l, err)
	}
	if page, total, err := r.s.Links(ctx, r.a, node.ListOrder{Page: 1, Limit: 10, Sort: "clicks"}); err != nil || total != 1 || page[0].ID != l.ID {
		t.Errorf("%+v %d %v", page, total, err)
	}
	code(t, "another deletes", r.s.DeleteLink(ctx, r.b, l.ID, ""), "not_authorized")
	code(t, "with the delete key", r.s.DeleteLink(ctx, r.b, l.ID, deleteKey), "")
	_, err = r.s.Link(ctx, l.ID)
	code(t, "deleted", err, "not_found")
}

// TestStopWritesCounts: what has gathered is written at a clean stop, burst or not.
func TestStopWritesCounts(t *testing.T) {
	t.Parallel()
	cfg := node.Config{
		DataDir: filepath.Join(t.TempDir(), "n"), Secret: []byte(cluster.NewSecret()), HTTP: "127.0.0.1:0", RPC: freeAddr(t), Gossip: freeAddr(t),
		FreeFloorBytes: -1, CacheBytes: 8 << 20, Logger: testLogger(0),
	}
	start := func() *node.Node {
		n, err := node.Open(t.Context(), cfg, plain)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		return n
	}
	stop := func(n *node.Node) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	n := start()
	r := &pasteRig{node: n, s: n.Service()}
	var err error
	if r.op, err = r.s.AuthenticateOperator(t.Context(), n.AdminToken()); err != nil {
		t.Fatal(err)
	}
	r.a = r.owner(t, "a@example.com")
	p, _ := r.paste(t, r.a, "seen", false)
	l, _, err := r.s.CreateLink(t.Context(), r.a, node.NewLink{Target: "https://example.com"})
	if err != nil {
		t.Fatal(err)
	}
	const clicks = 200_000
	for i := range clicks {
		r.s.CountClick(l.ID, node.Click{Addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), Referrer: "news.example"})
	}
	for range 7 {
		r.s.CountView(p.ID)
	}
	before := applied(t, r)
	stop(n)
	n = start()
	defer stop(n)
	if entries := applied(t, &pasteRig{s: n.Service(), op: r.op}) - before; entries > 100 {
		t.Errorf("%d entries", entries)
	}
	got, err := n.Service().Link(t.Context(), l.ID)
	if err != nil || got.Clicks != clicks {
		t.Errorf("%d clicks of %d, %v", got.Clicks, clicks, err)
	}
	if p, err = n.Service().Paste(t.Context(), node.Caller{}, p.ID); err != nil || p.Views != 7 {
		t.Errorf("%d views, %v", p.Views, err)
	}
	today := int32(n.Service().Now() / 86_400_000)
	stats, err := n.Service().LinkStats(t.Context(), r.a, l.ID, today-1, today)
	if err != nil || len(stats.Days) == 0 || stats.Days[0].Visitors != 256 {
		t.Errorf("%+v %v", stats, err)
	}
}
