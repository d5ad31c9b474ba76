package paste69

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
	"golang.org/x/net/html"
)

func TestLanguage(t *testing.T) {
	t.Parallel()
	const goCode = "package main\n\nimport \"fmt\"\n\nfunc main() {\n\tx := 1\n\tfmt.Println(x)\n}\n"
	const prose = "The quick brown fox jumps over the lazy dog.\nIt was a dark night; the dog slept.\n\nNothing else happened.\n"
	for _, c := range []struct{ name, extension, mediaType, text, want string }{
		{"a.go", "go", "text/plain", "", "Go"},
		{"a.py", "py", "text/plain", "x", "Python"},
		{"a.rs", "rs", "text/plain", "fn main() {}", "Rust"},
		{"a.h", "h", "text/plain", "#include <vector>\nclass A { public: std::vector<int> b; };\n", "C++"},
		{"a.h", "h", "text/plain", "#include <stdio.h>\nint main(void);\n", "C"},
		{"a.ts", "ts", "text/plain", "const a: number = 1;\nexport default a;\n", "TypeScript"},
		{"a.md", "md", "text/markdown", "# a", "markdown"},
		{"Dockerfile", "txt", "text/plain", "FROM scratch\n", "Docker"},
		{"Makefile", "txt", "text/plain", "all:\n\ttrue\n", "Makefile"},
		{"a.go", "py", "text/plain", "", "Python"}, // the field beat the name
		{"paste.txt", "txt", "application/json", `{"a":1}`, "JSON"},
		{"paste", "", "text/html", "<p>x", "HTML"},
		{"paste.txt", "txt", "text/plain", "#!/bin/sh\necho x\n", "Bash"},
		{"paste.txt", "txt", "text/plain", "#!/usr/bin/env python3\nx\n", "Python"},
		{"paste.txt", "txt", "text/plain", "<?xml version=\"1.0\"?>\n<a/>\n", "XML"},
		{"paste.txt", "txt", "text/plain", goCode, "Go"},
		{"paste.txt", "txt", "text/plain", prose, ""},
		{"paste.txt", "txt", "text/plain", "def f(a):\n    return a\n", "Python"},
		{"paste.txt", "txt", "text/plain", "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "Diff"},
		{"paste.txt", "txt", "text/plain", "SELECT a,\n b FROM c;\n", "SQL"},
		{"paste.txt", "txt", "text/plain", "[{\"a\": 1}]", "JSON"},
		{"notes.log", "log", "text/plain", "2030-01-01 INFO started\n2030-01-01 INFO stopped\n2030-01-01 ok\n", ""},
		{"a.nosuchthing", "nosuchthing", "text/plain", prose, ""},
		{"a.[", "", "", "", ""},
	} {
		got := ""
		if lexer := lexerOf(c.name, c.extension, c.mediaType, c.text); lexer != nil {
			got = lexer.Config().Name
		}
		if got != c.want {
			t.Errorf("%s (%q, %s): %q, want %q", c.name, c.extension, c.mediaType, got, c.want)
		}
	}
}

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
	own, err := os.ReadFile("view.go")
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
	h := newHighlighter()
	h.budget = 10 * time.Millisecond
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	if got := h.tokens(t.Context(), lexers.Get("go"), "package x"); len(got) != 1 || got[0].Value != "package x" {
		t.Errorf("%v", got)
	}
}

func TestViewKinds(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	at := site{Base: "https://paste.example", Now: sampleNow}
	big := strings.Repeat("x\n", linesMax+1)
	for _, c := range []struct {
		name            string
		page            pastePage
		kind            string
		numbered        bool
		colours, prompt bool
	}{
		{"text", samplePaste(at, "a.go", "text/plain", "package a\n"), "text", true, true, false},
		{"many lines", samplePaste(at, "a.go", "text/plain", big), "text", false, false, false},
		{"large", samplePaste(at, "a.go", "text/plain", "// "+strings.Repeat("x", highlightBytesMax)), "text", true, false, false},
		{"image", samplePaste(at, "a.png", "image/png", ""), "image", false, false, false},
		{"other", samplePaste(at, "a.bin", "application/octet-stream", ""), "none", false, false, false},
	} {
		v := p.viewOf(t.Context(), c.page)
		if v.Kind != c.kind || v.Numbered != c.numbered || strings.Contains(string(v.Code), "<span class=\"k") != c.colours {
			t.Errorf("%s: kind %s, numbered %v, %.60s", c.name, v.Kind, v.Numbered, v.Code)
		}
	}
	private := samplePaste(at, "a.png", "image/png", "")
	private.Private, private.QueryKey = true, "p69_a&b"
	if v := p.viewOf(t.Context(), private); v.Kind != "private" || v.Raw() != "/raw/abc12345.png?api_key=p69_a%26b" {
		t.Errorf("private: %s %s", v.Kind, v.Raw())
	}
	open := private
	open.Private = false
	if v := p.viewOf(t.Context(), open); v.Raw() != "/raw/abc12345.png" {
		t.Errorf("a public paste's link carries the key: %s", v.Raw())
	}
	cut := samplePaste(at, "a.md", "text/markdown", "# a")
	cut.Size, cut.Rendered = 99, true
	if v := p.viewOf(t.Context(), cut); v.Kind != "text" || !v.Truncated || v.Markdown {
		t.Errorf("cut Markdown: %+v", v)
	}
}

func TestCleanText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\r\nb\rc\n": "a\nb\nc\n", "": "", "a\xe2\x82": "a", "\xffa": "\uFFFDa", "a\x00b": "a\uFFFDb", "ü": "ü",
	} {
		if got := shownText([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Whatever is pasted, under whatever name, the page is sound and shows it.
func FuzzView(f *testing.F) {
	f.Add("a.go", "text/plain", "package a // <b>")
	f.Add("a.html", "text/html", evil)
	f.Add("a.php", "text/plain", "<?php echo '<script>'; ?>\n<script>x</script>")
	f.Add("a.md", "text/markdown", "```js\n</code></pre><script>\n```")
	f.Add(evil, evil, "\r\n\x00\xff\u2028")
	p := openPages(f)
	p.code.budget = 5 * time.Second
	f.Fuzz(func(t *testing.T, name, mediaType, text string) {
		page := samplePaste(site{Base: "https://paste.example", Now: sampleNow}, name, mediaType, text)
		page.Text = []byte(text)
		v := p.viewOf(t.Context(), page)
		nodes, err := html.Parse(strings.NewReader("<pre><code>" + string(v.Code) + "</code></pre>"))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults(nodes, "https://paste.example") {
			t.Error(fault)
		}
		var shown strings.Builder
		for _, n := range elements(nodes) {
			if n.Data != "html" && n.Data != "head" && n.Data != "body" && n.Data != "pre" && n.Data != "code" && n.Data != "span" && n.Data != "a" {
				t.Fatalf("<%s> in the code", n.Data)
			}
			if attr(n, "class") == "tx" {
				shown.WriteString(innerText(n))
			}
		}
		if want := shownText([]byte(text)); v.Numbered && shown.String() != want {
			t.Errorf("%q is shown as %q", want, shown.String())
		}
	})
}
