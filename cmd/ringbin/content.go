package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"ringbin/storage"
)

// nameShown is how much of a CID stands before a progress bar.
const nameShown = 16

// stored is what the API answers to an upload.
type stored struct {
	File       string    `json:"file,omitempty"`
	CID        string    `json:"cid"`
	Size       int64     `json:"size"`
	CostCents  int64     `json:"cost_cents"`
	Expiration time.Time `json:"expiration"`
}

func cidCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cid FILE...", Short: "Print the CID of files", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			for _, f := range files {
				cid, err := sumFile(f)
				if err != nil {
					return err
				}
				v := map[string]string{"file": f, "cid": cid.String()}
				if err := show(cmd, v, func(w io.Writer) { _, _ = fmt.Fprintln(w, cid) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func sumFile(path string) (storage.CID, error) {
	f, err := os.Open(path)
	if err != nil {
		return storage.CID{}, err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := storage.NewHasher()
	if _, err := io.Copy(h, f); err != nil {
		return storage.CID{}, err
	}
	return h.CID()
}

func putCommand() *cobra.Command {
	var days int
	cmd := &cobra.Command{Use: "put FILE...", Short: "Upload files and print their CIDs", Args: cobra.MinimumNArgs(1)}
	o := bindClient(cmd)
	cmd.Flags().IntVar(&days, "days", 30, "how long to keep them: a multiple of 30")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		if days < 1 || days%30 != 0 {
			return fmt.Errorf("days: %d is not a positive multiple of 30", days)
		}
		for _, f := range files {
			s, err := putFile(cmd.Context(), c, f, days, cmd.ErrOrStderr())
			if err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			if err := show(cmd, s, func(w io.Writer) { _, _ = fmt.Fprintln(w, s.CID) }); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// putFile names the file first: its bytes then travel to their owners at once.
func putFile(ctx context.Context, c *client, path string, days int, progress io.Writer) (stored, error) {
	cid, err := sumFile(path)
	if err != nil {
		return stored{}, err
	}
	bar, done := newBar(progress, filepath.Base(path), cid.Size())
	defer done()
	resp, err := c.do(ctx, request{
		method: http.MethodPost, path: "/api/content", write: true,
		header: map[string]string{
			"Content-Type": "application/octet-stream", "X-Content-Hash": cid.String(), "X-Retention-Days": strconv.Itoa(days),
			"Expect": "100-continue",
		},
		body: func() (io.ReadCloser, int64, error) {
			f, err := os.Open(path)
			if err != nil {
				return nil, 0, err
			}
			return bar(f), cid.Size(), nil
		},
	})
	if err != nil {
		return stored{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	s := stored{File: path}
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(&s); err != nil {
		return stored{}, err
	}
	if s.CID != cid.String() {
		return stored{}, fmt.Errorf("the server stored %s, the file is %s", s.CID, cid)
	}
	return s, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newBar shows progress when w is a terminal.
func newBar(w io.Writer, name string, size int64) (wrap func(io.ReadCloser) io.ReadCloser, done func()) {
	if !isTerminal(w) {
		return func(r io.ReadCloser) io.ReadCloser { return r }, func() {}
	}
	p := mpb.New(mpb.WithOutput(w))
	bar := p.AddBar(size,
		mpb.PrependDecorators(decor.Name(name+" "), decor.CountersKibiByte("% .1f / % .1f")),
		mpb.AppendDecorators(decor.EwmaSpeed(decor.SizeB1024(0), "% .1f", 30), decor.Name(" "), decor.EwmaETA(decor.ET_STYLE_GO, 30)),
		mpb.BarRemoveOnComplete(),
	)
	return func(r io.ReadCloser) io.ReadCloser {
			bar.SetCurrent(0)
			proxied, err := bar.ProxyReader(r)
			if err != nil {
				return r // the bar is over: without it then
			}
			return proxied
		}, func() {
			bar.Abort(true)
			p.Wait()
		}
}

func getCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "get CID", Short: "Download content, verified as it is written", Args: cobra.ExactArgs(1)}
	o := bindClient(cmd)
	cmd.Flags().StringVarP(&file, "file", "o", "", "write to this file; default: standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cid, err := parseCID(args[0])
		if err != nil {
			return err
		}
		c, err := o.client()
		if err != nil {
			return err
		}
		if file == "" {
			return fetch(cmd.Context(), c, cid, cmd.OutOrStdout())
		}
		return getFile(cmd.Context(), c, cid, file, cmd.ErrOrStderr())
	}
	return cmd
}

func parseCID(s string) (storage.CID, error) {
	cid, err := storage.ParseCID(s)
	if err != nil {
		return cid, fmt.Errorf("%q: %w", s, err)
	}
	return cid, nil
}

// fetch writes content and fails unless all of it was what the CID names.
func fetch(ctx context.Context, c *client, cid storage.CID, w io.Writer) error {
	resp, err := c.do(ctx, request{method: http.MethodGet, path: "/api/content/" + cid.String()})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	h := storage.NewHasher()
	if _, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(resp.Body, cid.Size()+1)); err != nil {
		return fmt.Errorf("the download broke off: %w", err)
	}
	got, err := h.CID()
	if err != nil {
		return err
	}
	if got != cid {
		return fmt.Errorf("the bytes received are %s, not %s", got, cid)
	}
	return nil
}

// getFile writes beside the file and renames only what has proved right. A
// download that broke off, or was wrong, is tried through the next node.
func getFile(ctx context.Context, c *client, cid storage.CID, path string, progress io.Writer) (err error) {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		return getDevice(ctx, c, cid, path)
	}
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	// The file is the user's, with the permissions that any new one has.
	tmp, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666) //nolint:gosec // as the umask has it
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	for try := 1; ; try++ {
		err = fetchInto(ctx, c, cid, tmp, progress)
		if _, answered := errors.AsType[*apiError](err); err == nil || answered || ctx.Err() != nil || try == len(c.urls) {
			break
		}
		c.next++
	}
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// getDevice writes to what is there and is no file, such as a pipe or the null
// device, which must not be replaced by one.
func getDevice(ctx context.Context, c *client, cid storage.CID, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(fetch(ctx, c, cid, f), f.Close())
}

func fetchInto(ctx context.Context, c *client, cid storage.CID, f *os.File, progress io.Writer) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	name := cid.String() // short content has a short one
	bar, done := newBar(progress, name[:min(len(name), nameShown)], cid.Size())
	defer done()
	pr, pw := io.Pipe()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(f, bar(pr))
		copied <- errors.Join(err, pr.CloseWithError(err))
	}()
	err := fetch(ctx, c, cid, pw)
	return errors.Join(err, pw.CloseWithError(nil), <-copied)
}

// metadata is what the API says of content.
type metadata struct {
	CID         string    `json:"cid"`
	Size        int64     `json:"size"`
	Uploaded    time.Time `json:"uploaded"`
	Expires     time.Time `json:"expires"`
	Status      string    `json:"status"`
	ContentType string    `json:"content_type"`
}

func statCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "stat CID", Short: "Print what is known of content", Args: cobra.ExactArgs(1)}
	o := bindClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cid, err := parseCID(args[0])
		if err != nil {
			return err
		}
		c, err := o.client()
		if err != nil {
			return err
		}
		var m metadata
		if err := c.call(cmd.Context(), http.MethodGet, "/api/content/"+cid.String()+"/metadata", nil, &m); err != nil {
			return err
		}
		return show(cmd, m, func(w io.Writer) {
			_, _ = fmt.Fprintf(w, "cid       %s\nsize      %d\ntype      %s\nuploaded  %s\nexpires   %s\nstatus    %s\n",
				m.CID, m.Size, m.ContentType, m.Uploaded.Format(time.RFC3339), m.Expires.Format(time.RFC3339), m.Status)
		})
	}
	return cmd
}

func rmCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "rm CID...", Short: "Remove one's own references", Args: cobra.MinimumNArgs(1)}
	o := bindClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		for _, a := range args {
			cid, err := parseCID(a)
			if err != nil {
				return err
			}
			var r struct {
				CID    string `json:"cid"`
				Exists bool   `json:"exists"`
			}
			if err := c.call(cmd.Context(), http.MethodDelete, "/api/content/"+cid.String(), nil, &r); err != nil {
				return err
			}
			err = show(cmd, r, func(w io.Writer) {
				if r.Exists {
					_, _ = fmt.Fprintf(w, "removed; %s stays readable by others' references\n", r.CID)
				} else {
					_, _ = fmt.Fprintf(w, "removed %s\n", r.CID)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}
