package testcluster

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/cluster"
)

// secrets are what must never be seen in clear (I20): in no answer but the one
// that gives a key to its maker, no log line, no metric, no file.
type secrets struct {
	mu    sync.Mutex // protects known
	known map[string][]byte
}

// add notes a secret under a name that may be shown.
func (s *secrets) add(name string, secret []byte) {
	if len(secret) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string][]byte{}
	}
	s.known[name] = secret
}

// addCluster notes a cluster's secret and what follows from it, in the forms
// that somebody might print.
func (s *secrets) addCluster(tb testing.TB, secret []byte) {
	tb.Helper()
	trust, err := cluster.ParseTrust(secret)
	if err != nil {
		tb.Fatal(err)
	}
	_, text, _ := bytes.Cut(bytes.TrimSpace(secret), []byte(":"))
	s.add("cluster secret", text)
	s.add("admin token", []byte(trust.AdminToken()))
	_, tail, _ := strings.Cut(trust.AdminToken(), "rb_admin_")
	s.add("admin token without its tag", []byte(tail))
	raw := map[string][]byte{"gossip key": trust.GossipKeys()[0]}
	if b, err := base64.RawURLEncoding.DecodeString(string(text)); err == nil {
		raw["cluster secret"] = b
	}
	for name, b := range raw {
		s.add(name+", raw", b)
		s.add(name+", hex", []byte(hex.EncodeToString(b)))
		s.add(name+", base64", []byte(base64.RawStdEncoding.EncodeToString(b)))
	}
}

// in returns the names of the secrets that are in b.
func (s *secrets) in(b []byte) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, secret := range s.known {
		if bytes.Contains(b, secret) {
			names = append(names, name)
		}
	}
	return names
}

// watchedMax bounds the answers that are looked through: content is the client's own.
const watchedMax = 64 << 10

// watch looks for secrets in an answer. A key in the answer that gives it to
// its maker is no secret yet: it is added afterwards.
func (s *secrets) watch(tb testing.TB, request string, a Answer) {
	tb.Helper()
	var b bytes.Buffer
	_ = a.Header.Write(&b) // to memory
	if len(a.Body) <= watchedMax {
		b.Write(a.Body)
	}
	for _, name := range s.in(b.Bytes()) {
		tb.Errorf("I20: the answer to %s shows the %s", request, name)
	}
}

// checkSecrets looks through the logs, the metrics of the nodes that run, the
// journal, and all files of all nodes.
func (c *Cluster) checkSecrets() {
	c.tb.Helper()
	found := func(where string, b []byte) {
		for _, name := range c.secrets.in(b) {
			c.tb.Errorf("I20: %s shows the %s", where, name)
		}
	}
	for i := range c.nodes {
		if n := c.running(i); n != nil {
			b, err := metricsOf(n.Addresses().Admin)
			if err != nil {
				c.tb.Errorf("metrics of node %d: %v", i, err)
			}
			found(fmt.Sprintf("a metric of node %d", i), b)
		}
		if disk := c.nodes[i].disk; disk != nil {
			if err := walk(disk.fs(), disk.data, found); err != nil {
				c.tb.Errorf("files of node %d: %v", i, err)
			}
		}
	}
	err := filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found(path, b)
		return err
	})
	if err != nil {
		c.tb.Errorf("files: %v", err)
	}
	for _, path := range []string{c.logPath, c.journal.path} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			c.tb.Errorf("%v", err)
		}
		found(path, b)
	}
}

func metricsOf(addr string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+addr+"/metrics", http.NoBody) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	cl := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := cl.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// walk reads every file below a directory.
func walk(fsys vfs.FS, dir string, each func(path string, b []byte)) error {
	names, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := fsys.PathJoin(dir, name)
		info, err := fsys.Stat(path)
		if err != nil {
			continue // gone meanwhile, or not of this disk
		}
		if info.IsDir() {
			if err := walk(fsys, path, each); err != nil {
				return err
			}
			continue
		}
		f, err := fsys.Open(path)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(f)
		_ = f.Close() // read only
		if err != nil {
			return err
		}
		each(path, b)
	}
	return nil
}
