package paste69

import (
	"context"
	"fmt"
	"html/template"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/chroma/v2"
)

// Limits of the view. Beyond them content is shown plainer or not at all, never
// refused: the bytes are one link away.
const (
	textBytesMax      = 4 << 20 // shown in a page; the caller reads no more for it
	highlightBytesMax = 1 << 20 // highlighted
	markdownBytesMax  = 1 << 20 // rendered
	linesMax          = 50_000  // with line numbers and anchors
	tokensMax         = 500_000 // coloured; what comes after is plain
	highlightTime     = 1500 * time.Millisecond
)

// viewPage is what the template of a paste gets: the page, and what was made of
// its content.
type viewPage struct {
	pastePage
	Kind      string        // "text", "rendered", "image", "audio", "video", "private" (media of a private paste) or "none"
	Language  string        // that was highlighted; "" is plain text
	Code      template.HTML // the rows of a text
	Numbered  bool
	Lines     int64
	Prose     template.HTML // Markdown, sanitised
	Truncated bool          // Text is not the whole content
	Markdown  bool          // can be rendered: the tabs are shown
}

// Digits is how wide the numbers of the lines are.
func (v viewPage) Digits() int { return len(strconv.FormatInt(v.Lines, 10)) }

// viewOf decides how a paste is shown and does the work.
func (p *pages) viewOf(ctx context.Context, page pastePage) viewPage {
	v := viewPage{pastePage: page, Kind: kindOf(page)}
	if v.Kind != "text" {
		return v
	}
	text := shownText(page.Text)
	v.Truncated = int64(len(page.Text)) < page.Size
	v.Markdown = !v.Truncated && isMarkdown(page) && len(text) <= markdownBytesMax
	if v.Markdown && page.Rendered {
		if prose, rendered := p.prose.render(ctx, text); rendered {
			v.Kind, v.Prose = "rendered", prose
			return v
		}
	}
	v.Lines = int64(strings.Count(strings.TrimSuffix(text, "\n"), "\n")) + 1
	v.Numbered = v.Lines <= linesMax
	tokens := plainTokens(text)
	if v.Numbered && len(text) <= highlightBytesMax {
		if lexer := lexerOf(page.Filename, page.Extension, page.MediaType, text); lexer != nil {
			v.Language = lexer.Config().Name
			tokens = p.code.tokens(ctx, lexer, text)
		}
	}
	v.Code = rows(tokens, v.Numbered)
	return v
}

// kindOf tells how a paste is shown, by its stored type alone: the bytes are
// not looked at, and a browser that is given the type does not guess another.
func kindOf(page pastePage) string {
	kind, media := mediaKind(page.MediaType)
	switch {
	case page.Text != nil:
		return "text"
	case media && page.Private:
		return "private"
	case media:
		return kind
	}
	return "none"
}

// mediaKind is image, audio or video where a type is one that pages embed. Some
// of them are text, too, as SVG is.
func mediaKind(mediaType string) (kind string, media bool) {
	kind, _, _ = strings.Cut(mediaType, "/")
	return kind, slices.Contains([]string{"image", "audio", "video"}, kind)
}

func isMarkdown(page pastePage) bool {
	return page.MediaType == "text/markdown" || page.Extension == "md" || page.Extension == "markdown"
}

// shownText makes lines end in \n, as browsers and lexers have them, and drops
// what a cut in the middle of a character left.
func shownText(raw []byte) string {
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	if cut := len(raw); cut > 0 && !utf8.Valid(raw) {
		text = strings.TrimSuffix(text, "\uFFFD")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

// suffix is the extension as URLs have it: ".txt", or nothing.
func (page pastePage) suffix() string {
	if page.Extension == "" {
		return ""
	}
	return "." + page.Extension
}

func (page pastePage) route(word string) string {
	return word + page.ID + page.suffix()
}

// own adds the key that the page was asked for with, where links need one.
func (page pastePage) own(route string, query url.Values) string {
	if page.Private && page.QueryKey != "" {
		query.Set("api_key", page.QueryKey)
	}
	if len(query) == 0 {
		return page.Path(route)
	}
	return page.Path(route) + "?" + query.Encode()
}

// Raw, Download, Source and Rendering are the links of the page.
func (page pastePage) Raw() string      { return page.own(page.route("/raw/"), url.Values{}) }
func (page pastePage) Download() string { return page.own(page.route("/download/"), url.Values{}) }
func (page pastePage) Source() string   { return page.own(page.route("/"), url.Values{}) }
func (page pastePage) Rendering() string {
	return page.own(page.route("/"), url.Values{"view": {"rendered"}})
}

// Link is the URL to hand out.
func (page pastePage) Link() string { return page.URL(page.route("/")) }

// Delete is the path of the confirm page.
func (page pastePage) Delete() string { return "/delete/" + page.ID + "/" + page.DeleteKey }

// highlighter bounds what lexers and Markdown cost: how many are at work, and for
// how long. Content that is made to be slow takes half of the processors at most.
type highlighter struct {
	slots  chan struct{}
	budget time.Duration
}

func newHighlighter() *highlighter {
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	return &highlighter{slots: make(chan struct{}, slots), budget: highlightTime}
}

// within does work that is bound by ctx when there is a slot for it, and leaves
// it when none comes free in time.
func (h *highlighter) within(ctx context.Context, work func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, h.budget)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
		work(ctx)
	case <-ctx.Done():
	}
}

// tokens splits text by a lexer, when there is time.
func (h *highlighter) tokens(ctx context.Context, lexer chroma.Lexer, text string) []chroma.Token {
	tokens := plainTokens(text)
	h.within(ctx, func(ctx context.Context) { tokens = lex(ctx, lexer, text, tokensMax) })
	return tokens
}

func plainTokens(text string) []chroma.Token {
	return []chroma.Token{{Type: chroma.Text, Value: text}}
}

// lex splits text by a lexer. The values joined are the text, always: what is
// left when time or tokens run out comes as one plain token. Lexers are data of
// many hands: one that panics, or makes other text of the text, counts as none.
func lex(ctx context.Context, lexer chroma.Lexer, text string, most int) (tokens []chroma.Token) {
	defer func() {
		if recover() != nil {
			tokens = plainTokens(text)
		}
	}()
	next, err := lexer.Tokenise(&chroma.TokeniseOptions{State: "root"}, text)
	if err != nil {
		return plainTokens(text)
	}
	begin, at := 0, 0 // of the last token, and behind it
	for token := next(); token != chroma.EOF && at < len(text) && len(tokens) < most && ctx.Err() == nil; token = next() {
		value := token.Value[:min(len(token.Value), len(text)-at)] // a lexer may add a line end
		if !strings.HasPrefix(text[at:], value) {
			return plainTokens(text)
		}
		if n := len(tokens); n == 0 || tokens[n-1].Type != token.Type {
			begin = at
			tokens = append(tokens, chroma.Token{Type: token.Type})
		}
		at += len(value)
		tokens[len(tokens)-1].Value = text[begin:at]
	}
	if at < len(text) {
		tokens = append(tokens, chroma.Token{Type: chroma.Text, Value: text[at:]})
	}
	return tokens
}

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
