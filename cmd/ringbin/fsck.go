package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"ringbin/node"
)

func fsckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "fsck", Short: "Check a node's data directory while no node runs on it", Args: cobra.NoArgs,
		Long: `Check a node's data directory while no node runs on it, and change nothing:
the Raft log entry by entry, the metadata table by table with the ledger, and
every copy of content against its name. Each problem is one line; the exit code
is 0 when there is none.`,
	}
	var o node.FsckOptions
	bindOffline(cmd, &o.DataDir)
	cmd.Flags().BoolVar(&o.Blobs, "blobs", true, "read and hash every copy of content")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if o.Logger, err = logger(io.Discard, "text", "error"); err != nil { // problems are told once
			return err
		}
		r, err := node.Fsck(cmd.Context(), o)
		if err != nil {
			return err
		}
		if err := show(cmd, r, func(w io.Writer) { printFsck(w, r, o.Blobs) }); err != nil {
			return err
		}
		if n := len(r.Problems); n > 0 {
			return fmt.Errorf("%d problems", n)
		}
		return nil
	}
	return cmd
}

func printFsck(w io.Writer, r node.FsckReport, blobs bool) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	for _, p := range r.Problems {
		line("PROBLEM   %s", p)
	}
	line("node      %s of cluster %s, incarnation %d, epoch %d", r.Node, r.Cluster, r.Incarnation, r.Epoch)
	line("raft log  entries %d to %d, term %d, newest snapshot at %d", r.Log.First, r.Log.Last, r.Log.Term, r.Log.Snapshot)
	line("metadata  index %d: %d accounts, %d keys, %d references, %d ledger entries", r.Applied, r.Counts.Accounts, r.Counts.Keys, r.Counts.References, r.Counts.Entries)
	if blobs {
		line("content   %d copies, %d hashed (%d bytes), %d orphans, %d owned and not held", r.Blobs, r.Hashed, r.HashedBytes, r.Orphans, r.Unheld)
	}
}
