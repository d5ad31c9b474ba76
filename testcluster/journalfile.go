package testcluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ringbin/storage"
)

// Acknowledged is one line of the journal's file: what a client was told with a 2xx.
type Acknowledged struct {
	What    string      `json:"what"` // upload, extend, delete, deposit
	Account string      `json:"account"`
	Idem    string      `json:"idempotency_key"`
	CID     storage.CID `json:"cid"`
	Size    int64       `json:"size"`
	Cents   int64       `json:"cents"`
	Entry   string      `json:"entry,omitempty"` // of the ledger, where the answer names it
	Expires time.Time   `json:"expires,omitzero"`
	Index   uint64      `json:"index"` // applied on the node that answered, just afterwards
}

// open gives the journal its file.
func (j *journal) open(tb testing.TB) {
	tb.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.path = filepath.Join(tb.TempDir(), "journal.jsonl")
	f, err := os.OpenFile(j.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	j.file = f
	tb.Cleanup(func() { _ = f.Close() })
}

// write appends a line and returns after its fsync: what the client knows is
// safe whatever becomes of the cluster.
func (j *journal) write(a Acknowledged) error {
	if j.file == nil {
		return nil
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	j.fileMu.Lock()
	_, err = j.file.Write(append(b, '\n'))
	j.fileMu.Unlock()
	return errors.Join(err, j.file.Sync())
}

// read returns what the file says.
func (j *journal) read() ([]Acknowledged, error) {
	f, err := os.Open(j.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []Acknowledged
	d := json.NewDecoder(bufio.NewReader(f))
	for {
		var a Acknowledged
		if err := d.Decode(&a); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
}
