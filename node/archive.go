package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sync/errgroup"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// A backup is a directory.
//
//	manifest.json           what the newest backup is; renamed into place last
//	snapshots/INDEX.json    the manifest of each backup that is kept
//	snapshots/INDEX.snap    its metadata
//	blobs/PPP/CID           bytes, by partition in hexadecimal; shared by all
//	LOCK, tmp/              of the backup that is being made
//
// A blob's file appears under its name only when its bytes were hashed and
// synced, so that a file of the right size need not be fetched again.
const (
	manifestFile   = "manifest.json"
	snapshotsDir   = "snapshots"
	archiveBlobs   = "blobs"
	archiveTmp     = "tmp"
	manifestFormat = 1
)

// Limits of backups.
const (
	fetchersMax   = 4 // blobs fetched at a time
	fetchTriesMax = 3 // for a body that breaks off
)

// Manifest describes one backup.
type Manifest struct {
	Format         int         `json:"format"`
	Cluster        string      `json:"cluster_id"`
	Index          uint64      `json:"index"` // of the last log entry in it
	Term           uint64      `json:"term"`
	Epoch          uint64      `json:"epoch"`
	Time           time.Time   `json:"time"`    // FSM time
	Created        time.Time   `json:"created"` // by the clock of whoever made it
	StateHash      string      `json:"state_hash"`
	Snapshot       string      `json:"snapshot"` // file
	SnapshotBytes  int64       `json:"snapshot_bytes"`
	SnapshotSHA256 string      `json:"snapshot_sha256"`
	Counts         meta.Counts `json:"counts"`
	Blobs          int64       `json:"blobs"` // stored content that is alive
	BlobBytes      int64       `json:"blob_bytes"`
	// Missing content had no copy that could be read when the backup was made.
	Missing []storage.CID `json:"missing"`
}

// BackupSource is where a backup comes from: a node's API. Its methods are
// called from several goroutines.
type BackupSource interface {
	// Snapshot opens the metadata and says whose it is.
	Snapshot(ctx context.Context) (body io.ReadCloser, clusterID string, err error)
	// Blob opens the bytes of stored content. KindNotFound: the cluster has no
	// copy that can be read. Any other error ends the backup.
	Blob(ctx context.Context, cid storage.CID) (io.ReadCloser, error)
}

// BackupOptions are how a backup is made.
type BackupOptions struct {
	Dir    string
	Source BackupSource
	// Check hashes the blobs that are there already, and fetches bad ones again.
	Check bool
	// Prune removes what the new backup does not name: older snapshots, and
	// blobs that nothing refers to any more. Without it everything stays.
	Prune  bool
	Logger *slog.Logger
	// Progress is told of each blob that was looked at; it may be nil.
	Progress func(done, total int64)
}

// BackupReport says what making a backup took.
type BackupReport struct {
	Manifest

	Fetched      int64 `json:"fetched_blobs"`
	FetchedBytes int64 `json:"fetched_bytes"`
	Kept         int64 `json:"kept_blobs"` // were there already
	Pruned       int64 `json:"pruned_files"`
}

// archive is a backup's directory in use.
type archive struct {
	dir    string
	fs     vfs.FS
	logger *slog.Logger
	lock   io.Closer
}

func openArchive(dir string, create bool, logger *slog.Logger) (*archive, error) {
	const op = "node.openArchive"
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	a := &archive{dir: dir, fs: vfs.Default, logger: logger}
	if create {
		for _, d := range []string{"", snapshotsDir, archiveBlobs} {
			if err := storage.MkdirAllDurably(a.fs, a.join(d)); err != nil {
				return nil, storage.E(op, storage.KindInternal, err)
			}
		}
	} else if _, err := os.Stat(a.join(manifestFile)); err != nil {
		return nil, &storage.Error{Op: op, Kind: storage.KindNotFound, Text: fmt.Sprintf("%s holds no backup: it has no %s", dir, manifestFile)}
	}
	lock, err := a.fs.Lock(a.join(lockFile))
	if err != nil {
		return nil, &storage.Error{Op: op, Kind: storage.KindConflict, Text: fmt.Sprintf("backup %s is in use by another process", dir), Err: err}
	}
	a.lock = lock
	return a, nil
}

func (a *archive) join(names ...string) string {
	return filepath.Join(append([]string{a.dir}, names...)...)
}

func (a *archive) close() error {
	return errors.Join(os.RemoveAll(a.join(archiveTmp)), a.lock.Close())
}

func (a *archive) blobPath(cid storage.CID) string {
	return a.join(archiveBlobs, fmt.Sprintf("%03x", cid.Partition()), cid.String())
}

