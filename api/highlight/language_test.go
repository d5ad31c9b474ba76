package highlight

import "testing"

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
		if lexer := lexerOf(Hint{Filename: c.name, Extension: c.extension, MediaType: c.mediaType}, c.text); lexer != nil {
			got = lexer.Config().Name
		}
		if got != c.want {
			t.Errorf("%s (%q, %s): %q, want %q", c.name, c.extension, c.mediaType, got, c.want)
		}
	}
}

// A language that is named decides, whatever the text looks like.
func TestNamedLanguage(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"php": "PHP", "C++": "C++", "javascript": "JavaScript", "plaintext": "", "no-such": ""} {
		got := ""
		if lexer := lexerOf(Hint{Language: name, Filename: "a.go"}, "package main\n"); lexer != nil {
			got = lexer.Config().Name
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
