package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ringbin/cluster"
	"ringbin/node"
	"ringbin/storage"
)

// noteRig is nodes with two accounts, who have tokens.
type noteRig struct {
	t     *testing.T
	nodes []*node.Node
	op    node.Caller

	owner, stranger, admin string // tokens
}

func newNoteRig(t *testing.T, n int) *noteRig {
	t.Helper()
	return noteRigOf(t, open(t, n)...)
}

func noteRigOf(t *testing.T, nodes ...*node.Node) *noteRig {
	t.Helper()
	r := &noteRig{t: t, nodes: nodes}
	r.op = must(r.s(0).AuthenticateOperator(t.Context(), r.nodes[0].AdminToken()))(t)
	r.owner = r.token("owner@example.com", node.TokenRead, node.TokenWrite)
	r.stranger = r.token("stranger@example.com", node.TokenRead, node.TokenWrite)
	r.admin = r.token("admin@example.com", node.TokenAdmin)
	return r
}

func (r *noteRig) token(email string, scopes ...string) string {
	r.t.Helper()
	a, _, err := r.s(0).CreateAccount(r.t.Context(), r.op, node.NewAccount{Email: email, Name: "of " + email}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	_, secret, err := r.s(0).CreateToken(r.t.Context(), r.op, node.NewToken{Account: a.ID, Name: "t", Scopes: scopes})
	if err != nil {
		r.t.Fatal(err)
	}
	return secret
}

// s is the service of a node; there is no end of nodes.
func (r *noteRig) s(i int) *node.Service { return r.nodes[i%len(r.nodes)].Service() }

func (r *noteRig) as(i int, token string) node.Caller {
	r.t.Helper()
	return must(r.s(i).Authenticate(r.t.Context(), node.APIPasteWizard, token))(r.t)
}

// note makes a note of the owner's.
func (r *noteRig) note(i int, n node.NewNote) node.Note {
	r.t.Helper()
	return must(r.s(i).CreateNote(r.t.Context(), r.as(i, r.owner), n))(r.t)
}

func (r *noteRig) edit(i int, hash string, e node.NoteEdit) node.Note {
	r.t.Helper()
	return must(r.s(i).EditNote(r.t.Context(), r.as(i, r.owner), hash, e))(r.t)
}

func (r *noteRig) read(i int, token, hash string) (*node.NoteView, error) {
	r.t.Helper()
	v, err := r.s(i).ReadNote(r.t.Context(), node.NoteReader{Caller: r.as(i, token)}, hash)
	if err == nil {
		v.Close()
	}
	return v, err
}

// TestNotesThroughAnyNode: content comes back byte for byte from every node, as
// soon as it was acknowledged; and once, where it burns.
func TestNotesThroughAnyNode(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			t.Parallel()
			r := newNoteRig(t, nodes)
			for i, size := range []int{1, 47, 48, 49, 64, 65, 5000, 700_000} {
				content := bytes.Repeat([]byte{byte('a' + i)}, size)
				for _, burn := range []bool{false, true} {
					n := r.note(i, node.NewNote{Title: "t", Content: content, Language: "go", Burn: burn})
					if len(n.Hash) != 8 || len(n.Code) != 6 || n.Created%1000 != 0 || n.Expires != 0 || n.Revision != 1 {
						t.Fatalf("%+v", n)
					}
					v, err := r.read(i+1, r.stranger, n.Hash)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(v.Content, content) || v.Views != 1 || v.Note.Title != "t" || v.Note.Language != "go" ||
						v.Owner == nil || v.Owner.Number < 1 || v.Owner.Name != "of owner@example.com" {
						t.Errorf("%d bytes: %d came back; %d views, owner %+v", size, len(v.Content), v.Views, v.Owner)
					}
					for j := range nodes + 1 {
						v, err := r.read(i+j, r.owner, n.Hash)
						switch {
						case burn:
							wantCode(t, "read again", err, storage.KindGone, "note_burned")
						case err != nil || !bytes.Equal(v.Content, content):
							t.Errorf("read again: %v", err)
						}
					}
					if byCode := must(r.s(i).NoteByCode(t.Context(), n.Code))(t); byCode.Hash != n.Hash {
						t.Errorf("the code leads to %s", byCode.Hash)
					}
				}
			}
		})
	}
}

