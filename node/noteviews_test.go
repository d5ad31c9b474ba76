package node

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"ringbin/storage/meta"
)

// TestNoteViewsModel: two nodes count views of one note, in any order of
// counting, taking, writing (which both see) and learning of it. Each shows
// growing numbers, never more than there were views; once all is written both
// show the next true one.
func TestNoteViewsModel(t *testing.T) {
	t.Parallel()
	type counter struct {
		views   *noteViews
		flying  []meta.ViewCount // taken, not written
		written []meta.ViewCount // not settled
		last    int64
	}
	rapid.Check(t, func(rt *rapid.T) {
		var replicated, total int64
		nodes := make([]*counter, 2)
		for i := range nodes {
			nodes[i] = &counter{views: newNoteViews(func(string) (int64, bool, error) { return replicated, true, nil })}
		}
		view := func(c *counter) {
			total++
			shown, kept, err := c.views.view("n")
			if err != nil || !kept || shown <= c.last || shown > total {
				rt.Fatalf("shown %d after %d, of %d views (%t, %v)", shown, c.last, total, kept, err)
			}
			c.last = shown
		}
		write := func(c *counter) {
			for _, v := range c.flying {
				replicated += v.N
			}
			c.flying, c.written = nil, append(c.written, c.flying...)
		}
		settle := func(c *counter) {
			c.views.settle(c.written)
			c.written = nil
		}
		of := func(do func(*counter)) func(*rapid.T) {
			return func(rt *rapid.T) { do(nodes[rapid.IntRange(0, 1).Draw(rt, "node")]) }
		}
		rt.Repeat(map[string]func(*rapid.T){
			"view": of(view), "write": of(write), "settle": of(settle),
			"take": of(func(c *counter) { c.flying = append(c.flying, c.views.take()...) }),
		})
		for _, c := range nodes {
			c.flying = append(c.flying, c.views.take()...)
			write(c)
			settle(c)
			c.views.take() // forgets what an earlier settling could not
			if len(c.views.all) != 0 {
				rt.Fatalf("%d entries are left", len(c.views.all))
			}
		}
		if replicated != total {
			rt.Fatalf("%d of %d views are written", replicated, total)
		}
		for _, c := range nodes {
			if shown, _, _ := c.views.view("n"); shown != total+1 {
				rt.Fatalf("shown %d after %d views", shown, total)
			}
		}
	})
}

// TestNoteViewsGivenUp: what was given up is missing in the total, but nobody
// sees a value fall while the note is open; then its entry goes.
func TestNoteViewsGivenUp(t *testing.T) {
	t.Parallel()
	open := true
	v := newNoteViews(func(string) (int64, bool, error) { return 7, open, nil })
	for want := int64(8); want < 11; want++ {
		if got, _, _ := v.view("n"); got != want {
			t.Fatalf("shown %d, want %d", got, want)
		}
	}
	v.settle(v.take())
	if got, _, _ := v.view("n"); got != 11 {
		t.Errorf("shown %d after 10", got)
	}
	v.settle(v.take())
	open = false
	v.take()
	if len(v.all) != 0 {
		t.Error("the entry of a note that has ended stays")
	}
}

// TestNoteViewsKeepToBounds: where there is no room a view is lost, and nothing else.
func TestNoteViewsKeepToBounds(t *testing.T) {
	t.Parallel()
	v := newNoteViews(func(string) (int64, bool, error) { return 3, true, nil })
	for i := range viewedNotesMax + 5 {
		if got, kept, _ := v.view(fmt.Sprint(i)); got != 4 || kept != (i < viewedNotesMax) {
			t.Fatalf("note %d: %d %t", i, got, kept)
		}
	}
	if got, kept, _ := v.view("0"); got != 5 || !kept {
		t.Errorf("known: %d %t", got, kept)
	}
}

// TestNoteViewsAreWritten: at most every five seconds, whatever else is
// counted; a reader sees the views with its own, and no value falls, while the
// log loses entries and when it tells late what became of them.
func TestNoteViewsAreWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := bareNotes(t)
		n := s.testNote(t, "note0001", "often read", nil)
		s.testNote(t, "note0002", "often read, too", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() { s.counts.run(ctx) })
		var views, written int64
		var writtenAt time.Time
		for i := range 600 {
			switch i % 100 {
			case 50:
				l.set(true, false)
			case 70:
				l.set(false, false)
			}
			v, err := s.ReadNote(t.Context(), NoteReader{}, n.Hash)
			if err != nil {
				t.Fatal(err)
			}
			v.Close()
			views++
			if v.Views != views {
				t.Fatalf("view %d was shown as %d", views, v.Views)
			}
			s.CountView("paste001")
			if is := s.noteNow(t, n.Hash).Views; is != written {
				if now := time.Now(); now.Sub(writtenAt) < noteViewsEvery-150*time.Millisecond {
					t.Errorf("written %s after the last", now.Sub(writtenAt))
				}
				written, writtenAt = is, time.Now()
			}
			time.Sleep(100 * time.Millisecond)
		}
		if written < views-200 {
			t.Errorf("%d of %d views are written", written, views)
		}
		cancel()
		wg.Wait()
		s.counts.flushLast(t.Context())
		if is := s.noteNow(t, n.Hash).Views; is != views || len(s.counts.notes.all) != 0 {
			t.Errorf("%d of %d views are written at the end, %d entries are left", is, views, len(s.counts.notes.all))
		}
		if got := s.counts.gathered.Load(); got != 2*views || s.counts.flushed.Load() != got || s.counts.dropped.Load() != 0 {
			t.Errorf("gathered %d, flushed %d, dropped %d", got, s.counts.flushed.Load(), s.counts.dropped.Load())
		}
	})
}
