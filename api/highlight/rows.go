package highlight

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/alecthomas/chroma/v2"
)

// uncoloured are the token types that look like the text around them. An error
// is one: that a lexer does not understand a text is no fault of the text.
var uncoloured = []chroma.TokenType{chroma.Text, chroma.TextWhitespace, chroma.Name, chroma.Other, chroma.Error, chroma.None}

// classOf is the short class name of a token type, that of its family when it
// has none; "" for what is not coloured.
func classOf(t chroma.TokenType) string {
	if slices.Contains(uncoloured, t) {
		return ""
	}
	for _, kind := range []chroma.TokenType{t, t.SubCategory(), t.Category()} {
		if class := chroma.StandardTypes[kind]; class != "" {
			return class
		}
	}
	return ""
}

// rows renders tokens as lines. A numbered line is a row with the id L<n>, its
// number as a link to itself, and its text; the text keeps its line end, so
// that what is selected is what was pasted.
func rows(tokens []chroma.Token, numbered bool) template.HTML {
	var b strings.Builder
	line := 0
	open := func() {
		line++
		if numbered {
			fmt.Fprintf(&b, `<span class="row" id="L%d"><a class="lno" href="#L%d">%d</a><span class="tx">`, line, line, line)
		}
	}
	shut := func() {
		if numbered {
			b.WriteString("</span></span>")
		}
	}
	open()
	pending := false // a line end was written and no line begun: none follows the last one
	for _, token := range tokens {
		class := classOf(token.Type)
		for part := range strings.SplitAfterSeq(token.Value, "\n") {
			if part == "" {
				continue
			}
			if pending {
				shut()
				open()
			}
			writeToken(&b, class, part)
			pending = strings.HasSuffix(part, "\n")
		}
	}
	shut()
	return template.HTML(b.String()) //nolint:gosec // every token went through writeToken, which escapes
}

func writeToken(b *strings.Builder, class, text string) {
	if class == "" || strings.TrimSpace(text) == "" {
		template.HTMLEscape(writer{b}, []byte(text))
		return
	}
	b.WriteString(`<span class="` + class + `">`)
	template.HTMLEscape(writer{b}, []byte(text))
	b.WriteString("</span>")
}

// writer is a strings.Builder as an io.Writer by value.
type writer struct{ b *strings.Builder }

func (w writer) Write(p []byte) (int, error) { return w.b.Write(p) }
