package main

import (
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// newRoot makes the command tree.
func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "ringbin",
		Short:         "A self-hosted cluster that keeps content under its CID and serves it as bins and pastes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.PersistentFlags().String("config", "", "TOML file with options; flags and RINGBIN_* variables win over it")
	root.PersistentFlags().String("output", "text", "text or json, where data is printed")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := mergeOptions(cmd); err != nil {
			return err
		}
		if o, err := cmd.Flags().GetString("output"); err == nil && o != "text" && o != "json" {
			return fmt.Errorf("output: %q is neither text nor json", o)
		}
		return nil
	}
	root.AddCommand(
		secretCommand(), serveCommand(), devCommand(), adminCommand(), accountCommand(), keyCommand(), balanceCommand(),
		putCommand(), getCommand(), statCommand(), rmCommand(), cidCommand(), clusterCommand(), settingsCommand(), benchCommand(), backupCommand(), fsckCommand(), doctorCommand(),
		versionCommand(),
	)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return show(cmd, v, func(w io.Writer) {
				_, _ = fmt.Fprintf(w, "ringbin %s %s %s\n", v.Version, v.Go, v.Platform)
			})
		},
	}
}

// logger makes the log of a server on stderr.
func logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log-level: %q is not one of debug, info, warn, error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log-format: %q is neither text nor json", format)
}
