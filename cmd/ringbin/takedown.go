package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// takedown is an entry of the record as the API shows it.
type takedown struct {
	CID     string    `json:"cid"`
	Blocked bool      `json:"blocked"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
	Index   uint64    `json:"index"`
}

// adminRemove takes content down: it is refused from then on, and its bytes go
// after the grace.
func adminRemove() *cobra.Command {
	var undo, list bool
	var reason string
	cmd := &cobra.Command{
		Use:   "rm CID --reason TEXT | rm CID --undo | rm --list",
		Short: "Take content down for all (operator)",
		Long: `Take content down. From now on no node serves it or takes it in again. After
the grace (setting deletion_grace_seconds) its references go, without a refund,
and its bytes are erased. With --undo it is allowed again: within the grace it is
as it was, later it can be uploaded afresh. Both are written into a record that
--list prints.`,
		Args: cobra.MaximumNArgs(1),
	}
	o := bindOperator(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required to take down)")
	cmd.Flags().BoolVar(&undo, "undo", false, "allow it again")
	cmd.Flags().BoolVar(&list, "list", false, "print the record of what was taken down and allowed again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case list && (len(args) > 0 || undo):
			return errors.New("list: goes alone")
		case !list && len(args) == 0:
			return errors.New("a CID is required")
		case !list && !undo && strings.TrimSpace(reason) == "":
			return errors.New("reason: required")
		}
		c, err := o.operator()
		if err != nil {
			return err
		}
		if list {
			return listTakedowns(cmd, c)
		}
		var r struct {
			CID     string `json:"cid"`
			Blocked bool   `json:"blocked"`
		}
		in := struct {
			Block  bool   `json:"block"`
			Reason string `json:"reason,omitempty"`
		}{!undo, reason}
		if err := c.call(cmd.Context(), http.MethodDelete, "/api/admin/content/"+url.PathEscape(args[0]), in, &r); err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) {
			if r.Blocked {
				_, _ = fmt.Fprintln(w, "taken down:", r.CID)
			} else {
				_, _ = fmt.Fprintln(w, "allowed again:", r.CID)
			}
		})
	}
	return cmd
}

func listTakedowns(cmd *cobra.Command, c *client) error {
	all, err := pages[takedown](cmd.Context(), c, "/api/admin/takedowns", "takedowns")
	if err != nil {
		return err
	}
	return show(cmd, all, func(w io.Writer) {
		table(w, "TIME\tINDEX\tWHAT\tCID\tREASON", func(line func(string, ...any)) {
			for _, t := range all {
				what := "allowed again"
				if t.Blocked {
					what = "taken down"
				}
				line("%s\t%d\t%s\t%s\t%s", t.At.Format(time.RFC3339), t.Index, what, t.CID, strings.ReplaceAll(t.Reason, "\t", " "))
			}
		})
	})
}
