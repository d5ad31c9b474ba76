//go:build teeth

package testcluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"ringbin/storage"
)

// tooth is a planted mistake and what catches it.
type tooth struct {
	bug  storage.Bug
	pkg  string // whose tests; "": those of whole clusters
	test string // their name
	says string // what the failing test has to say: another failure proves nothing
	form string // what kind of test it is, for the table
}

// seedsMost is in how many seeds a mistake must be caught.
const seedsMost = 10

// toothTime bounds one run.
const toothTime = 3 * time.Minute

const (
	formCluster = "cluster in one process"
	formSim     = "cluster in virtual time"
	formStore   = "power loss at each write of one store"
	formFSM     = "metadata alone"
)

var teeth = []tooth{
	{storage.BugNoRequestIDs, "", "TestRetriesChargeOnce", `I8: account \S+: ([2-9]|\d\d+) times`, formCluster},
	{storage.BugStaleLeaderRead, "", "TestNewLeaderKnowsAll", `I4: node`, formCluster},
	{storage.BugNoBarrier, "", "TestNewLeaderKnowsAll", `I4: node`, formCluster},
	{storage.BugReceiptUnsynced, "", "TestPowerLossOfAll", `I1: acknowledged`, formCluster},
	{storage.BugReceiptUnsynced, "storage", "TestPowerLossAtEveryWrite", `Stat of .* bytes: .* false, <nil>`, formStore},
	{storage.BugOneCopy, "", "TestOneCopyIsNotEnough", `I1: `, formCluster},
	{storage.BugSkipUnknown, "storage/meta", "TestHalts", `OnHalt's calls: got 0, want 1`, formFSM},
	{storage.BugRingFromGossip, "", "TestGossipPlacesNothing", `I11: gossip`, formCluster},
	{storage.BugDeleteByAbsence, "", "TestAbsenceErasesNothing", `I1, I13: node`, formCluster},
	{storage.BugLogUnsynced, "", "TestSimAllLosePower", `I1: acknowledged`, formSim},
	{storage.BugChargeFirst, "", "TestRefusedIsFree", `I7: a refused`, formCluster},
	{storage.BugExpiredServed, "", "TestExpiry", `I14: node \d answers 200`, formCluster},
	{storage.BugBurnAfterSend, "", "TestBurnRaces", `I9: ([2-9]|\d\d+) readers got the bytes`, formCluster},
}

// TestTeeth plants each mistake and shows that a test notices it, and that the
// same tests pass without it. RINGBIN_TEETH names the mistakes to try.
func TestTeeth(t *testing.T) {
	if !storage.Planted("") {
		t.Skip("a run of somebody's with a mistake planted")
	}
	bins := map[string]string{}
	var table strings.Builder
	out := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(format string, cells ...any) { _, _ = fmt.Fprintf(out, format+"\n", cells...) } // to memory
	row("mistake\tcaught by\tkind of test\tseeds\tit said")
	healthy := map[string]bool{}
	for _, too := range teeth {
		if only := os.Getenv("RINGBIN_TEETH"); only != "" && !strings.Contains(","+only+",", ","+string(too.bug)+",") {
			continue
		}
		bin := binOf(t, bins, too.pkg)
		if key := too.pkg + too.test; !healthy[key] {
			if said, err := run(t, bin, tooth{test: too.test, pkg: too.pkg}, 1); err != nil || !strings.Contains(said, "--- PASS: "+too.test+" ") {
				t.Errorf("%s does not pass without a mistake (%v):\n%s", too.test, err, said)
				row("%s\tNOT TRIED: %s fails without it\t%s\t\t", too.bug, too.test, too.form)
				continue
			}
			healthy[key] = true
		}
		seeds, said := 0, ""
		for caught := false; !caught && seeds < seedsMost; {
			seeds++
			said, caught = bite(t, bin, too, uint64(seeds))
		}
		if said == "" {
			t.Errorf("%s was not caught by %s in %d seeds", too.bug, too.test, seeds)
			row("%s\tNOTHING: %s\t%s\t%d\t", too.bug, too.test, too.form, seeds)
			continue
		}
		t.Logf("%s: caught by %s at seed %d: %s", too.bug, too.test, seeds, said)
		row("%s\t%s\t%s\t%d\t%s", too.bug, too.test, too.form, seeds, said)
	}
	_ = out.Flush() // to memory
	t.Logf("teeth:\n%s", table.String())
}

// binOf returns the tests of a package, built with the mistakes.
func binOf(t *testing.T, bins map[string]string, pkg string) string {
	t.Helper()
	if pkg == "" {
		return os.Args[0]
	}
	if bins[pkg] == "" {
		bins[pkg] = filepath.Join(t.TempDir(), filepath.Base(pkg)+".test")
		cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "hashicorpmetrics teeth", "-o", bins[pkg], "ringbin/"+pkg)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
	}
	return bins[pkg]
}

// run runs a test with a mistake, or with none.
func run(t *testing.T, bin string, too tooth, seed uint64) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toothTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.run", "^"+too.test+"$", "-test.v", "-test.timeout", toothTime.String())
	cmd.Dir = "."
	if too.pkg != "" {
		cmd.Dir = filepath.Join("..", too.pkg)
	}
	cmd.Env = append(os.Environ(), "RINGBIN_PLANT="+string(too.bug), "RINGBIN_CHAOS_SEED="+strconv.FormatUint(seed, 10), "RINGBIN_CHAOS_TIME=1s", "RINGBIN_CHAOS_KEEP="+t.TempDir())
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// bite runs a test with a mistake, and returns the line that shows that it was
// noticed.
func bite(t *testing.T, bin string, too tooth, seed uint64) (said string, caught bool) {
	t.Helper()
	all, err := run(t, bin, too, seed)
	if err == nil {
		return "", false
	}
	says := regexp.MustCompile(too.says)
	for line := range strings.Lines(all) {
		if says.MatchString(line) {
			const most = 110
			line = strings.TrimSpace(line)
			return line[:min(len(line), most)], true
		}
	}
	t.Logf("%s failed by something else with %s planted:\n%s", too.test, too.bug, all)
	return "", false
}
