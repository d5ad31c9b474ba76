package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"ringbin/node"
	"ringbin/storage"
)

func clusterCommand() *cobra.Command {
	return group("cluster", "The cluster's members (operator)", clusterStatus(), clusterRemove(), clusterLeave(), clusterAbortLeave(),
		clusterHold(true), clusterHold(false), clusterRecover(), clusterRejoin())
}

func clusterStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status", Short: "Print the members and how they are", Args: cobra.NoArgs}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var s node.ClusterStatus
		if err := c.call(cmd.Context(), http.MethodGet, "/api/admin/cluster", nil, &s); err != nil {
			return err
		}
		return show(cmd, s, func(w io.Writer) { printStatus(w, s) })
	}
	return cmd
}

func printStatus(w io.Writer, s node.ClusterStatus) {
	_, _ = fmt.Fprintf(w, "cluster %s  term %d  applied %d  ring %d  R %d  W %d\n", s.ClusterID, s.Term, s.Applied, s.RingVersion, s.R, s.W)
	switch {
	case s.NextRing != 0:
		_, _ = fmt.Fprintf(w, "ring %d is being filled: %d of %d partitions to be handed over, %d blobs of %d bytes to be fetched\n",
			s.NextRing, s.Move.Left, storage.Partitions, s.Move.Blobs, s.Move.Bytes)
	case s.Move.Held:
		_, _ = fmt.Fprintln(w, "ring changes are held: ringbin cluster resume-move lets them go on")
	}
	table(w, "NAME\tID\tROLE\tSTATE\tRPC\tPARTITIONS\tBLOBS\tBYTES\tMISSING\tAPPLIED", func(line func(string, ...any)) {
		for _, n := range s.Nodes {
			role, state := "non-voter", "down"
			switch {
			case n.Leader:
				role = "leader"
			case n.Voter:
				role = "voter"
			}
			if n.Alive {
				state = "up"
			}
			if n.Leaving {
				state += ", leaving"
			}
			line("%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d", n.Name, n.ID, role, state, n.RPC, n.Partitions, n.Blobs, n.Bytes, n.Missing, n.Applied)
		}
	})
}

func clusterRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "remove ID", Short: "Take a dead member out for ever", Args: cobra.ExactArgs(1)}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var r struct {
			ID      string `json:"id"`
			Removed bool   `json:"removed"`
		}
		if err := c.call(cmd.Context(), http.MethodDelete, "/api/admin/cluster/nodes/"+url.PathEscape(args[0]), nil, &r); err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) {
			_, _ = fmt.Fprintln(w, "removed", r.ID)
			var s node.ClusterStatus
			if err := c.call(cmd.Context(), http.MethodGet, "/api/admin/cluster", nil, &s); err != nil {
				return // it is removed all the same
			}
			voters := 0
			for _, n := range s.Nodes {
				if n.Voter {
					voters++
				}
			}
			_, _ = fmt.Fprintf(w, "%d members, %d of them vote: %d may be lost at a time\n", len(s.Nodes), voters, max(voters-1, 0)/2)
		})
	}
	return cmd
}
