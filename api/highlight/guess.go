package highlight

// Guess tells the language of a text by what is known of it and by its first
// bytes: the name by which a Hint may name it again. "" is plain text.
func Guess(hint Hint, text []byte) string {
	lexer := lexerOf(hint, string(text[:min(len(text), languageHeadBytes)]))
	if lexer == nil {
		return ""
	}
	if aliases := lexer.Config().Aliases; len(aliases) > 0 {
		return aliases[0]
	}
	return lexer.Config().Name
}
