package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// profileKinds are names of pprof's pages. All are taken at once: each tells of
// what happened within the same seconds.
var profileKinds = []string{"profile", "allocs", "mutex", "block"}

// profileMost bounds one profile's size.
const profileMost = 64 * mib

// profile takes profiles of every node while a workload is on, into files named
// after it. The function that it returns waits for them; a workload that is
// shorter than the profiles is left waiting.
func (b *bench) profile(ctx context.Context, workload string) (wait func() error) {
	if b.o.profile == "" || b.nodes.floor {
		return func() error { return nil }
	}
	seconds := max(1, int(b.o.duration/time.Second))
	var g errgroup.Group
	for i, u := range b.nodes.urls {
		for _, kind := range profileKinds {
			url := fmt.Sprintf("%s/debug/pprof/%s?seconds=%d", strings.TrimRight(u, "/"), kind, seconds)
			path := filepath.Join(b.o.profile, fmt.Sprintf("%s-n%d-%s.pb.gz", workload, i+1, strings.Replace(kind, "profile", "cpu", 1)))
			g.Go(func() error { return fetchProfile(ctx, url, path) })
		}
	}
	return g.Wait
}

func fetchProfile(ctx context.Context, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Timeout: loadTimeout}).Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.LimitReader(resp.Body, profileMost))
	return errors.Join(err, f.Close())
}
