package highlight

import (
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/go-enry/go-enry/v2"
)

// languageHeadBytes of a text tell its language.
const languageHeadBytes = 16 << 10

// guessed are the languages that are told by content alone, without a word from
// name or type: those that people paste. Among all languages there are, a
// classifier finds a strange one for any text.
var guessed = []string{
	"C", "C++", "C#", "CSS", "Diff", "Dockerfile", "Go", "HTML", "INI", "Java", "JavaScript", "JSON", "Kotlin",
	"Lua", "Makefile", "PHP", "Perl", "Python", "Ruby", "Rust", "SQL", "Shell", "Swift", "TOML", "TypeScript", "YAML",
}

// tells are forms that one language has and hardly any other, the first that
// fits wins. They are surer than the classifier, above all on few lines.
var tells = []struct {
	form     *regexp.Regexp
	language string
}{
	{regexp.MustCompile(`^<\?php`), "PHP"},
	{regexp.MustCompile(`(?i)^<!doctype html|^<html`), "HTML"},
	{regexp.MustCompile(`(?m)^diff --git |^--- .*\n\+\+\+ .*\n@@ `), "Diff"},
	{regexp.MustCompile(`(?m)^package \w+$`), "Go"},
	{regexp.MustCompile(`(?m)^package [\w.]+;$`), "Java"},
	{regexp.MustCompile(`(?m)^#include [<"]`), "C++"},
	{regexp.MustCompile(`(?m)^(?:pub )?fn \w+.*[{>]|^use \w+::`), "Rust"},
	{regexp.MustCompile(`(?m)^(?:async )?def \w+\(.*\).*:$|^from [\w.]+ import `), "Python"},
	{regexp.MustCompile(`(?m)^(?:export |import .* from ['"])|^(?:const|let) \w+ = |=> \{$`), "JavaScript"},
	{regexp.MustCompile(`(?i)^\s*(?:select\s[^;]*\sfrom|create table|insert into|update \w+ set)\s`), "SQL"},
	{regexp.MustCompile(`^\s*[\[{]\s*(?:"(?:[^"\\]|\\.)*"\s*:|\{\s*")`), "JSON"},
}

// Hint is what is known of a text beside its bytes, all of it optional.
type Hint struct {
	Language  string // decides alone: one without a lexer is plain text
	Filename  string
	Extension string // without its dot
	MediaType string
}

// lexerOf chooses the lexer of a text: by its language, else by name and
// extension, else by type, else by content. Nil: plain text.
func lexerOf(hint Hint, text string) chroma.Lexer {
	if hint.Language != "" {
		return known([]string{hint.Language})
	}
	head := []byte(text[:min(len(text), languageHeadBytes)])
	for _, find := range []func() chroma.Lexer{
		func() chroma.Lexer { return known(enry.GetLanguagesByFilename(hint.Filename, nil, nil)) },
		func() chroma.Lexer { return byExtension(hint.Extension, head) },
		func() chroma.Lexer { return byType(hint.MediaType) },
		func() chroma.Lexer { return byContent(head) },
	} {
		if lexer := find(); lexer != nil {
			return lexer
		}
	}
	return nil
}

// known is the lexer of the first language that has one.
func known(languages []string) chroma.Lexer {
	for _, language := range languages {
		if lexer := lexers.Get(language); lexer != nil && lexer != lexers.Fallback && lexer.Config().Name != "plaintext" {
			return lexer
		}
	}
	return nil
}

// byExtension asks the content where several languages share an extension. The
// extensions of plain text say nothing: what was pasted without a name has one.
func byExtension(extension string, head []byte) chroma.Lexer {
	if slices.Contains([]string{"", "txt", "text", "log"}, extension) {
		return nil
	}
	name := "x." + extension
	candidates := enry.GetLanguagesByExtension(name, nil, nil)
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(language string) bool { return known([]string{language}) == nil })
	if len(candidates) > 1 {
		if told := enry.GetLanguagesByContent(name, head, candidates); len(told) > 0 {
			candidates = told
		}
	}
	if len(candidates) > 1 {
		candidates = classify(name, head, candidates)
	}
	if len(candidates) > 0 {
		return known(candidates)
	}
	lexer := lexers.Match(name)
	if lexer == nil || lexer.Config().Name == "plaintext" {
		return nil
	}
	return lexer
}

func byType(mediaType string) chroma.Lexer {
	if mediaType == "" || mediaType == "text/plain" || mediaType == "application/octet-stream" {
		return nil
	}
	return lexers.MatchMimeType(mediaType)
}

// byContent believes what a text says of itself, and guesses only at what looks
// like code: prose in colours is worse than code without.
func byContent(head []byte) chroma.Lexer {
	for _, strategy := range []enry.Strategy{enry.GetLanguagesByShebang, enry.GetLanguagesByModeline, enry.GetLanguagesByXML} {
		if lexer := known(strategy("", head, nil)); lexer != nil {
			return lexer
		}
	}
	for _, tell := range tells {
		if tell.form.Match(head) {
			return known([]string{tell.language})
		}
	}
	if !looksLikeCode(string(head)) {
		return nil
	}
	return known(classify("", head, guessed)[:1])
}

// looksLikeCode: at least three lines, a third of them of the form of code.
func looksLikeCode(text string) bool {
	lines, code := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		lines++
		if strings.ContainsAny(line[len(line)-1:], "{};)(") || strings.HasPrefix(line, "#include") ||
			strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "def ") || strings.HasPrefix(line, "return ") ||
			strings.HasPrefix(line, "//") || strings.Contains(line, " = ") || strings.Contains(line, " := ") {
			code++
		}
	}
	return lines >= 3 && code*3 >= lines
}
