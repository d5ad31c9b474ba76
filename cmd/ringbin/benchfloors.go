package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
)

// Numbers of the floors.
const (
	fsyncsMeasured  = 200
	hashedBytes     = 256 * mib
	floorStopWithin = 5 * time.Second
	floorHeader     = 10 * time.Second
)

// machine is what this machine can do at most.
type machine struct {
	CPUs            int     `json:"cpus"`
	FsyncsPerSecond float64 `json:"fsyncs_per_second"`
	SHA512MiBPerSec float64 `json:"sha512_mib_per_second"`
}

func measureMachine(dir string) (machine, error) {
	fsyncs, err := fsyncRate(dir)
	return machine{CPUs: runtime.NumCPU(), FsyncsPerSecond: fsyncs, SHA512MiBPerSec: hashSpeed()}, err
}

// fsyncRate is how often a second this disk makes an append durable.
func fsyncRate(dir string) (float64, error) {
	f, err := os.CreateTemp(dir, "ringbin-bench-fsync-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }() // measured already
	block := make([]byte, 4096)
	start := time.Now()
	for range fsyncsMeasured {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	return fsyncsMeasured / time.Since(start).Seconds(), nil
}

// hashSpeed is of one core.
func hashSpeed() float64 {
	block := make([]byte, mib)
	h := sha512.New()
	start := time.Now()
	for range hashedBytes / mib {
		_, _ = h.Write(block) // never fails
	}
	return hashedBytes / mib / time.Since(start).Seconds()
}

// floors measures the server that does nothing, as a process of its own and
// with the same client: what HTTP alone costs here and now.
func (b *bench) floors(ctx context.Context) ([]benchRow, error) {
	url, stop, err := startFloorServer(ctx)
	if err != nil {
		return nil, err
	}
	b.nodes = &nodes{urls: []string{url}, floor: true}
	var rows []benchRow
	for _, size := range []int64{kib, mib} {
		for _, w := range []struct {
			kind string
			op   func(*loadWorker) (send, error)
		}{{workGet, b.client.blank(url, size)}, {workPut, b.client.sink(url, size)}} {
			row, err := b.measure(ctx, "floor "+w.kind, size, load{concurrency: b.concurrency(size), duration: b.o.duration, rate: b.o.rate, prepare: w.op})
			if err != nil {
				return nil, errors.Join(err, stop())
			}
			rows = append(rows, row)
		}
	}
	return rows, stop()
}

// startFloorServer returns where the server listens, and what stops it.
func startFloorServer(ctx context.Context) (url string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, self, "bench", "floor-server") //nolint:gosec // it is this very program
	cmd.Env = nodeEnv(os.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = floorStopWithin
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return "", nil, err
	}
	stop = func() error {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("floor server: %w", err)
		}
		return nil
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, errors.Join(err, stop())
	}
	return "http://" + strings.TrimSpace(line), stop, nil
}

// floorServerCommand answers from memory: GET /N with N bytes, POST with few.
func floorServerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "floor-server", Short: "A server that answers from memory", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return serveFloor(cmd.Context(), cmd.OutOrStdout()) },
	}
}

func serveFloor(ctx context.Context, out io.Writer) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: floorHandler(), ReadHeaderTimeout: floorHeader}
	done := context.AfterFunc(ctx, func() { _ = s.Close() }) // nobody waits for its answers
	defer done()
	if _, err := fmt.Fprintln(out, ln.Addr()); err != nil {
		return err
	}
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func floorHandler() http.Handler {
	block := make([]byte, mib)
	_, _ = rand.Read(block) // never fails
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				_, _ = io.WriteString(w, "{}\n")
			}
			return
		}
		size, err := strconv.Atoi(filepath.Base(r.URL.Path))
		if err != nil || size < 0 || size > len(block) {
			metrics.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(block[:size])
	})
}