// TestNoteLivesSealed: of what is to be read once nothing is stored in clear,
// and two of the same content have nothing in common.
func TestNoteLivesSealed(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 1)
	for _, content := range []string{"short", strings.Repeat("long", 100)} {
		var seen []storage.CID
		for range 2 {
			n := r.note(0, node.NewNote{Content: []byte(content), Burn: true})
			record, _, err := r.nodes[0].NoteRecord(n.Hash)
			if err != nil {
				t.Fatal(err)
			}
			if record.CID == storage.SumCID([]byte(content)) || record.CID.Inline() && strings.Contains(string(record.CID.Content()), content) {
				t.Error("stored in clear")
			}
			seen = append(seen, record.CID)
			// An edit draws another key for the same content.
			r.edit(0, n.Hash, node.NoteEdit{Content: new([]byte(content))})
			record, _, err = r.nodes[0].NoteRecord(n.Hash)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, record.CID)
			if v, err := r.read(0, r.owner, n.Hash); err != nil || string(v.Content) != content {
				t.Errorf("edited: %v", err)
			}
		}
		for i := range seen {
			for j := range i {
				if seen[i] == seen[j] {
					t.Error("two have one ciphertext")
				}
			}
		}
	}
}

// TestNoteRights: who may know of a note, read, edit and delete it.
func TestNoteRights(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 1)
	ctx, s := t.Context(), r.s(0)
	none, owner, stranger, admin := node.Caller{}, r.as(0, r.owner), r.as(0, r.stranger), r.as(0, r.admin)
	wish := node.NewNote{Content: []byte("x")}
	_, err := s.CreateNote(ctx, none, wish)
	wantCode(t, "made by nobody", err, storage.KindUnauthenticated, "auth_missing")
	for _, c := range []struct {
		name    string
		who     node.Caller
		private bool
		read    string
		edit    string
	}{
		{"the owner", owner, false, "", ""},
		{"the owner", owner, true, "", ""},
		{"an admin", admin, false, "", ""},
		{"an admin", admin, true, "", ""},
		{"a stranger", stranger, false, "", "not_owner"},
		{"a stranger", stranger, true, "not_found", "not_found"},
		{"nobody", none, false, "", "not_owner"},
		{"nobody", none, true, "not_found", "not_found"},
	} {
		for _, burned := range []bool{false, true} {
			name := fmt.Sprintf("%s, private %t, burned %t", c.name, c.private, burned)
			wish := node.NewNote{Content: []byte("x"), Burn: burned, Privacy: node.PrivacyUnlisted}
			if c.private {
				wish.Privacy = node.PrivacyPrivate
			}
			n := r.note(0, wish)
			if burned {
				must(r.read(0, r.owner, n.Hash))(t)
			}
			gone := func(code string) string {
				if burned && code == "" {
					return "note_burned"
				}
				return code
			}
			_, err := s.ReadNote(ctx, node.NoteReader{Caller: c.who}, n.Hash)
			code(t, name+", read", err, gone(c.read))
			_, err = s.CheckNote(ctx, node.NoteReader{Caller: c.who}, n.Hash)
			code(t, name+", checked", err, gone(c.read))
			_, err = s.EditNote(ctx, c.who, n.Hash, node.NoteEdit{Title: new("x")})
			code(t, name+", edited", err, gone(c.edit))
			code(t, name+", deleted", s.DeleteNote(ctx, c.who, n.Hash), c.edit)
			if c.edit == "" {
				code(t, name+", deleted again", s.DeleteNote(ctx, c.who, n.Hash), "not_found")
			}
		}
	}
	for _, hash := range []string{"", "abc", "Unknown1", "not-a-hash", strings.Repeat("a", 32)} {
		_, err := s.ReadNote(ctx, node.NoteReader{Caller: admin}, hash)
		wantCode(t, "unknown", err, storage.KindNotFound, "not_found")
		wantCode(t, "unknown", s.DeleteNote(ctx, admin, hash), storage.KindNotFound, "not_found")
		_, err = s.NoteByCode(ctx, hash)
		wantCode(t, "unknown code", err, storage.KindNotFound, "not_found")
	}
}

