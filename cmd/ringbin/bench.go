package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringbin/storage"
)

// Sizes that the goals speak of, in bytes.
const (
	kib = 1 << 10
	mib = 1 << 20
)

// What a benchmark does; balance and memory are not of a size.
const (
	workPut     = "put"
	workGet     = "get"
	workMixed   = "mixed"
	workBalance = "balance" // strong reads through a node that follows
	workMemory  = "memory"  // of nodes that do nothing, and of those that take large uploads
)

var works = []string{workPut, workGet, workMixed, workBalance, workMemory}

type benchOptions struct {
	client      *clientOptions
	adminURLs   []string
	duration    time.Duration
	rate        float64
	concurrency int
	sizes       []string
	works       []string
	reads       int
	keys        string
	idempotent  bool
	dir         string
	profile     string
	self        bool
	selfNodes   int
	nodeArgs    []string
}

func benchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure a running cluster, beside what this machine could do at most", Args: cobra.NoArgs,
		Long: "Measure puts and gets of several sizes, strong reads, memory and bytes written, beside a bare HTTP server, the fsync rate\n" +
			"and the SHA-512 speed of this machine in the same run. Every put is of new random content, for 30 days, and is charged.\n" +
			"What the nodes use is read from their admin URLs: CPU time of this command is in no figure, but it takes part of the machine.",
	}
	o.client = bindClient(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.adminURLs, "admin-url", nil, "admin URLs of all nodes, in the order of url")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "time for each kind and size")
	f.Float64Var(&o.rate, "rate", 0, "requests to begin each second, whether or not others are answered; 0: the next one when one is answered")
	f.IntVar(&o.concurrency, "concurrency", 0, "requests under way at once; 0: 64, of more than 1 KiB 16, of more than 64 KiB 8, of more than 1 MiB 4")
	f.StringSliceVar(&o.sizes, "sizes", []string{"1KiB", "64KiB", "1MiB", "16MiB"}, "sizes of content")
	f.StringSliceVar(&o.works, "workloads", []string{workPut, workGet, workBalance, workMemory}, "what to measure, of "+strings.Join(works, ", "))
	f.IntVar(&o.reads, "reads", 90, "gets in a hundred requests of mixed")
	f.StringVar(&o.keys, "keys", keysUniform, "which content is read: uniform, or zipf (some much more often)")
	f.BoolVar(&o.idempotent, "idempotency-keys", true, "send one with each put, as the client's commands do")
	f.StringVar(&o.dir, "dir", os.TempDir(), "directory for the fsync measurement and the nodes of self: on the disk to be measured")
	f.StringVar(&o.profile, "profile", "", "directory for CPU, allocs, mutex and block profiles of each node in each workload")
	f.BoolVar(&o.self, "self", false, "start nodes on spare ports for it, each a process of its own, and stop them")
	f.IntVar(&o.selfNodes, "nodes", goalNodes, fmt.Sprintf("how many nodes self starts, %d at most; the goals are of %d", selfNodesMax, goalNodes))
	f.StringArrayVar(&o.nodeArgs, "node-arg", nil, "one more flag for the nodes of self")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd) }
	cmd.AddCommand(floorServerCommand())
	return cmd
}

// run checks the options before it starts anything.
func (o *benchOptions) run(cmd *cobra.Command) error {
	sizes, err := parseSizes(o.sizes)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if o.profile != "" {
		if err := os.MkdirAll(o.profile, 0o700); err != nil {
			return err
		}
	}
	ctx := cmd.Context()
	b := &bench{o: o, sizes: sizes, progress: io.Discard, client: newLoadClient()}
	if w := cmd.ErrOrStderr(); isTerminal(w) {
		b.progress = w
	}
	defer b.client.CloseIdleConnections()
	if b.report.Machine, err = measureMachine(o.dir); err != nil {
		return err
	}
	if b.report.Floors, err = b.floors(ctx); err != nil {
		return err
	}
	if !o.self {
		err = b.cluster(ctx)
	} else {
		err = withBenchCluster(ctx, o, func(c *benchCluster) error {
			o.client.urls, o.adminURLs, o.client.key = c.urls, c.admins, c.key
			return b.cluster(ctx)
		})
	}
	if err != nil && len(b.report.Rows) == 0 {
		return err
	}
	if b.report.Nodes = len(o.client.urls); !o.self || o.selfNodes == goalNodes {
		b.report.Goals = goalsOf(&b.report)
	}
	return errors.Join(err, show(cmd, b.report, func(w io.Writer) { printBench(w, &b.report) })) // minutes of work: what is there is shown
}

