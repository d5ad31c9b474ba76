package pastewizard

import (
	"strings"
	"testing"

	"github.com/alecthomas/chroma/v2/lexers"
)

func TestGuessLanguage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ title, content, want string }{
		{"", "<?php\necho 1;", "php"},
		{"", "#!/usr/bin/env python3\n", "python"},
		{"", "package main\n\nfunc main() {\n}\n", "go"},
		{"", `{"a": 1}`, "json"},
		{"", "console.log(\"Hello from API\");", plainText},
		{"", "Dear Jane,\n\nthank you.\n", plainText},
		{"", "", plainText},
		{"README.md", "# T", "md"},
		{"main.rs", "fn main() {\n    let mut x = 1;\n}\n", "rust"},
		{"Makefile", "x", "make"},
		{"notes.txt", "<?php", "php"},
		{"my main.go", "x", plainText},
		{"path/main.go", "x", plainText},
		{"", strings.Repeat("x", 1<<20), plainText},
		{"", "\x00\x01", plainText},
	} {
		if got := guessLanguage(tt.title, []byte(tt.content)); got != tt.want {
			t.Errorf("%q, %.30q is %s, want %s", tt.title, tt.content, got, tt.want)
		}
	}
}

// Whatever language is guessed, its name can be stored, and sent again.
func TestGuessedNamesAreLanguages(t *testing.T) {
	t.Parallel()
	for _, lexer := range lexers.GlobalLexerRegistry.Lexers {
		for _, pattern := range lexer.Config().Filenames {
			title := strings.ReplaceAll(pattern, "*", "x")
			if got := guessLanguage(title, []byte("x")); !isLanguage(got) {
				t.Errorf("%s is %q", title, got)
			}
		}
	}
	for s, want := range map[string]bool{"": false, "c++": true, "a b": false, "é": false, "A-1_#.": true, strings.Repeat("a", 33): false} {
		if isLanguage(s) != want {
			t.Errorf("%q is a language: %t", s, !want)
		}
	}
}
