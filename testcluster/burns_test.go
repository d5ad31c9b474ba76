package testcluster

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestBurnJudge shows what the judge of pastes that burn lets pass, and what not.
func TestBurnJudge(t *testing.T) {
	t.Parallel()
	const first, second = "burn-first.....", "burn-second...."
	type told struct {
		status int
		body   string
		err    error
	}
	burned := told{http.StatusGone, `{"ok":false,"error":"Paste has already been burned"}`, nil}
	cut := errors.New("cut off")
	refused := &net.OpError{Op: "dial", Err: errors.New("nobody listens")}
	for _, c := range []struct {
		name   string
		told   []told
		edited string // acknowledged
		says   string // "": nothing
	}{
		{"one reader", []told{burned, {200, first, nil}, burned}, "", ""},
		{"one reader, edited before", []told{{200, second, nil}, burned}, second, ""},
		{"one reader, the edit's outcome unknown", []told{{200, first, nil}, burned}, "", ""},
		{"nobody, and one cut off", []told{{0, "", cut}, burned}, "", ""},
		{"nobody, and one told nothing", []told{{503, "", nil}, burned}, "", ""},
		{"one reader and one cut off", []told{{0, "", cut}, {200, first, nil}}, "", ""},
		{"two readers", []told{{200, first, nil}, {200, first, nil}}, "", "I9: 2 readers"},
		{"a reader, and one cut off after the beginning", []told{{200, first, nil}, {200, "burn-first.", cut}}, "", "I9: 2 readers"},
		{"two readers of two texts", []told{{200, first, nil}, {200, second, nil}}, "", "I9: 2 readers"},
		{"a text in an error", []told{{200, first, nil}, {500, "panic: " + first, nil}}, "", "I9: 2 readers"},
		{"nobody", []told{burned, burned}, "", "I9: a paste is burned, nobody got it"},
		{"nobody, and one who did not reach a node", []told{{0, "", refused}, burned}, "", "I9: a paste is burned, nobody got it"},
		{"the text before an edit", []told{{200, first, nil}, burned}, second, "I4: "},
		{"a part", []told{{200, "burn-first.", nil}, burned}, "", "I2: "},
		{"not found", []told{{200, first, nil}, {404, `{"ok":false,"error":"Paste not found"}`, nil}}, "", "is told 404"},
		{"an empty success", []told{{200, "", nil}, {0, "", cut}}, "", "is told 200"},
	} {
		b := &OpenBurn{texts: []string{first, second}, edited: c.edited}
		for _, s := range c.told {
			b.told("somebody", Answer{Status: s.status, Body: []byte(s.body)}, s.err)
		}
		err := b.Judge()
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: got %v, want nothing", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}