// TestNoteEdits: what is not named is kept.
func TestNoteEdits(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 1)
	s := r.s(0)
	guess := func(_ string, content []byte) string {
		if bytes.HasPrefix(content, []byte("package")) {
			return "go"
		}
		return ""
	}
	s.SetLanguageGuess(guess)
	for _, burn := range []bool{false, true} {
		n := r.note(0, node.NewNote{Title: "one", Content: []byte("package one"), Language: node.LanguageAuto, Burn: burn})
		record := func() node.Note {
			n, found, err := r.nodes[0].NoteRecord(n.Hash)
			if err != nil || !found {
				t.Fatal(found, err)
			}
			return n
		}
		was := record()
		if was.Language != "go" {
			t.Fatalf("guessed %q", was.Language)
		}
		private := node.PrivacyPrivate
		for _, c := range []struct {
			name string
			edit node.NoteEdit
			is   func(n node.Note) bool
		}{
			{"nothing", node.NoteEdit{}, func(n node.Note) bool { return n.Title == "one" && n.CID == was.CID && n.Expires == 0 }},
			{"title", node.NoteEdit{Title: new("")}, func(n node.Note) bool { return n.Title == "" && n.Language == "go" }},
			{"language", node.NoteEdit{Language: new("php")}, func(n node.Note) bool { return n.Language == "php" }},
			{"language guessed by what is there", node.NoteEdit{Language: new(node.LanguageAuto)}, func(n node.Note) bool { return n.Language == "go" }},
			{"content", node.NoteEdit{Content: new([]byte("two"))}, func(n node.Note) bool { return n.Language == "go" && n.CID != was.CID }},
			{
				"content and language",
				node.NoteEdit{Content: new([]byte("three")), Language: new(node.LanguageAuto)},
				func(n node.Note) bool { return n.Language == "plaintext" },
			},
			{"privacy", node.NoteEdit{Privacy: &private}, func(n node.Note) bool { return n.Privacy == node.PrivacyPrivate }},
			{"expiry", node.NoteEdit{Expiry: node.NoteExpiry{Span: time.Hour}}, func(n node.Note) bool {
				left := n.Expires - s.Now()
				return n.Expires%1000 == 0 && left <= 3_600_000 && left > 3_540_000
			}},
			{"expiry kept", node.NoteEdit{Expiry: node.NoteExpiry{Keep: true}}, func(n node.Note) bool { return n.Expires != 0 }},
			{"expiry never", node.NoteEdit{Expiry: node.NoteExpiry{Never: true}}, func(n node.Note) bool { return n.Expires == 0 }},
			{"password", node.NoteEdit{Password: new("sesame")}, func(n node.Note) bool { return n.Password != "" && n.PasswordRevision == 1 }},
			{"password kept", node.NoteEdit{Password: new("")}, func(n node.Note) bool { return n.Password != "" && n.PasswordRevision == 1 }},
			{"password cleared", node.NoteEdit{Password: new("x"), ClearPassword: true}, func(n node.Note) bool { return n.Password == "" }},
		} {
			before := record()
			edited := r.edit(0, n.Hash, c.edit)
			is := record()
			if !c.is(is) || is.Revision != before.Revision+1 || edited.Revision != is.Revision || is.Burn != burn || is.Created != was.Created || is.Burned != 0 {
				t.Errorf("%s (burns: %t): %+v", c.name, burn, is)
			}
		}
		v, err := r.read(0, r.owner, n.Hash)
		if err != nil || string(v.Content) != "three" || v.Views != 1 {
			t.Errorf("read: %v", err)
		}
	}
}

