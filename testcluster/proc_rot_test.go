package testcluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringbin/testcluster"
)

// rot is one kind of file, and which bytes of it are flipped.
type rot struct {
	kind  string
	glob  string  // of the largest file that matches
	at    float64 // where, as a share of the file
	bytes int
}

// The kinds of files that a node keeps. Each is damaged while the node is down
// after a kill.
var rots = []rot{
	{"blobs, table", "blobs/db*/*.sst", 0.5, 4},
	{"blobs, log", "blobs/db*/*.log", 0, 0}, // at is found: the log is longer than what is in it
	{"blobs, manifest", "blobs/db*/MANIFEST-*", 0.5, 4},
	{"metadata, table", "meta/*/*.sst", 0.5, 4},
	{"metadata, log", "meta/*/*.log", 0, 0},
	{"metadata, manifest", "meta/*/MANIFEST-*", 0.5, 4},
	{"raft.db, first page", "raft/raft.db", 0, 64},
	{"raft.db, entries", "raft/raft.db", -1, 1}, // where an entry is
	{"raft.db, term and vote", "raft/raft.db", -2, 1},
	{"node.json", "node.json", 0.5, 1},
}

// filesRot: whatever of a node's files rots, nobody is ever given wrong bytes
// or a wrong balance (I2): the node repairs itself from the others, or it stops
// and says why (I16). The cluster goes on in either case.
func filesRot(t *testing.T, bin string) {
	t.Helper()
	p := testcluster.StartProcesses(t, bin, 3)
	key := p.Account(100_000_000)
	upload := func(n, size int) {
		t.Helper()
		for i := range n {
			if _, err := p.PutUntil(t.Context(), i, key, content(uint64(time.Now().UnixNano()), size), 30); err != nil {
				t.Fatal(err)
			}
		}
	}
	upload(20, 3<<10)
	upload(4, 900<<10)
	// Databases make tables of their logs when they are opened.
	for i := range p.Len() {
		p.Stop(i)
		p.Start(i)
		p.WaitReady()
	}
	kinds := rots
	if !long() {
		kinds = []rot{rots[7], rots[8], rots[9]} // a table takes Pebble seconds of searching for the bit
	}
	const node = 1
	for _, r := range kinds {
		t.Run(r.kind, func(t *testing.T) {
			upload(10, 2<<10)
			p.Kill(node)
			mend := flip(t, p.Dir(node), r)
			logged := len(p.LogText(node))
			p.Start(node)
			became := observe(t, p, node, key)
			t.Logf("%-24s %s", r.kind, became)
			upload(5, 1<<10) // the cluster goes on
			if strings.HasPrefix(became, "stopped") {
				if text := p.LogText(node)[logged:]; !errorLine.MatchString(text) {
					t.Errorf("I16: it stopped and did not say why: %s", tail(text))
				}
				p.Kill(node)
				mend()
				p.Start(node)
			}
			p.WaitReady()
		})
	}
	p.Check()
	stopProcesses(p)
}

// observe says what became of a node that was started on damaged files: it
// serves, and all that it serves is right, or it stopped.
func observe(t *testing.T, p *testcluster.Processes, node int, key string) string {
	t.Helper()
	from := time.Now()
	for time.Since(from) < uploadMost && !p.Ready(node) {
		if ended, err := p.EndedWithin(node, 100*time.Millisecond); ended {
			return fmt.Sprintf("stopped (%v): %s", err, lastError(p.LogText(node)))
		}
	}
	wrong, refused := 0, 0
	want, err := p.Client((node+1)%p.Len(), key).Balance()
	if err != nil {
		t.Error(err)
	}
	for _, cid := range p.Acked() {
		if ended, err := p.EndedWithin(node, 0); ended {
			return fmt.Sprintf("stopped while it served (%v): %s", err, lastError(p.LogText(node)))
		}
		if _, err := p.Client(node, "").Get(cid); err != nil && strings.Contains(err.Error(), "I2") {
			wrong++
		} else if err != nil {
			refused++
		}
	}
	if got, err := p.Client(node, key).Balance(); err == nil && got != want {
		t.Errorf("I10: balance %d through the damaged node, %d through another", got, want)
	}
	if wrong > 0 {
		t.Errorf("I2: %d complete answers with wrong bytes", wrong)
	}
	if refused > 0 {
		t.Errorf("I17: %d of %d reads refused, with two good copies elsewhere", refused, len(p.Acked()))
	}
	reasons, err := p.Reasons(node)
	if err != nil {
		return "serves; " + err.Error()
	}
	delete(reasons, "single_copy")
	return fmt.Sprintf("serves after %s, all bytes right; health names %v", time.Since(from).Round(100*time.Millisecond), reasons)
}