func (o *benchOptions) check() error {
	for _, w := range o.works {
		if !slices.Contains(works, w) {
			return fmt.Errorf("workloads: %q is none of %s", w, strings.Join(works, ", "))
		}
	}
	puts := slices.Contains(o.works, workPut)
	switch {
	case o.keys != keysUniform && o.keys != keysZipf:
		return fmt.Errorf("keys: %q is neither uniform nor zipf", o.keys)
	case o.reads < 0 || o.reads > 100:
		return fmt.Errorf("reads: %d is not 0 to 100", o.reads)
	case o.concurrency < 0 || o.concurrency > concurrencyMax:
		return fmt.Errorf("concurrency: %d is not 0 to %d", o.concurrency, concurrencyMax)
	case o.rate < 0 || o.rate > rateMost:
		return fmt.Errorf("rate: %g is not 0 to %g", o.rate, float64(rateMost))
	case o.selfNodes < 1 || o.selfNodes > selfNodesMax:
		return fmt.Errorf("nodes: %d is not 1 to %d", o.selfNodes, selfNodesMax)
	case o.selfNodes != goalNodes && !o.self:
		return errors.New("nodes: only self starts any")
	case o.duration <= 0:
		return errors.New("duration: more than nothing is wanted")
	case !puts && (slices.Contains(o.works, workGet) || slices.Contains(o.works, workMixed)):
		return errors.New("workloads: get and mixed read what put has put")
	case !o.self && o.client.key == "":
		return errors.New("key: required")
	case !o.self && len(o.adminURLs) > 0 && len(o.adminURLs) != len(o.client.urls):
		return errors.New("admin-url: one for each url is wanted")
	case o.profile != "" && !o.self && len(o.adminURLs) == 0:
		return errors.New("profile: admin-url is required")
	}
	return nil
}

// bench is one run.
type bench struct {
	o        *benchOptions
	sizes    []int64
	progress io.Writer // of a run that takes minutes
	client   *loadClient
	nodes    *nodes
	report   benchReport
}

// cluster measures the nodes.
func (b *bench) cluster(ctx context.Context) error {
	b.nodes = &nodes{urls: b.o.adminURLs}
	wanted := func(w string) bool { return slices.Contains(b.o.works, w) }
	if wanted(workMemory) && b.nodes.known() {
		var err error
		if b.report.IdleBytes, b.report.IdleCPUs, err = b.nodes.idle(ctx); err != nil {
			return err
		}
	}
	for _, size := range b.sizes {
		if err := b.size(ctx, size, wanted); err != nil {
			return err
		}
	}
	if wanted(workBalance) {
		if err := b.strongReads(ctx); err != nil {
			return err
		}
	}
	if wanted(workMemory) && b.nodes.known() {
		return b.largeUploads(ctx)
	}
	return nil
}

// size measures what is asked for of one size.
func (b *bench) size(ctx context.Context, size int64, wanted func(string) bool) error {
	if !wanted(workPut) {
		return nil
	}
	c := &content{size: size, o: b.o, client: b.client, template: newTemplate(size)}
	for _, w := range []struct {
		name string
		op   func(*loadWorker) (send, error)
	}{{workPut, c.put}, {workGet, c.get}, {workMixed, c.mixed}} {
		if !wanted(w.name) {
			continue
		}
		c.freeze(b.o.keys)
		row, err := b.measure(ctx, w.name, size, load{concurrency: b.concurrency(size), duration: b.o.duration, rate: b.o.rate, prepare: w.op})
		if err != nil {
			return err
		}
		b.report.Rows = append(b.report.Rows, row)
	}
	return nil
}

