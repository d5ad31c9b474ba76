package pastewizard

import (
	"path"
	"strings"

	"ringbin/api/highlight"
)

// plainText is the language of what is in none.
const plainText = "plaintext"

// languageMax is the longest name of a language.
const languageMax = 32

// isLanguage is whether a text can name a language. Which ones there are is not
// asked: a name is kept as it was sent.
func isLanguage(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("+#._-", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= languageMax
}

// guessLanguage finds the language of content. A title without blanks may be
// the name of a file.
func guessLanguage(title string, content []byte) string {
	var hint highlight.Hint
	if !strings.ContainsAny(title, " \t\r\n/") {
		hint.Filename, hint.Extension = title, strings.ToLower(strings.TrimPrefix(path.Ext(title), "."))
	}
	if name := strings.ToLower(highlight.Guess(hint, content)); isLanguage(name) {
		return name
	}
	return plainText
}
