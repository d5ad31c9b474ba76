package node_test

import (
	"testing"
	"time"

	"ringbin/node"
)

// What is older than the logs are kept for is not shown from when the setting
// says so, though it is erased later.
func TestOldRequestsAreNotShown(t *testing.T) {
	t.Parallel()
	clock := &minuteClock{}
	r := binRigOf(t, openEdited(t, 1, clock.set))
	r.s(0).LogRequest(node.RequestEntry{API: node.APIPasteWizard, Endpoint: "paste.php", Status: 200})
	shown := func() int {
		return len(must(r.s(0).RequestLogs(t.Context(), r.op, node.LogQuery{Limit: 10}))(t).Logs)
	}
	for shown() == 0 { // it is on its way
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	r.onto(clock, 25*time.Hour)
	for _, kept := range []struct {
		days int64
		want int
	}{{2, 1}, {1, 0}, {2, 1}} {
		must(r.s(0).SetSettings(t.Context(), r.op, node.SettingsPatch{PasteWizard: &node.PasteWizardPatch{LogRetentionDays: &kept.days}}))(t)
		if got := shown(); got != kept.want {
			t.Errorf("kept for %d days: %d entries are shown, want %d", kept.days, got, kept.want)
		}
	}
}
