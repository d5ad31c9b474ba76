package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringbin/node"
)

// Times of an examination.
const (
	examineWithin = 10 * time.Second
	clockOffMax   = 2 * time.Second // beyond what the answer took, and its whole seconds
)

// examined is what doctor has to say of one node, or of this machine.
type examined struct {
	Where    string      `json:"where"`
	Status   string      `json:"status"` // ok, degraded, unavailable, unreachable
	Findings []diagnosis `json:"findings"`
}

// diagnosis is one thing that is wrong.
type diagnosis struct {
	Code  string     `json:"code"`
	Text  string     `json:"text"`
	Count int64      `json:"count,omitempty"`
	Since *time.Time `json:"since,omitempty"`

	node.Advice
}

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Explain what is wrong, and what to do", Args: cobra.NoArgs,
		Long: `Ask nodes how they are, and explain each reason for which they are not well, and
what to do. The admin ports tell numbers and times; a public URL tells the reasons.
With --data-dir, this machine is looked at, too. The exit code is 0 when
nothing was found.`,
	}
	var admins []string
	var dir string
	cmd.Flags().StringSliceVar(&admins, "admin-url", []string{"http://127.0.0.1:8083"}, "URLs of nodes' admin ports, or public ports")
	cmd.Flags().StringVar(&dir, "data-dir", "", "a node's data directory on this machine, to be looked at")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var all []examined
		for _, u := range admins {
			all = append(all, examine(cmd.Context(), strings.TrimRight(u, "/")))
		}
		if dir != "" {
			all = append(all, examineHere(dir))
		}
		found := 0
		for _, e := range all {
			found += len(e.Findings)
		}
		if err := show(cmd, all, func(w io.Writer) { printExamined(w, all) }); err != nil {
			return err
		}
		if found > 0 {
			return fmt.Errorf("%d findings", found)
		}
		return nil
	}
	return cmd
}

func printExamined(w io.Writer, all []examined) {
	for _, e := range all {
		_, _ = fmt.Fprintf(w, "%s: %s\n", e.Where, e.Status)
		for _, f := range e.Findings {
			_, _ = fmt.Fprintf(w, "\n  %s", f.Code)
			if f.Count > 0 {
				_, _ = fmt.Fprintf(w, " (%d)", f.Count)
			}
			if f.Since != nil {
				_, _ = fmt.Fprintf(w, " since %s", f.Since.UTC().Format(time.RFC3339))
			}
			_, _ = fmt.Fprintf(w, ": %s\n    What it means: %s\n    What to do:    %s\n", f.Text, f.Meaning, f.Do)
		}
	}
}

// examine asks one node.
func examine(ctx context.Context, u string) examined {
	e := examined{Where: u, Findings: []diagnosis{}}
	ctx, cancel := context.WithTimeout(ctx, examineWithin)
	defer cancel()
	health, off, err := askHealth(ctx, u)
	if err != nil {
		e.Status = "unreachable"
		e.Findings = append(e.Findings, diagnosis{Code: "unreachable", Text: err.Error(), Advice: node.Advice{
			Meaning: "Nothing answers there as a node does.",
			Do:      "Start the node, or give its address with --admin-url; the admin port listens on loopback by default.",
		}})
		return e
	}
	e.Status = health.Status
	for _, r := range health.Reasons {
		a, known := node.Advise(r.Code)
		if !known {
			a = node.Advice{Meaning: "This program does not know this reason: the node is of a newer version.", Do: "Use that version's doctor."}
		}
		f := diagnosis{Code: r.Code, Text: r.Text, Count: r.Count, Advice: a}
		if !r.Since.IsZero() {
			f.Since = &r.Since
		}
		e.Findings = append(e.Findings, f)
	}
	if off != 0 {
		e.Findings = append(e.Findings, diagnosis{Code: "clock_differs", Text: fmt.Sprintf("this machine's clock is off from the node's by %s", off), Advice: node.Advice{
			Meaning: "One of the two clocks is wrong. Nodes whose clocks are off do not serve.", Do: "Mend the time service of both.",
		}})
	}
	return e
}

// askHealth returns a node's health, and by how much this machine's clock is off from its.
func askHealth(ctx context.Context, u string) (h node.Health, off time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u+"/healthz", http.NoBody)
	if err != nil {
		return h, 0, err
	}
	c := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: connectWithin}).DialContext, DisableKeepAlives: true,
	}}
	before := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return h, 0, err
	}
	took := time.Since(before)
	defer func() { _ = resp.Body.Close() }() // it was only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return h, 0, err
	}
	if h, err = parseHealth(b); err != nil {
		return h, 0, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		if d := at.Sub(before); d > clockOffMax+took || d < -(clockOffMax+time.Second) {
			off = d.Round(time.Second)
		}
	}
	return h, off, nil
}

// parseHealth reads the admin port's answer, or the public port's, whose
// reasons are codes alone.
func parseHealth(b []byte) (node.Health, error) {
	var h node.Health
	if err := json.Unmarshal(b, &h); err == nil && h.Status != "" {
		return h, nil
	}
	var public struct {
		Status  string   `json:"status"`
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
	if err := json.Unmarshal(b, &public); err != nil || public.Status == "" {
		return h, errors.New("the answer is not a node's health")
	}
	h = node.Health{Status: public.Status, Ready: public.Ready}
	for _, code := range public.Reasons {
		h.Reasons = append(h.Reasons, node.Reason{Code: code, Text: "the admin port tells more"})
	}
	return h, nil
}

func examineHere(dir string) examined {
	e := examined{Where: "this machine, " + dir, Status: "ok", Findings: []diagnosis{}}
	for _, f := range node.Examine(dir) {
		e.Status = "degraded"
		e.Findings = append(e.Findings, diagnosis{Code: f.Code, Text: f.Text, Advice: f.Advice})
	}
	return e
}
