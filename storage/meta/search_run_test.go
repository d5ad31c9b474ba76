package meta

import (
	"strings"
	"testing"
)

// The beginnings that are searched from. Content 1 is live in all of them.
var (
	startFresh     = []string{}                                                                // content 0 was never seen
	startLive      = []string{"upload"}                                                        // live, too
	startDying     = []string{"upload", "delete 0", "tick"}                                    // dead, a second before it may be condemned
	startCondemned = []string{"upload", "delete 0", "tick", "tick", "condemn 0"}               // and not erased yet
	startMoved     = []string{"upload", "set ring", "synced on b", "synced on c", "tick"}      // ring B holds; a has copies still
	startBack      = []string{"set ring", "synced on b", "synced on c", "tick", "tick"}        // and may erase them
	startRinging   = []string{"upload", "delete 0", "tick", "set ring", "synced on b", "tick"} // one node is missing
	startForgotten = []string{
		"upload", "delete 0", "tick", "tick", "put 0 on a", "put 0 on b", "condemn 0", "erase 0 on a", "tick", "tick", "tick",
	} // condemned between receipts and commit; a second before its record may be dropped
	startOrphan = []string{"put 0 on a", "put 0 on b", "tick"} // receipts as old as they may be
)

// I1, I12, I13: whatever a few steps of upload, delete, condemning, erasing, ring
// changes and crashes do, each reference has its W copies on owners.
func TestNothingReferencedIsErased(t *testing.T) {
	t.Parallel()
	const depth = 6
	for _, c := range []struct {
		name  string
		start []string
		deep  int
		bug   plant
		grace bool
	}{
		{name: "fresh", start: startFresh},
		{name: "live", start: startLive},
		{name: "dying", start: startDying, deep: 1},
		{name: "condemned", start: startCondemned},
		{name: "moved", start: startMoved},
		{name: "moved back", start: startBack, deep: 1},
		{name: "a ring on its way", start: startRinging},
		{name: "forgotten", start: startForgotten},
		{name: "orphan", start: startOrphan, grace: true},
		// Generations alone hold, too: neither receipts nor copies go by their age.
		{name: "by generations alone", start: startForgotten, bug: plant{noAge: true, noOrphans: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSearch(t, c.bug)
			s.grace = c.grace
			steps := depth
			if !testing.Short() {
				steps += c.deep
			}
			bad, worlds := s.run(s.start(c.start...), steps)
			t.Logf("%d worlds, %d states of the metadata, %d steps", worlds, len(s.states), steps)
			if bad != nil {
				t.Errorf("%s after\n%s", bad.what, strings.Join(append(c.start, bad.steps...), "\n"))
			}
		})
	}
}

// The search finds each bug that the rules are there against.
func TestSearchHasTeeth(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start []string
		steps int
		bug   plant
		grace bool
	}{
		{name: "erased without the lock", start: startCondemned, steps: 5, bug: plant{noLock: true}},
		{name: "erased while a ring makes it an owner again", start: startBack, steps: 7, bug: plant{noLock: true}},
		{name: "erased by what was known before a crash", start: startBack, steps: 7, bug: plant{noCatchUp: true}},
		{name: "erased whatever its generation", start: startCondemned, steps: 4, bug: plant{genIgnored: true}},
		{name: "committed without a look at the Condemn", start: startDying, steps: 7, bug: plant{noCondemn: true}},
		{name: "committed with old receipts", start: startOrphan, steps: 5, bug: plant{noAge: true}},
		{name: "tombstones dropped, the floor not raised", start: startForgotten, steps: 3, bug: plant{noAge: true, noOrphans: true, noFloor: true}},
		{name: "receipts of before a longer grace", start: startOrphan, steps: 5, bug: plant{noChange: true}, grace: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSearch(t, c.bug)
			s.grace = c.grace
			bad, worlds := s.run(s.start(c.start...), c.steps)
			if bad == nil {
				t.Fatalf("not found in %d worlds", worlds)
			}
			t.Logf("found in %d worlds after %d steps: %s\n%s", worlds, len(bad.steps), bad.what, strings.Join(bad.steps, "\n"))
		})
	}
}
