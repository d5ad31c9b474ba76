package testcluster

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// rotProbe is how many first bytes of content are looked for in a node's files.
const rotProbe = 48

// RotBlobs flips one bit of each of these contents in the table files of a node
// that is down, and returns in how many places.
func (c *Cluster) RotBlobs(i int, contents ...[]byte) (places int) {
	c.tb.Helper()
	paths, err := filepath.Glob(filepath.Join(c.nodes[i].cfg.DataDir, "blobs", "db*", "*.sst"))
	if err != nil {
		c.tb.Fatal(err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			c.tb.Fatal(err)
		}
		n := 0
		for _, content := range contents {
			if at := bytes.Index(b, content[:rotProbe]); at >= 0 {
				b[at+rotProbe/2] ^= 1
				n++
			}
		}
		if n > 0 {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				c.tb.Fatal(err)
			}
		}
		places += n
	}
	return places
}

// RotManifest flips a bit in the middle of what a node that is down keeps of
// its blob database's shape: it never opens again.
func (c *Cluster) RotManifest(i int) {
	c.tb.Helper()
	dir := filepath.Join(c.nodes[i].cfg.DataDir, "blobs", "db")
	entries, err := os.ReadDir(dir)
	if err != nil {
		c.tb.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "MANIFEST-") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			c.tb.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			c.tb.Fatal(err)
		}
	}
}