// TestNoteLimits: what is too large is refused before it goes anywhere, and
// bodies are held within the node's memory.
func TestNoteLimits(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 1)
	ctx, s, owner := t.Context(), r.s(0), r.as(0, r.owner)
	limit := int64(1000)
	must(s.SetSettings(ctx, r.op, node.SettingsPatch{PasteWizard: &node.PasteWizardPatch{ContentMaxBytes: &limit}}))(t)
	for _, burn := range []bool{false, true} {
		n := r.note(0, node.NewNote{Content: make([]byte, limit), Burn: burn})
		_, err := s.CreateNote(ctx, owner, node.NewNote{Content: make([]byte, limit+1), Burn: burn})
		wantCode(t, "made", err, storage.KindTooLarge, "payload_too_large")
		_, err = s.EditNote(ctx, owner, n.Hash, node.NoteEdit{Content: new(make([]byte, limit+1))})
		wantCode(t, "edited", err, storage.KindTooLarge, "payload_too_large")
	}
	if got := s.NoteBodyLimit(); got != 3*limit+64<<10 {
		t.Errorf("a body of %d", got)
	}
	most := int64(64 << 20)
	must(s.SetSettings(ctx, r.op, node.SettingsPatch{PasteWizard: &node.PasteWizardPatch{ContentMaxBytes: &most}}))(t)
	var releases []func()
	for range 2 {
		releases = append(releases, must(s.HoldNote(ctx, -1))(t))
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := s.HoldNote(short, -1)
	wantCode(t, "a third body of all there can be", err, storage.KindUnavailable, "overloaded")
	// What is sealed is a copy, and takes room too; content that is kept as it came does not.
	const step = 1 << 20
	for full := false; !full; {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		release, err := s.HoldNote(short, step)
		if cancel(); err == nil {
			releases = append(releases, release)
		}
		full = err != nil
	}
	large := node.NewNote{Content: bytes.Repeat([]byte("x"), step)}
	r.note(0, large)
	large.Burn = true
	_, err = s.CreateNote(ctx, owner, large)
	wantCode(t, "sealed where there is no room", err, storage.KindUnavailable, "overloaded")
	for _, release := range releases {
		release()
	}
	r.note(0, large)
	must(s.HoldNote(ctx, -1))(t)()
}

// TestNoteHere: an id is a note's, a paste's, or nobody's, on every node at once.
func TestNoteHere(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 3)
	n := r.note(0, node.NewNote{Content: []byte("x"), Burn: true})
	p, _, err := r.s(0).CreatePaste(t.Context(), node.Caller{}, node.NewPaste{
		Body: strings.NewReader("y"), ContentLength: -1, Filename: "f", MediaType: "text/plain",
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for i := range r.nodes {
			for id, want := range map[string]bool{n.Hash: true, p.ID: false, "Unknown1": false, "": false, n.Code: false, n.Hash + "x": false} {
				if here := must(r.s(i).NoteHere(t.Context(), id))(t); here != want {
					t.Errorf("node %d, %q: %t", i, id, here)
				}
			}
		}
	}
	check()
	must(r.read(1, r.stranger, n.Hash))(t)
	check() // burned, it is still there
}

