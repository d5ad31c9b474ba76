package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringbin/node"
)

// Times of a command that waits for a member to leave.
const (
	leaveLook    = time.Second
	leaveSilence = 10 * time.Second // of all URLs
)

func clusterLeave() *cobra.Command {
	var force, wait bool
	cmd := &cobra.Command{
		Use: "leave [ID|NAME]", Short: "Drain a living member and take it out", Args: cobra.MaximumNArgs(1),
		Long: "Drain a living member, by default the node that answers: its partitions are handed over, then its vote and\n" +
			"its leadership, and its process ends. The others do the work; it goes on through restarts and new leaders.",
	}
	cmd.Flags().BoolVar(&force, "force", false, "even if there will be fewer copies, or voters of whom none may be lost")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when it has left")
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		id, err := memberID(cmd, c, args)
		if err != nil {
			return err
		}
		var l node.Leaving
		if err := c.call(cmd.Context(), http.MethodPost, leavePath(id), map[string]bool{"force": force}, &l); err != nil {
			return err
		}
		if wait {
			if err := waitGone(cmd, c, id); err != nil {
				return err
			}
		}
		return show(cmd, l, func(w io.Writer) {
			for _, text := range l.Warnings {
				_, _ = fmt.Fprintln(w, "note:", text)
			}
			if wait {
				_, _ = fmt.Fprintln(w, id, "has left")
				return
			}
			_, _ = fmt.Fprintln(w, id, "is leaving: ringbin cluster status shows how far it is")
		})
	}
	return cmd
}

func leavePath(id string) string { return "/api/admin/cluster/nodes/" + url.PathEscape(id) + "/leave" }

// memberID finds a member by its id or its name, or is the node that answers.
func memberID(cmd *cobra.Command, c *client, args []string) (string, error) {
	var s node.ClusterStatus
	if err := c.call(cmd.Context(), http.MethodGet, "/api/admin/cluster", nil, &s); err != nil {
		return "", err
	}
	if len(args) == 0 {
		return s.Node, nil
	}
	var found []string
	for _, n := range s.Nodes {
		if n.ID == args[0] {
			return n.ID, nil
		}
		if n.Name == args[0] {
			found = append(found, n.ID)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("no member has the id or the name %q", args[0])
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several members have the name %q: give an id of %s", args[0], strings.Join(found, ", "))
}

// waitGone returns once no member has the id. The node itself stops answering
// when it has left: then another URL is asked. Where there is none, a node that
// had given up everything and answers no more has left.
func waitGone(cmd *cobra.Command, c *client, id string) error {
	c.timeout = min(c.timeout, leaveSilence)
	empty := false
	for {
		var s node.ClusterStatus
		if err := c.call(cmd.Context(), http.MethodGet, "/api/admin/cluster", nil, &s); err != nil {
			if empty {
				return nil // that is what was waited for
			}
			return err
		}
		there := false
		for _, n := range s.Nodes {
			if n.ID == id {
				there, empty = true, n.Leaving && n.Partitions == 0
			}
		}
		if !there {
			return nil
		}
		select {
		case <-cmd.Context().Done():
			return cmd.Context().Err()
		case <-time.After(leaveLook):
		}
	}
}

func clusterAbortLeave() *cobra.Command {
	cmd := &cobra.Command{Use: "abort-leave ID|NAME", Short: "Keep a member that was to leave", Args: cobra.ExactArgs(1)}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		id, err := memberID(cmd, c, args)
		if err != nil {
			return err
		}
		var l node.Leaving
		if err := c.call(cmd.Context(), http.MethodDelete, leavePath(id), nil, &l); err != nil {
			return err
		}
		return show(cmd, l, func(w io.Writer) { _, _ = fmt.Fprintln(w, id, "stays") })
	}
	return cmd
}

func clusterHold(hold bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "abort-move", Short: "Drop the ring change under way and have none begun", Args: cobra.NoArgs,
		Long: "Drop the ring change under way and have no other one begun, until resume-move or until the members change.\n" +
			"Partitions that were handed over stay with their new owners; all content keeps its copies.",
	}
	said := "ring changes are held"
	if !hold {
		cmd.Use, cmd.Short, cmd.Long, said = "resume-move", "Let ring changes go on after abort-move", "", "ring changes go on"
	}
	o := bindOperator(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.operator()
		if err != nil {
			return err
		}
		var r struct {
			Held bool `json:"held"`
		}
		if err := c.call(cmd.Context(), http.MethodPost, "/api/admin/cluster/moves", map[string]bool{"hold": hold}, &r); err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) { _, _ = fmt.Fprintln(w, said) })
	}
	return cmd
}
