package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"ringbin/node"
	"ringbin/storage"
)

func backupCommand() *cobra.Command {
	return group("backup", "Backups of the whole cluster (operator)", backupCreate(), backupVerify(), backupRestore())
}

// blobTimeout is how long a backup goes on trying for one blob: content that is
// lost must not hold up all the rest.
const blobTimeout = 15 * time.Second

// errBackupIncomplete makes the exit code tell what the report says.
var errBackupIncomplete = errors.New("the backup is not complete: some content has no copy that can be read; its manifest lists it")

// nodeSource takes a backup from a cluster's API, through whichever node answers.
type nodeSource struct {
	o *clientOptions

	mu   sync.Mutex // protects free
	free []*client  // a client serves one call at a time
}

func (s *nodeSource) take() (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		c := s.free[n-1]
		s.free = s.free[:n-1]
		return c, nil
	}
	return s.o.operator()
}

func (s *nodeSource) give(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, c)
}

func (s *nodeSource) get(ctx context.Context, path string, within time.Duration) (*http.Response, error) {
	c, err := s.take()
	if err != nil {
		return nil, err
	}
	defer s.give(c)
	c.timeout = within
	return c.do(ctx, request{method: http.MethodGet, path: path})
}

// Snapshot implements node.BackupSource.
func (s *nodeSource) Snapshot(ctx context.Context) (io.ReadCloser, string, error) {
	resp, err := s.get(ctx, "/api/admin/backup/snapshot", s.o.timeout)
	if err != nil {
		return nil, "", err
	}
	return resp.Body, resp.Header.Get("X-Cluster-Id"), nil
}

// Blob implements node.BackupSource.
func (s *nodeSource) Blob(ctx context.Context, cid storage.CID) (io.ReadCloser, error) {
	resp, err := s.get(ctx, "/api/admin/backup/blobs/"+cid.String(), min(s.o.timeout, blobTimeout))
	if ae, ok := errors.AsType[*apiError](err); ok && (ae.status == http.StatusNotFound || ae.status == http.StatusServiceUnavailable) {
		return nil, storage.E("backup", storage.KindNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

func backupCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create DIR", Short: "Make a backup, or bring one up to date", Args: cobra.ExactArgs(1),
		Long: `Make a backup of all metadata and all content, or bring the one in DIR up to
date: only content that is not there yet is fetched. The backup in DIR stays
what it was until the new one is complete.`,
	}
	o := bindOperator(cmd)
	var b node.BackupOptions
	cmd.Flags().BoolVar(&b.Check, "check", false, "hash the content that is there already, and fetch bad files again")
	cmd.Flags().BoolVar(&b.Prune, "prune", false, "remove older snapshots, and content that nothing refers to any more")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		source := &nodeSource{o: o}
		c, err := source.take() // options that are wrong, before anything is made
		if err != nil {
			return err
		}
		source.give(c)
		if b.Logger, err = offlineLogger(cmd); err != nil {
			return err
		}
		b.Dir, b.Source = args[0], source
		r, err := node.CreateBackup(cmd.Context(), b)
		if err != nil {
			return err
		}
		if err := show(cmd, r, func(w io.Writer) {
			printManifest(w, r.Manifest)
			_, _ = fmt.Fprintf(w, "fetched   %d blobs (%d bytes); %d were there\n", r.Fetched, r.FetchedBytes, r.Kept)
			if b.Prune {
				_, _ = fmt.Fprintf(w, "pruned    %d files\n", r.Pruned)
			}
		}); err != nil {
			return err
		}
		if len(r.Missing) > 0 {
			return errBackupIncomplete
		}
		return nil
	}
	return cmd
}

func printManifest(w io.Writer, m node.Manifest) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("cluster   %s", m.Cluster)
	line("index     %d of term %d, cluster time %s", m.Index, m.Term, m.Time.Format(time.RFC3339))
	line("holds     %d accounts, %d keys, %d references, %d ledger entries", m.Counts.Accounts, m.Counts.Keys, m.Counts.References, m.Counts.Entries)
	line("content   %d blobs (%d bytes)", m.Blobs, m.BlobBytes)
	for _, cid := range m.Missing {
		line("missing   %s", cid)
	}
}

func backupVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify DIR", Short: "Read a whole backup and hash everything in it", Args: cobra.ExactArgs(1)}
	var index uint64
	cmd.Flags().Uint64Var(&index, "index", 0, "the backup at this index, instead of the newest one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := offlineLogger(cmd)
		if err != nil {
			return err
		}
		r, err := node.VerifyBackup(cmd.Context(), args[0], index, l)
		if err != nil {
			return err
		}
		if err := show(cmd, r, func(w io.Writer) {
			printManifest(w, r.Manifest)
			for _, p := range r.Problems {
				_, _ = fmt.Fprintln(w, "PROBLEM  ", p)
			}
			_, _ = fmt.Fprintf(w, "checked   %d blobs (%d bytes): %d problems\n", r.Checked, r.CheckedBytes, len(r.Problems))
		}); err != nil {
			return err
		}
		switch {
		case len(r.Problems) > 0:
			return fmt.Errorf("the backup is damaged: %d problems", len(r.Problems))
		case len(r.Missing) > 0:
			return errBackupIncomplete
		}
		return nil
	}
	return cmd
}

func backupRestore() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Make the first node of a new cluster from a backup", Args: cobra.ExactArgs(1),
		Long: `Make the data directory of a cluster of one node, with everything that the
backup in DIR holds. Start that node as any other, and let others join it: they
fill up by themselves. The new cluster has an id of its own; keep the old secret
file for it, if there is one, and clients' keys, balances and content are as
they were.`,
	}
	var o node.RestoreOptions
	cmd.Flags().StringVar(&o.DataDir, "data-dir", "", "directory to make (required)")
	cmd.Flags().Uint64Var(&o.Index, "index", 0, "the backup at this index, instead of the newest one")
	cmd.Flags().BoolVar(&o.AllowLost, "allow-lost", false, "restore what there is when content of the backup is missing or bad")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if o.Logger, err = offlineLogger(cmd); err != nil {
			return err
		}
		o.Dir = args[0]
		r, err := node.RestoreBackup(cmd.Context(), o)
		if err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "node      %s, the first of cluster %s\nfrom      cluster %s at index %d\n", r.Node, r.Cluster, r.From, r.Index)
			_, _ = fmt.Fprintf(w, "holds     %d accounts, %d keys, %d references, %d ledger entries\n", r.Counts.Accounts, r.Counts.Keys, r.Counts.References, r.Counts.Entries)
			_, _ = fmt.Fprintf(w, "content   %d blobs (%d bytes)\n", r.Blobs, r.BlobBytes)
			for _, cid := range r.Lost {
				_, _ = fmt.Fprintf(w, "lost      %s\n", cid)
			}
		})
	}
	return cmd
}
