package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names of metrics.
const (
	metricCPU       = "process_cpu_seconds_total"
	metricResident  = "process_resident_memory_bytes"
	metricWritten   = "ringbin_process_written_bytes_total"
	metricStored    = "ringbin_store_bytes"
	metricUnflushed = "ringbin_store_unflushed_bytes"
	metricRunning   = "ringbin_store_compactions"
	metricUnsettled = "ringbin_replica_unsettled"
	metricRounds    = "ringbin_raft_rounds_total"
	metricCommands  = "ringbin_raft_round_commands_total"
	metricLeads     = "ringbin_raft_is_leader"
	metricStoreBy   = `ringbin_store_written_bytes_total{by="`
)

// Times of looking at nodes.
const (
	scrapeWithin = 30 * time.Second // the machine is busy
	watchEvery   = 200 * time.Millisecond
	idleWatched  = 3 * time.Second
	settleEvery  = 500 * time.Millisecond
	settledLooks = 4 // in a row that show the same
	settleWithin = 2 * time.Minute
)

// nodes are the admin ports of the nodes that are measured.
type nodes struct {
	urls  []string
	floor bool // no nodes but the server that does nothing
}

// sample is what the nodes' metrics were at one time, by node.
type sample []map[string]float64

// known reports whether there is anything to look at.
func (n *nodes) known() bool { return len(n.urls) > 0 }

// sample reads all metrics. Without admin URLs it is empty.
func (n *nodes) sample(ctx context.Context) (sample, error) {
	s := make(sample, 0, len(n.urls))
	for _, u := range n.urls {
		m, err := scrape(ctx, strings.TrimRight(u, "/")+"/metrics")
		if err != nil {
			return nil, err
		}
		s = append(s, m)
	}
	return s, nil
}

// sum adds up a metric of all nodes; false when one does not have it.
func (s sample) sum(name string) (total float64, known bool) {
	for _, m := range s {
		v, ok := m[name]
		if !ok {
			return 0, false
		}
		total += v
	}
	return total, len(s) > 0
}

// grown is by how much a sum has become more, and -1 where it is not known.
func grown(before, after sample, name string) float64 {
	from, ok := before.sum(name)
	to, known := after.sum(name)
	if !ok || !known || to < from { // less: a node began anew
		return -1
	}
	return to - from
}

// most is the largest value of any node.
func (s sample) most(name string) float64 {
	most := -1.0
	for _, m := range s {
		if v, ok := m[name]; ok {
			most = max(most, v)
		}
	}
	return most
}

// settle waits until third copies have arrived and no compaction writes any
// more, and returns what the metrics are then; or as they are when that takes
// too long.
func (n *nodes) settle(ctx context.Context) (sample, error) {
	var last sample
	same := 0
	for deadline := time.Now().Add(settleWithin); ; {
		now, err := n.sample(ctx)
		if err != nil || n.floor || !n.known() {
			return now, err
		}
		if last != nil && now.restsSince(last) {
			same++
		} else {
			same = 0
		}
		if same >= settledLooks || time.Now().After(deadline) {
			return now, nil
		}
		last = now
		if !pause(ctx, settleEvery) {
			return nil, ctx.Err()
		}
	}
}

// restsSince reports whether the blob stores have done nothing since.
func (s sample) restsSince(last sample) bool {
	for i, m := range s {
		if m[metricRunning] != 0 || m[metricUnsettled] != 0 || m[metricStored] != last[i][metricStored] {
			return false
		}
		for name, v := range m {
			if strings.HasPrefix(name, metricStoreBy) && v != last[i][name] {
				return false
			}
		}
	}
	return true
}

// idle is what the nodes use while nothing is going on: the largest one's memory,
// and how many CPUs all of them keep busy.
func (n *nodes) idle(ctx context.Context) (resident, cpus float64, err error) {
	before, err := n.settle(ctx)
	if err != nil {
		return 0, 0, err
	}
	if !pause(ctx, idleWatched) {
		return 0, 0, ctx.Err()
	}
	after, err := n.sample(ctx)
	return after.most(metricResident), grown(before, after, metricCPU) / idleWatched.Seconds(), err
}

// watchMemory looks at the nodes' memory until the function that it returns is
// called, which tells the most that one had.
func (n *nodes) watchMemory(ctx context.Context) func() (float64, error) {
	ctx, cancel := context.WithCancel(ctx)
	most, failed := -1.0, error(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, watchEvery) {
			s, err := n.sample(ctx)
			if err != nil {
				failed = err
				return
			}
			most = max(most, s.most(metricResident))
		}
	}()
	return func() (float64, error) {
		cancel()
		<-done
		if errors.Is(failed, context.Canceled) { // in the middle of a look
			failed = nil
		}
		return most, failed
	}
}

// follower returns the number of a node that does not lead; of a cluster of
// one, and where it is not known who leads, the first.
func (n *nodes) follower(ctx context.Context) (int, error) {
	s, err := n.sample(ctx)
	if err != nil {
		return 0, err
	}
	return max(0, slices.IndexFunc(s, func(m map[string]float64) bool {
		leads, known := m[metricLeads]
		return known && leads == 0
	})), nil
}

// scrape reads a page of metrics in the text format, labels as they stand.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	m, err := parseMetrics(io.LimitReader(resp.Body, answerMax))
	if err == nil && m[metricCPU] == 0 {
		err = errors.New("no " + metricCPU)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return m, nil
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	m := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			return nil, err
		}
		m[line[:i]] = v
	}
	return m, lines.Err()
}

// storeWrites is by how much the blob stores wrote more, by reason.
func storeWrites(before, after sample) map[string]float64 {
	reasons := map[string]bool{}
	for _, m := range after {
		for name := range maps.Keys(m) {
			if by, ok := strings.CutPrefix(name, metricStoreBy); ok {
				reasons[strings.TrimSuffix(by, `"}`)] = true
			}
		}
	}
	writes := map[string]float64{}
	for by := range reasons {
		writes[by] = grown(before, after, metricStoreBy+by+`"}`)
	}
	return writes
}