// manifest reads that of the newest backup, or of the one at an index.
func (a *archive) manifest(index uint64) (Manifest, error) {
	const op = "node.manifest"
	path := a.join(manifestFile)
	if index != 0 {
		path = a.join(snapshotsDir, fmt.Sprintf("%d.json", index))
	}
	var m Manifest
	b, err := os.ReadFile(path)
	if err != nil {
		return m, storage.E(op, storage.KindNotFound, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, storage.E(op, storage.KindCorrupt, fmt.Errorf("%s: %w", path, err))
	}
	if m.Format != manifestFormat || m.Snapshot != filepath.Base(m.Snapshot) {
		return m, storage.E(op, storage.KindConflict, fmt.Errorf("%s has format %d, this program knows %d", path, m.Format, manifestFormat))
	}
	return m, nil
}

// CreateBackup brings a backup up to date: all metadata at one index, and the
// bytes of all content that it names. An interrupted one leaves the last one as
// it was, and what it had fetched for the next.
func CreateBackup(ctx context.Context, o BackupOptions) (BackupReport, error) {
	a, err := openArchive(o.Dir, true, o.Logger)
	if err != nil {
		return BackupReport{}, err
	}
	b := &backup{archive: a, o: o}
	err = b.run(ctx)
	return b.report, errors.Join(err, a.close())
}

// backup is one that is being made.
type backup struct {
	*archive

	o      BackupOptions
	report BackupReport

	mu      sync.Mutex // protects report and the fields below while blobs are fetched
	touched map[string]bool
	looked  int64
}

func (b *backup) run(ctx context.Context) error {
	const op = "node.CreateBackup"
	if err := errors.Join(os.RemoveAll(b.join(archiveTmp)), os.MkdirAll(b.join(archiveTmp), 0o700)); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	fsm, err := b.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	b.touched = map[string]bool{}
	err = b.takeBlobs(ctx, fsm)
	if err = errors.Join(err, fsm.Close()); err != nil {
		return err
	}
	if err := b.publish(); err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	if b.o.Prune && len(b.report.Missing) == 0 { // an older backup may have what is missing
		return b.prune(ctx)
	}
	return nil
}

// takeSnapshot fetches the metadata, and proves it by opening and auditing it.
func (b *backup) takeSnapshot(ctx context.Context) (*meta.FSM, error) {
	const op = "node.takeSnapshot"
	body, clusterID, err := b.o.Source.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	tmp := b.join(archiveTmp, "state.snap")
	size, err := writeFile(tmp, io.TeeReader(body, sum))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, storage.E(op, storage.KindUnavailable, fmt.Errorf("the snapshot broke off: %w", err))
	}
	if was, err := b.manifest(0); err == nil && was.Cluster != clusterID {
		return nil, &storage.Error{Op: op, Kind: storage.KindConflict, Text: fmt.Sprintf("this backup is of cluster %s, the node is of %s", was.Cluster, clusterID)}
	}
	fsm, err := openSnapshot(b.join(archiveTmp, "state"), tmp, b.logger)
	if err != nil {
		return nil, err
	}
	if _, err := fsm.Audit(ctx); err != nil {
		return nil, errors.Join(err, fsm.Close())
	}
	m := &b.report.Manifest
	*m = describe(fsm)
	m.Cluster, m.Created = clusterID, time.Now().UTC().Truncate(time.Second)
	m.SnapshotBytes, m.SnapshotSHA256 = size, hex.EncodeToString(sum.Sum(nil))
	return fsm, nil
}

// openSnapshot makes metadata of a snapshot's file: its trailer is checked.
func openSnapshot(dir, file string, logger *slog.Logger) (*meta.FSM, error) {
	fsm, err := openMetaOffline(dir, logger)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, errors.Join(storage.E("node.openSnapshot", storage.KindNotFound, err), fsm.Close())
	}
	if err := fsm.Restore(f); err != nil { // it closes the file
		return nil, errors.Join(err, fsm.Close())
	}
	return fsm, nil
}

// describe is the part of a manifest that follows from the metadata.
func describe(fsm *meta.FSM) Manifest {
	m := Manifest{
		Format: manifestFormat, Index: fsm.AppliedIndex(), Term: fsm.AppliedTerm(), Time: time.UnixMilli(fsm.Now()).UTC(),
		Counts: fsm.Counts(), Missing: []storage.CID{},
	}
	if e, err := fsm.Epoch(); err == nil {
		m.Epoch = e.Number
	}
	if _, hash, err := fsm.StateHash(); err == nil {
		m.StateHash = hex.EncodeToString(hash[:])
	}
	m.Snapshot = fmt.Sprintf("%d.snap", m.Index)
	return m
}