func (b *bench) concurrency(size int64) int {
	switch {
	case b.o.concurrency > 0:
		return b.o.concurrency
	case size <= kib:
		return 64
	case size <= 64*kib:
		return 16
	case size <= mib:
		return 8
	}
	return 4
}

// measure runs one workload, and reads before and after it what the nodes used.
func (b *bench) measure(ctx context.Context, kind string, size int64, l load) (benchRow, error) {
	_, _ = fmt.Fprintf(b.progress, "%s %s, %d at once\n", kind, sizeText(size), l.concurrency)
	stop := b.profile(ctx, fmt.Sprintf("%s-%s", kind, strings.ReplaceAll(sizeText(size), " ", "")))
	before, err := b.nodes.sample(ctx)
	if err != nil {
		return benchRow{}, errors.Join(err, stop())
	}
	result, err := l.run(ctx)
	if err != nil {
		return benchRow{}, errors.Join(err, stop())
	}
	after, err := b.nodes.sample(ctx)
	if err = errors.Join(err, stop()); err != nil {
		return benchRow{}, err
	}
	if result.ops == 0 {
		return benchRow{}, fmt.Errorf("no %s of %s worked: %w", kind, sizeText(size), result.firstErr)
	}
	row := newRow(kind, size, l, result)
	row.use(before, after)
	settled, err := b.nodes.settle(ctx)
	if err != nil {
		return benchRow{}, err
	}
	row.settle(before, after, settled)
	return row, nil
}

// strongReads asks a node that follows for a balance: each read has to see all
// that was committed before it.
func (b *bench) strongReads(ctx context.Context) error {
	follower, err := b.nodes.follower(ctx)
	if err != nil {
		return err
	}
	op := b.client.balance(b.o.client.urls[follower], b.o.client.key)
	row, err := b.measure(ctx, workBalance, 0, load{concurrency: strongReaders, duration: b.o.duration, rate: b.o.rate, prepare: op})
	if err != nil {
		return err
	}
	b.report.Rows = append(b.report.Rows, row)
	return nil
}

// largeUploads watches the nodes' memory while they take large uploads.
func (b *bench) largeUploads(ctx context.Context) error {
	c := &content{size: largeUpload, o: b.o, client: b.client, template: newTemplate(largeUpload)}
	watch := b.nodes.watchMemory(ctx)
	row, err := b.measure(ctx, workMemory, largeUpload, load{concurrency: largeUploads, duration: largeWithin, opsMax: largeUploads, prepare: c.put})
	most, watchErr := watch()
	if err = errors.Join(err, watchErr); err != nil {
		return err
	}
	b.report.Rows = append(b.report.Rows, row)
	b.report.BusyBytes = most
	return nil
}

// Numbers of the workloads that are not of a size.
const (
	strongReaders = 64
	largeUploads  = 16
	largeUpload   = 64 * mib
	largeWithin   = 5 * time.Minute
)

func parseSizes(list []string) ([]int64, error) {
	units := []struct {
		suffix string
		factor int64
	}{{"KiB", kib}, {"MiB", mib}, {"GiB", 1 << 30}, {"", 1}}
	var sizes []int64
	for _, s := range list {
		for _, u := range units {
			digits, ok := strings.CutSuffix(s, u.suffix)
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(digits, 10, 40)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("sizes: %q is not a size such as 64KiB", s)
			}
			if n*u.factor <= storage.InlineMax || n*u.factor > sizeMost {
				return nil, fmt.Errorf("sizes: %q is not 65 bytes to 1GiB: less is not stored, since it is its own CID", s)
			}
			sizes = append(sizes, n*u.factor)
			break
		}
	}
	return sizes, nil
}

// sizeMost is the largest content of a benchmark: one lies in memory.
const sizeMost = 1 << 30

func sizeText(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n >= mib && n%mib == 0:
		return fmt.Sprintf("%d MiB", n/mib)
	case n >= kib && n%kib == 0:
		return fmt.Sprintf("%d KiB", n/kib)
	}
	return fmt.Sprintf("%d B", n)
}
