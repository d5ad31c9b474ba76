package testcluster_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

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
	started, got, nobody, troubled := time.Now(), 0, 0, 0
	for i := range b.pastes {
		size := 30 // short enough to lie in its own name, were it not sealed
		if i%2 == 1 {
			size = 1 + b.r.IntN(20<<10)
		}
		maker := b.race.Client(i%b.race.Nodes, b.token)
		p, err := testcluster.NewBurn(maker, size)
		if err != nil {
			t.Fatal(err)
		}
		edited := make(chan struct{})
		go func() {
			defer close(edited)
			if i%burnEditEach == 0 {
				p.Edit(b.race.Client((i+1)%b.race.Nodes, b.token), size)
			}
		}()
		mended := make(chan func(), 1)
		if i%burnTroubleEach == burnTroubleEach-1 {
			troubled++
			after, trouble := time.Duration(b.r.Int64N(int64(burnTroubleMost))), b.troubles[troubled%len(b.troubles)]
			go func() {
				time.Sleep(after) // the moment is chosen, not waited for
				mended <- trouble()
			}()
		} else {
			mended <- func() {}
		}
		if i%2 == 0 {
			<-edited // what it acknowledged is what is read
		}
		err = b.race.Run(p, b.r)
		<-edited
		(<-mended)()
		if err != nil {
			t.Errorf("paste %d: %v", i, err)
		}
		if err := p.Judge(); err != nil {
			t.Errorf("paste %d: %v", i, err)
		}
		if p.Winners() == 0 {
			nobody++
		} else {
			got++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d pastes, %d readers each through %d nodes, %d with trouble, in %v: one reader got %d, nobody %d (the winner was cut off), more than one 0",
		b.pastes, b.race.Readers, b.race.Nodes, troubled, time.Since(started).Round(time.Millisecond), got, nobody)
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