var errorLine = regexp.MustCompile(`(?m)^.*(level=ERROR|^panic|^ringbin:|^Error|^error).*$`)

// lastError is the last line of a log that tells a fault.
func lastError(log string) string {
	lines := errorLine.FindAllString(tail(log), -1)
	if len(lines) == 0 {
		return tail(log)
	}
	last := lines[len(lines)-1]
	return last[:min(len(last), 400)]
}

// flip turns bits of the largest file that a kind names; the function turns
// them back.
func flip(t *testing.T, dir string, r rot) (mend func()) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, r.glob))
	if err != nil || len(names) == 0 {
		t.Fatalf("no %s: %v", r.glob, err)
	}
	name, size := "", int64(-1)
	for _, n := range names {
		aside := strings.Contains(n, "/db.") // no node reads it any more
		if st, err := os.Stat(n); err == nil && st.Size() > size && !aside {
			name, size = n, st.Size()
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at, n := place(t, b, r)
	turn := func() {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if os.IsNotExist(err) {
			return // the node has replaced it
		}
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, n)
		if _, err = f.ReadAt(part, int64(at)); err == nil {
			for i := range part {
				part[i] ^= 0x40
			}
			_, err = f.WriteAt(part, int64(at))
		}
		if closeErr := f.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
	}
	turn()
	return turn
}

// place is where in a file bytes are flipped.
func place(t *testing.T, b []byte, r rot) (at, n int) {
	t.Helper()
	last := func(what string) int {
		i := strings.LastIndex(string(b), what)
		if i < 0 {
			t.Fatalf("%s: no %q in it", r.kind, what)
		}
		return i
	}
	switch {
	case r.at == -1:
		// An upload's content type stands in its entry, far behind its head.
		return last("octet-stream"), r.bytes
	case r.at == -2:
		return last("CurrentTerm") + len("CurrentTerm") + 7, r.bytes
	case r.bytes == 0:
		used := len(strings.TrimRight(string(b), "\x00"))
		return used / 2, 4
	}
	return int(float64(len(b)) * r.at), r.bytes
}

// diskIsReplaced: a node whose disk was replaced by a blank one comes back
// under its name as somebody else, gets its copies, and the time is told.
func diskIsReplaced(t *testing.T, bin string) {
	t.Helper()
	p := testcluster.StartProcesses(t, bin, 3)
	key := p.Account(1_000_000_000)
	blobs, size := 24, 1<<20
	if long() {
		blobs, size = 256, 4<<20
	}
	for i := range blobs {
		if _, err := p.PutUntil(t.Context(), i, key, content(uint64(i)|1<<40, size), 30); err != nil {
			t.Fatal(err)
		}
	}
	const node = 2
	before := statusRow(t, p, 0, node)
	p.Kill(node)
	p.Wipe(node)
	from := time.Now()
	p.Start(node)
	// The dead one is taken out by hand, unless the cluster did it by itself:
	// its name is back.
	p.WaitFor("the new node a member, the old one gone", func() bool {
		s, err := p.Status(0)
		if err != nil {
			return false
		}
		back, old := false, false
		for _, m := range s.Nodes {
			old = old || m.ID == before.ID
			back = back || m.Name == before.Name && m.ID != before.ID && m.Alive
		}
		if back && old {
			p.Remove(0, before.ID)
		}
		return back && !old
	})
	p.WaitFor("all copies", p.Converged)
	took := time.Since(from)
	after := statusRow(t, p, 0, node)
	if after.ID == before.ID {
		t.Error("I15: a node with a blank disk is its old self")
	}
	gib := float64(blobs) * float64(size) / (1 << 30)
	t.Logf("disk replaced, %.2f GiB of content: all copies there again %s after the start, %s per GiB", gib,
		took.Round(time.Millisecond), time.Duration(float64(took)/gib).Round(time.Millisecond))
	p.Check()
	stopProcesses(p)
}

func statusRow(t *testing.T, p *testcluster.Processes, via, node int) (m testcluster.Member) {
	t.Helper()
	name := fmt.Sprintf("n%d", node)
	p.WaitFor("status of "+name, func() bool {
		s, err := p.Status(via)
		if err != nil {
			return false
		}
		for _, row := range s.Nodes {
			if row.Name == name && (m.ID == "" || row.Alive) {
				m = row
			}
		}
		return m.ID != ""
	})
	return m
}