// TestBurnHasOneReader: of 64 readers at once through all nodes one gets the
// content, though leadership moves on under some of them (I9).
func TestBurnHasOneReader(t *testing.T) {
	t.Parallel()
	const notes, readers = 5, 64
	r := newNoteRig(t, 3)
	token := r.as(0, r.stranger)
	for round := range notes {
		content := fmt.Sprint("for one, of round ", round, strings.Repeat(" and more", 100*(round%2)))
		n := r.note(round, node.NewNote{Content: []byte(content), Burn: true})
		var mu sync.Mutex
		var winners, burned int
		var wg sync.WaitGroup
		for i := range readers {
			wg.Go(func() {
				v, err := r.s(i).ReadNote(t.Context(), node.NoteReader{Caller: token}, n.Hash)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners++
					if string(v.Content) != content || v.Views != 1 {
						t.Errorf("round %d: %q, %d views", round, v.Content, v.Views)
					}
					v.Close()
				case storage.CodeOf(err) == "note_burned":
					burned++
				default:
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		if round%2 == 1 {
			for _, nd := range r.nodes {
				if err := nd.HandOver(t.Context()); err != nil {
					t.Logf("round %d: not handed over: %v", round, err)
				}
			}
		}
		wg.Wait()
		if winners != 1 || burned != readers-1 {
			t.Fatalf("round %d: %d readers won, %d came late", round, winners, burned)
		}
	}
}

// TestBurnWithoutACopy: while no copy of the content can be had nothing is
// burned; once one can, it is read as ever.
func TestBurnWithoutACopy(t *testing.T) {
	t.Parallel()
	for _, burn := range []bool{true, false} {
		t.Run(fmt.Sprint("burns: ", burn), func(t *testing.T) {
			t.Parallel()
			r := newNoteRig(t, 1)
			content := strings.Repeat("x", 5000)
			n := r.note(0, node.NewNote{Content: []byte(content), Burn: burn})
			if lost, err := r.nodes[0].LoseNote(n.Hash); err != nil || !lost {
				t.Fatal(lost, err)
			}
			_, err := r.read(0, r.owner, n.Hash)
			wantCode(t, "without a copy", err, storage.KindUnavailable, "content_unavailable")
			record, _, err := r.nodes[0].NoteRecord(n.Hash)
			if err != nil || record.Burned != 0 || record.Views != 0 || !record.HasContent() {
				t.Errorf("burned %d, %d views: %v", record.Burned, record.Views, err)
			}
			if e, ok := errors.AsType[*storage.Error](err); ok && strings.Contains(e.Error(), record.CID.String()) {
				t.Error("the error names the content")
			}
			r.edit(0, n.Hash, node.NoteEdit{Content: new([]byte(content))})
			if v, err := r.read(0, r.owner, n.Hash); err != nil || string(v.Content) != content || v.Views != 1 {
				t.Errorf("with one again: %v", err)
			}
		})
	}
}

// TestUnlockOnEveryNode: a password that one node has seen is good on all.
func TestUnlockOnEveryNode(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 3)
	n := r.note(0, node.NewNote{Content: []byte("x"), Password: "sesame", Burn: true})
	web := node.NoteReader{Web: true, Addr: netip.MustParseAddr("192.0.2.1")}
	shown := web
	shown.Password = "sesame"
	unlock := must(r.s(0).UnlockNote(t.Context(), shown, n.Hash))(t)
	for i := range r.nodes {
		_, err := r.s(i).ReadNote(t.Context(), web, n.Hash)
		wantCode(t, "without it", err, storage.KindForbidden, "password_required")
		unlocked := web
		unlocked.Unlock = unlock
		_, err = r.s(i).CheckNote(t.Context(), unlocked, n.Hash)
		code(t, fmt.Sprint("node ", i), err, "")
	}
	web.Unlock = unlock
	v := must(r.s(2).ReadNote(t.Context(), web, n.Hash))(t)
	if string(v.Content) != "x" {
		t.Errorf("%q", v.Content)
	}
	v.Close()
	_, err := r.s(1).UnlockNote(t.Context(), shown, n.Hash)
	wantCode(t, "unlocked when burned", err, storage.KindGone, "note_burned")
}

// TestNoteViewsOnAllNodes: each node shows growing numbers, none above the true
// one; and what a node has counted that stops cleanly the others have.
func TestNoteViewsOnAllNodes(t *testing.T) {
	t.Parallel()
	r := newNoteRig(t, 3)
	n := r.note(0, node.NewNote{Content: []byte("x")})
	const rounds, readers = 20, 4
	all := int64(len(r.nodes) * readers * rounds)
	var wg sync.WaitGroup
	for i := range len(r.nodes) * readers {
		token := r.as(i, r.stranger)
		wg.Go(func() {
			last := int64(0)
			for range rounds {
				v, err := r.s(i).ReadNote(t.Context(), node.NoteReader{Caller: token}, n.Hash)
				if err != nil {
					t.Error(err)
					return
				}
				if v.Views <= last || v.Views > all {
					t.Errorf("node %d shows %d after %d, of %d", i%len(r.nodes), v.Views, last, all)
				}
				last = v.Views
				v.Close()
			}
		})
	}
	wg.Wait()
	closeNode(t, r.nodes[0])
	// The other two write what they have within some seconds.
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for last := int64(0); ; {
		all++
		v := must(r.read(1, r.stranger, n.Hash))(t)
		if v.Views <= last || v.Views > all {
			t.Fatalf("shown %d after %d, of %d", v.Views, last, all)
		}
		if last = v.Views; last == all {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("shown %d of %d", last, all)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestNotesOutliveASecret: what is to be read once is sealed anew under a new
// cluster secret, and opens without the old one; its password stays.
func TestNotesOutliveASecret(t *testing.T) {
	t.Parallel()
	dir, first := t.TempDir(), cluster.NewSecret()
	_, text, _ := strings.Cut(cluster.NewSecret(), ":")
	second := "2:" + text
	start := func(lines ...string) *node.Node {
		t.Helper()
		return openIn(t, filepath.Join(dir, "n"), strings.Join(lines, "\n"), nil)
	}
	r := noteRigOf(t, start(first))
	was := r.note(0, node.NewNote{Content: []byte("of the old secret"), Password: "sesame", Burn: true})
	plain := r.note(0, node.NewNote{Content: []byte("plain")})
	closeNode(t, r.nodes[0])
	for _, lines := range [][]string{{first, second}, {second, first}, {second}} {
		r.nodes[0] = start(lines...)
		n := r.note(0, node.NewNote{Content: []byte("of the time between"), Burn: true})
		if v := must(r.read(0, r.stranger, n.Hash))(t); string(v.Content) != "of the time between" {
			t.Errorf("%q", v.Content)
		}
		if lines[0] == second {
			if err := r.nodes[0].WaitSealed(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if lines[0] != lines[len(lines)-1] {
			closeNode(t, r.nodes[0])
		}
	}
	v, err := r.s(0).ReadNote(t.Context(), node.NoteReader{Caller: r.as(0, r.stranger), Password: "sesame"}, was.Hash)
	if err != nil || string(v.Content) != "of the old secret" {
		t.Errorf("without the old secret: %v", err)
	}
	lost := r.note(0, node.NewNote{Content: []byte("of the second secret"), Burn: true})
	closeNode(t, r.nodes[0])
	_, text, _ = strings.Cut(cluster.NewSecret(), ":")
	r.nodes[0] = start("3:" + text)
	_, err = r.read(0, r.stranger, lost.Hash)
	wantCode(t, "under a stranger's secret", err, storage.KindUnavailable, "content_unavailable")
	if record, _, err := r.nodes[0].NoteRecord(lost.Hash); err != nil || record.Burned != 0 {
		t.Errorf("burned unread: %v", err)
	}
	if v := must(r.read(0, r.stranger, plain.Hash))(t); string(v.Content) != "plain" {
		t.Errorf("%q", v.Content)
	}
	closeNode(t, r.nodes[0])
}
