package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"ringbin/node"
)

// bindOffline adds the options of commands that work on a directory without a node.
func bindOffline(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", "", "the node's data directory; no node may run on it (required)")
}

// offlineLogger tells of trouble only.
func offlineLogger(cmd *cobra.Command) (*slog.Logger, error) {
	return logger(cmd.ErrOrStderr(), "text", "error")
}

var errNotSure = errors.New("nothing was changed: give --yes to do it")

func clusterRecover() *cobra.Command {
	cmd := &cobra.Command{
		Use: "recover", Short: "Rebuild a cluster from one node, the others being lost for ever", Args: cobra.NoArgs,
		Long: `Rebuild a cluster from the node that survived, when so many others are lost for
ever that no majority can come back. Run it on the survivor's directory while no
node runs; without --yes it only says what it would do.

Of several survivors take the one with the highest last index and term, and run
"ringbin cluster rejoin" on the others: they come back as new members, with
their blobs at hand.

All other members are removed for ever: their disks are refused, should they
come back. Never do this while a majority may still come back: two clusters
would go on from one history.`,
	}
	var o node.RecoverOptions
	bindOffline(cmd, &o.DataDir)
	cmd.Flags().BoolVar(&o.Do, "yes", false, "do it")
	cmd.Flags().StringVar(&o.LostFile, "lost-file", "", "list of the blobs without a copy here; default: lost-blobs.txt in the data directory")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if o.Logger, err = offlineLogger(cmd); err != nil {
			return err
		}
		r, err := node.Recover(cmd.Context(), o)
		if err != nil {
			return err
		}
		if err := show(cmd, r, func(w io.Writer) { printRecovery(w, r) }); err != nil {
			return err
		}
		if !o.Do {
			return errNotSure
		}
		return nil
	}
	return cmd
}

func printRecovery(w io.Writer, r node.RecoverReport) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	line("cluster     %s", r.Cluster)
	line("survivor    %s", r.Node)
	line("last entry  index %d of term %d, cluster time %s", r.LastIndex, r.LastTerm, r.LastTime.Format(time.RFC3339))
	if !r.Appended.IsZero() {
		line("            a leader took it in at %s", r.Appended.UTC().Format(time.RFC3339))
	}
	line("            what was written after it, on other nodes, is lost: nothing here can tell what that is")
	if r.Unapplied > 0 {
		line("            the last %d entries were not known here to be committed; they count now", r.Unapplied)
	}
	line("keeps       %d accounts, %d references, %d blobs (%d bytes)", r.Accounts, r.References, r.Blobs-r.Lost, r.BlobBytes-r.LostBytes)
	line("lost        %d blobs (%d bytes) have no good copy on this node; listed in %s", r.Lost, r.LostBytes, r.LostFile)
	if r.BlobsBlank {
		line("            this node has no blob store at all")
	}
	if !r.Voter {
		line("            this node did not vote: it may be behind by more than another survivor")
	}
	for _, g := range r.Removed {
		line("removes     %s  %s  %s", g.ID, g.Name, g.RPC)
	}
	if len(r.Removed) < r.Majority {
		line("            the %d others are no majority of what was: if this node is well, \"ringbin cluster remove\" may be all that is needed", len(r.Removed))
	}
	if r.Done {
		line("done        epoch %d begins at index %d: start this node as ever, then let new nodes join it", r.Epoch, r.Index)
	}
}

func clusterRejoin() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rejoin", Short: "Make a blank node of an old disk, which keeps its blobs", Args: cobra.NoArgs,
		Long: `Make a node forget that it was a member: it loses its id, its log and its
metadata, and keeps its blobs. Started with --join it becomes a new member that
need not fetch what it has. For what is left beside the survivor that a cluster
was recovered from, and for removed nodes whose disks are still good.`,
	}
	var dir string
	var yes bool
	bindOffline(cmd, &dir)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !yes {
			return errNotSure
		}
		was, is, err := node.Forget(dir)
		if err != nil {
			return err
		}
		v := struct {
			Was string `json:"was"`
			Is  string `json:"is"`
		}{string(was), string(is)}
		return show(cmd, v, func(w io.Writer) { _, _ = fmt.Fprintf(w, "%s is %s now; start it with --join\n", v.Was, v.Is) })
	}
	return cmd
}
