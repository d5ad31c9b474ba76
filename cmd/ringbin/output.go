package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// group makes a command that only holds others. Alone it prints its help; a
// subcommand that it does not have is an error, as it is of the root.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(subs...)
	return cmd
}

// show prints a result: as JSON, or by the command's own words.
func show(cmd *cobra.Command, v any, words func(w io.Writer)) error {
	if o, err := cmd.Flags().GetString("output"); err == nil && o == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	words(cmd.OutOrStdout())
	return nil
}

// table prints rows under a head.
func table(w io.Writer, head string, rows func(line func(format string, args ...any))) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, head)
	rows(func(format string, args ...any) { _, _ = fmt.Fprintf(tw, format+"\n", args...) })
	_ = tw.Flush() // to a terminal or a pipe: an error there has nowhere to go
}
