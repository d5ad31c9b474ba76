// Command ringbin is the whole of ringbin: the server, the operator's commands
// and the client.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"ringbin/storage"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}).ExecuteContext(ctx)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "ringbin: "+oneLine(err)) // nothing is left to tell it to
		os.Exit(1)
	}
}

// oneLine says what went wrong in one line, in the words meant for people
// where there are some.
func oneLine(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*storage.Error](err); ok {
		switch {
		case e.Text != "" && e.Err != nil:
			text = e.Text + ": " + innermost(e.Err)
		case e.Text != "":
			text = e.Text
		case e.Field != "" && e.Details[e.Field] != nil:
			text = fmt.Sprintf("%s: %v", e.Field, e.Details[e.Field])
		}
	}
	line := ""
	for part := range strings.Lines(text) {
		part = strings.Join(strings.Fields(part), " ")
		switch {
		case part == "":
		case line == "":
			line = part
		case strings.HasSuffix(line, "?"):
			line += " " + part
		default:
			line += "; " + part
		}
	}
	return line
}

func innermost(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
