package highlight

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

func joined(tokens []chroma.Token) string {
	var b strings.Builder
	for _, token := range tokens {
		b.WriteString(token.Value)
	}
	return b.String()
}

// stubborn is a lexer that does what no lexer should.
type stubborn struct {
	chroma.Lexer
	next func() chroma.Token
}

func (s stubborn) Tokenise(*chroma.TokeniseOptions, string) (chroma.Iterator, error) {
	return s.next, nil
}

func TestLexKeepsTheText(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func() chroma.Token{
		"panics":       func() chroma.Token { panic("no rule") },
		"other text":   func() chroma.Token { return chroma.Token{Type: chroma.Keyword, Value: "zzz"} },
		"says nothing": func() chroma.Token { return chroma.EOF },
	} {
		if got := joined(lex(t.Context(), stubborn{next: next}, "some text", 10)); got != "some text" {
			t.Errorf("%s: %q", name, got)
		}
	}
	endless := stubborn{next: func() chroma.Token { return chroma.Token{Type: chroma.Keyword} }}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := joined(lex(ctx, endless, "some text", 10)); got != "some text" {
		t.Errorf("endless: %q", got)
	}
	over, cancelled := context.WithCancel(t.Context())
	cancelled()
	own, err := os.ReadFile("highlight.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, ctx := range map[string]context.Context{"in time": t.Context(), "too late": over} {
		for _, most := range []int{1, 7, tokensMax} {
			tokens := lex(ctx, lexers.Get("go"), string(own), most)
			if joined(tokens) != string(own) || len(tokens) > most+1 {
				t.Errorf("%s, %d tokens at most: %d tokens, the text changed", name, most, len(tokens))
			}
		}
	}
}

// Whoever finds no slot in time gets plain text.
func TestHighlighterIsBusy(t *testing.T) {
	t.Parallel()
	h := New(10 * time.Millisecond)
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	if got := h.tokens(t.Context(), lexers.Get("go"), "package x"); len(got) != 1 || got[0].Value != "package x" {
		t.Errorf("%v", got)
	}
}

func TestCleanText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\r\nb\rc\n": "a\nb\nc\n", "": "", "a\xe2\x82": "a", "\xffa": "\uFFFDa", "a\x00b": "a\uFFFDb", "ü": "ü",
	} {
		if got := Text([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