// writeFile writes a file and syncs it.
func writeFile(path string, from io.Reader) (int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err //nolint:wrapcheck // the path is in it
	}
	n, err := io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return n, errors.Join(err, f.Close())
}

// takeBlobs fetches what is not there yet.
func (b *backup) takeBlobs(ctx context.Context, fsm *meta.FSM) error {
	err := eachAlive(ctx, fsm, func(blob meta.Blob) error {
		b.report.Blobs++
		b.report.BlobBytes += blob.CID.Size()
		return nil
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchersMax)
	err = eachAlive(ctx, fsm, func(blob meta.Blob) error {
		g.Go(func() error { return b.takeBlob(ctx, blob.CID) })
		return nil
	})
	return errors.Join(g.Wait(), err)
}

func (b *backup) takeBlob(ctx context.Context, cid storage.CID) error {
	path := b.blobPath(cid)
	st, err := os.Stat(path)
	there := err == nil && st.Size() == cid.Size()
	if there && b.o.Check {
		there = checkFile(path, cid) == nil
	}
	missing := false
	if !there {
		err := b.fetch(ctx, cid, path)
		switch {
		case err == nil:
		case storage.KindOf(err) == storage.KindNotFound:
			b.logger.Warn("content has no copy that can be read", "blob", cid, "err", err)
			missing = true
		default:
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case missing:
		b.report.Missing = append(b.report.Missing, cid)
	case there:
		b.report.Kept++
	default:
		b.report.Fetched++
		b.report.FetchedBytes += cid.Size()
		b.touched[filepath.Dir(path)] = true
	}
	if b.looked++; b.o.Progress != nil {
		b.o.Progress(b.looked, b.report.Blobs)
	}
	return nil
}

// fetch writes a blob under a temporary name, and renames it when its bytes
// are those that its CID names.
func (b *backup) fetch(ctx context.Context, cid storage.CID, path string) error {
	const op = "node.fetch"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return storage.DiskError(op, err)
	}
	var last error
	for range fetchTriesMax {
		body, err := b.o.Source.Blob(ctx, cid)
		if err != nil {
			return err
		}
		tmp := b.join(archiveTmp, cid.String())
		read := &sourceErrors{r: body}
		h := storage.NewHasher()
		_, err = writeFile(tmp, io.TeeReader(io.LimitReader(read, cid.Size()+1), h))
		_ = body.Close() // it was only read
		switch got, hashErr := h.CID(); {
		case read.err != nil:
			last = read.err
		case err != nil:
			return storage.DiskError(op, err)
		case hashErr != nil || got != cid:
			last = errors.New("other bytes than its CID says")
		default:
			if err := os.Rename(tmp, path); err != nil {
				return storage.DiskError(op, err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	// It answers, and breaks off again and again: no copy is good to its end.
	return storage.E(op, storage.KindNotFound, last)
}

// sourceErrors tells errors of reading from those of writing.
type sourceErrors struct {
	r   io.Reader
	err error
}

func (s *sourceErrors) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err //nolint:wrapcheck // a reader hands errors on
}

// publish makes the backup the newest one: everything that it names is durable
// before its manifest is.
func (b *backup) publish() error {
	m := &b.report.Manifest
	slices.SortFunc(m.Missing, storage.CID.Compare)
	for dir := range b.touched {
		if err := storage.SyncDir(b.fs, dir); err != nil {
			return err
		}
	}
	if err := storage.SyncDir(b.fs, b.join(archiveBlobs)); err != nil {
		return err
	}
	if err := storage.RenameDurably(b.fs, b.join(archiveTmp, "state.snap"), b.join(snapshotsDir, m.Snapshot)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	text = append(text, '\n')
	if err := storage.WriteFileDurably(b.fs, b.join(snapshotsDir, fmt.Sprintf("%d.json", m.Index)), text); err != nil {
		return err
	}
	return storage.WriteFileDurably(b.fs, b.join(manifestFile), text)
}

// prune removes what the newest backup does not name.
func (b *backup) prune(ctx context.Context) error {
	const op = "node.prune"
	m := b.report.Manifest
	fsm, err := openSnapshot(b.join(archiveTmp, "state"), b.join(snapshotsDir, m.Snapshot), b.logger)
	if err != nil {
		return err
	}
	defer func() { _ = fsm.Close() }() // it was only read
	keep := map[string]bool{
		b.join(snapshotsDir, m.Snapshot):                      true,
		b.join(snapshotsDir, fmt.Sprintf("%d.json", m.Index)): true,
	}
	remove := func(path string) error {
		b.report.Pruned++
		return os.Remove(path)
	}
	err = eachFile(ctx, b.join(snapshotsDir), func(path string) error {
		if keep[path] {
			return nil
		}
		return remove(path)
	})
	if err == nil {
		err = eachFile(ctx, b.join(archiveBlobs), func(path string) error {
			cid, err := storage.ParseCID(filepath.Base(path))
			if err != nil {
				return nil //nolint:nilerr // not of ours
			}
			blob, found, err := fsm.Blob(cid, fsm.Now())
			if err != nil || found && blob.Alive {
				return err
			}
			return remove(path)
		})
	}
	if err != nil {
		return storage.E(op, storage.KindInternal, err)
	}
	return nil
}

// eachFile goes through the regular files below a directory.
func eachFile(ctx context.Context, dir string, each func(path string) error) error {
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil || !e.Type().IsRegular() {
			return errors.Join(err, ctx.Err())
		}
		return each(path)
	})
	if err != nil {
		return fmt.Errorf("go through %s: %w", dir, err)
	}
	return nil
}

// checkFile hashes a file of the backup.
func checkFile(path string, cid storage.CID) error {
	f, err := os.Open(path)
	if err != nil {
		return err //nolint:wrapcheck // the path is in it
	}
	defer func() { _ = f.Close() }() // it was only read
	h := storage.NewHasher()
	if _, err := io.Copy(h, io.LimitReader(f, cid.Size()+1)); err != nil {
		return err //nolint:wrapcheck // the path is in it
	}
	got, err := h.CID()
	if err == nil && got != cid {
		err = errors.New("has other bytes than its name says")
	}
	return err
}

// VerifyReport says what is wrong with a backup.
type VerifyReport struct {
	Manifest

	Checked      int64    `json:"checked_blobs"`
	CheckedBytes int64    `json:"checked_bytes"`
	Problems     []string `json:"problems"`
}

// VerifyBackup reads a whole backup, the newest one or that at an index, and
// hashes everything in it.
func VerifyBackup(ctx context.Context, dir string, index uint64, logger *slog.Logger) (VerifyReport, error) {
	var r VerifyReport
	a, err := openArchive(dir, false, logger)
	if err != nil {
		return r, err
	}
	err = a.verify(ctx, index, &r)
	return r, errors.Join(err, a.close())
}

func (a *archive) verify(ctx context.Context, index uint64, r *VerifyReport) error {
	fsm, err := a.open(ctx, index, r)
	if err != nil || fsm == nil {
		return err
	}
	err = eachAlive(ctx, fsm, func(b meta.Blob) error {
		if slices.Contains(r.Missing, b.CID) {
			return nil
		}
		r.Checked++
		r.CheckedBytes += b.CID.Size()
		if err := checkFile(a.blobPath(b.CID), b.CID); err != nil {
			r.problem("blob %s: %v", b.CID, err)
		}
		return nil
	})
	return errors.Join(err, fsm.Close())
}

func (r *VerifyReport) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// open reads manifest and metadata of a backup, and holds them against each
// other. No metadata is returned when it can't be read.
func (a *archive) open(ctx context.Context, index uint64, r *VerifyReport) (*meta.FSM, error) {
	r.Problems = []string{}
	m, err := a.manifest(index)
	if err != nil {
		return nil, err
	}
	r.Manifest = m
	if err := os.RemoveAll(a.join(archiveTmp)); err != nil {
		return nil, storage.E("node.archive", storage.KindInternal, err)
	}
	file := a.join(snapshotsDir, m.Snapshot)
	if sum, size, err := sumFile(file); err != nil || size != m.SnapshotBytes || sum != m.SnapshotSHA256 {
		r.problem("snapshot %s: it is not what its manifest says (%d bytes, %v)", m.Snapshot, size, err)
		return nil, nil //nolint:nilnil // the problem is noted
	}
	fsm, err := openSnapshot(a.join(archiveTmp, "state"), file, a.logger)
	if err != nil {
		r.problem("snapshot %s: %v", m.Snapshot, err)
		return nil, nil //nolint:nilnil // the problem is noted
	}
	is := describe(fsm)
	if is.Index != m.Index || is.StateHash != m.StateHash || is.Counts != m.Counts {
		r.problem("snapshot %s: index %d, hash %s; the manifest says %d, %s", m.Snapshot, is.Index, is.StateHash, m.Index, m.StateHash)
	}
	if _, err := fsm.Audit(ctx); err != nil {
		r.problem("snapshot %s: %v", m.Snapshot, err)
	}
	return fsm, nil
}

func sumFile(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err //nolint:wrapcheck // the path is in it
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
