package testcluster_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ringbin/testcluster"
)

// Sizes of the races for pastes that burn. RINGBIN_BURN_PASTES asks for more pastes.
const (
	burnReaders     = 64
	burnPastes      = 9
	burnPastesProc  = 6
	burnHangUps     = 0.1
	burnTroubleEach = 3 // pastes
	burnEditEach    = 4
	burnTroubleMost = 40 * time.Millisecond // after the start of a race
)

// burnRaces lets readers race for one paste after the other.
type burnRaces struct {
	race     testcluster.BurnRace
	pastes   int
	token    string
	r        *rand.Rand
	troubles []func() (mend func()) // what goes wrong during a race
}

func burnPastesOf(t *testing.T, short int) int {
	t.Helper()
	s := os.Getenv("RINGBIN_BURN_PASTES")
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("RINGBIN_BURN_PASTES: %v", err)
	}
	return n
}

// run holds each paste to I9.
func (b burnRaces) run(t *testing.T) {
	t.Helper()
	started, winners, troubles := time.Now(), [2]int{}, 0
	for i := range b.pastes {
		p := b.one(t, i)
		if err := p.Judge(); err != nil {
			t.Fatalf("paste %d: %v", i, err)
		}
		winners[p.Winners()]++
		if b.troubled(i) {
			troubles++
		}
	}
	t.Logf("%d pastes, %d readers each through %d nodes, %d with trouble, in %v: one reader got %d, nobody %d (the winner was cut off), more than one 0",
		b.pastes, b.race.Readers, b.race.Nodes, troubles, time.Since(started).Round(time.Millisecond), winners[1], winners[0])
}

func (b burnRaces) troubled(i int) bool { return i%burnTroubleEach == burnTroubleEach-1 }

// one is the race for one paste.
func (b burnRaces) one(t *testing.T, i int) *testcluster.OpenBurn {
	t.Helper()
	size := 30 // so short that it would lie in its own name, were it not sealed
	if i%2 == 1 {
		size = 1 + b.r.IntN(20<<10)
	}
	p, err := testcluster.NewBurn(b.race.Client(i%b.race.Nodes, b.token), size)
	if err != nil {
		t.Fatal(err)
	}
	edit := func() { p.Edit(b.race.Client((i+1)%b.race.Nodes, b.token), size) }
	var others errgroup.Group
	switch i % burnEditEach {
	case 0:
		edit() // what is acknowledged before the race is what is read
	case 1:
		others.Go(func() error { edit(); return nil })
	}
	after := time.Duration(b.r.Int64N(int64(burnTroubleMost)))
	others.Go(func() error { return b.race.Run(p, b.r) })
	mend := func() {}
	if b.troubled(i) {
		time.Sleep(after) // the moment is chosen, not waited for
		mend = b.troubles[i/burnTroubleEach%len(b.troubles)]()
	}
	if err := others.Wait(); err != nil {
		t.Fatalf("paste %d: %v", i, err)
	}
	mend()
	return p
}

// TestBurnRaces: readers begin to read one paste at the same moment, through all
// nodes and in all ways, while the leader is killed, cut off or hands over, and
// while the owner edits. One of them gets it; none when the winner was cut off (I9).
func TestBurnRaces(t *testing.T) {
	testcluster.Parallel(t)
	c := testcluster.Start(t, 3, testcluster.Options{})
	burnRaces{
		race:   testcluster.BurnRace{Readers: burnReaders, HangUp: burnHangUps, Nodes: c.Len(), Client: c.Client},
		pastes: burnPastesOf(t, burnPastes), token: c.Token(0, "read", "write"), r: rand.New(rand.NewPCG(seedOf(t), 20)),
		troubles: []func() func(){
			func() func() {
				i := c.WaitLeader()
				c.Kill(i)
				return func() { c.Restart(i); c.WaitReady() }
			},
			func() func() {
				c.Isolate(c.WaitLeader())
				return func() { c.Heal(); c.WaitReady() }
			},
			func() func() { c.HandOver(); return c.WaitReady },
		},
	}.run(t)
}

// TestProcessBurnRaces is [TestBurnRaces] with processes, whose leader is killed.
func TestProcessBurnRaces(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the command line and starts processes")
	}
	p := testcluster.StartProcesses(t, testcluster.Build(t), 3)
	burnRaces{
		race:   testcluster.BurnRace{Readers: burnReaders, HangUp: burnHangUps, Nodes: p.Len(), Client: p.Client},
		pastes: burnPastesOf(t, burnPastesProc), token: p.Token(0, "read", "write"), r: rand.New(rand.NewPCG(seedOf(t), 21)),
		troubles: []func() func(){func() func() {
			i := p.WaitLeader()
			p.Kill(i)
			return func() { p.Start(i); p.WaitReady() }
		}},
	}.run(t)
	stopProcesses(p)
}
