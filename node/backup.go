package node

import (
	"context"
	"io"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// What a running node gives for a backup; archive.go keeps it.

// Snapshot is all replicated metadata at one index, ready to be streamed. Close it.
type Snapshot struct {
	Cluster string
	stream  *meta.Stream
}

// Index is that of the last log entry in the snapshot.
func (s *Snapshot) Index() uint64 { return s.stream.Index() }

// Write streams the snapshot: its trailer tells whoever reads it that nothing is missing.
func (s *Snapshot) Write(w io.Writer) error { return s.stream.Write(w) }

// Close lets the state go.
func (s *Snapshot) Close() { s.stream.Close() }

// Snapshot takes hold of the metadata with all that was acknowledged when it
// was called.
func (s *Service) Snapshot(ctx context.Context, c Caller) (*Snapshot, error) {
	if err := operatorOnly("node.Snapshot", c); err != nil {
		return nil, err
	}
	if err := s.n.catchUp(ctx); err != nil {
		return nil, err
	}
	stream, err := s.n.fsm.Stream()
	if err != nil {
		return nil, err
	}
	return &Snapshot{Cluster: s.n.clusterID(), stream: stream}, nil
}

// StoredBlob is stored content for a backup, whatever the catalogue says of it:
// what was taken down, or has expired since, is in a backup, too. Close it.
func (s *Service) StoredBlob(ctx context.Context, c Caller, cid storage.CID) (*Content, error) {
	if err := operatorOnly("node.StoredBlob", c); err != nil {
		return nil, err
	}
	content := &Content{CID: cid, ctx: ctx}
	if cid.Inline() {
		content.inline = cid.Content()
		return content, nil
	}
	content.open = func(ctx context.Context, offset int64) (storage.PartReader, error) {
		return s.n.replicas.Open(ctx, cid, offset, -1)
	}
	return content, nil
}
