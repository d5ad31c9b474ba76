// Package highlight shows text in pages: rows of HTML with line numbers, in the
// colours of its language, at a bounded cost. It holds no style sheet: rows and
// tokens carry class names, those of chroma for tokens.
package highlight

import (
	"context"
	"html/template"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"
)

// Limits of a listing. Beyond them text is shown plainer, never refused.
const (
	BytesMax  = 1 << 20 // of a text in colours
	LinesMax  = 50_000  // with line numbers and anchors
	TimeMax   = 1500 * time.Millisecond
	tokensMax = 500_000 // coloured; what comes after is plain
)

// Highlighter bounds what lexers and Markdown cost: how many are at work, and for
// how long. Content that is made to be slow takes half of the processors at most.
type Highlighter struct {
	slots  chan struct{}
	budget time.Duration
}

// New returns a Highlighter that works on one text for a budget of time.
func New(budget time.Duration) *Highlighter {
	trimTables()
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	return &Highlighter{slots: make(chan struct{}, slots), budget: budget}
}

// Within does work that is bound by ctx when there is a slot for it, and leaves
// it when none comes free in time.
func (h *Highlighter) Within(ctx context.Context, work func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, h.budget)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
		work(ctx)
	case <-ctx.Done():
	}
}

// Listing is a text as it stands in a page.
type Listing struct {
	Code     template.HTML // its lines
	Language string        // that was highlighted; "" is plain text
	Lines    int64
	Numbered bool // each line is a row with its number
}

// Digits is how wide the numbers of the lines are.
func (l Listing) Digits() int { return len(strconv.FormatInt(l.Lines, 10)) }

// List makes a listing of a text, in the colours of the language that hint and
// text tell. The text is one that Text returned.
func (h *Highlighter) List(ctx context.Context, text string, hint Hint) Listing {
	l := Listing{Lines: int64(strings.Count(strings.TrimSuffix(text, "\n"), "\n")) + 1}
	l.Numbered = l.Lines <= LinesMax
	tokens := plainTokens(text)
	if l.Numbered && len(text) <= BytesMax {
		if lexer := lexerOf(hint, text); lexer != nil {
			l.Language = lexer.Config().Name
			tokens = h.tokens(ctx, lexer, text)
		}
	}
	l.Code = rows(tokens, l.Numbered)
	return l
}

// Block is the code of a block inside another document, without numbers, of
// which most tokens are coloured; the caller stands in Within. It tells how many
// were: none when there is no lexer for the language.
func Block(ctx context.Context, language, code string, most int) (block template.HTML, coloured int) {
	tokens := plainTokens(code)
	if lexer := lexers.Get(language); language != "" && lexer != nil && most > 0 {
		tokens = lex(ctx, lexer, code, most)
		coloured = len(tokens)
	}
	return rows(tokens, false), coloured
}

// Text is bytes as a page shows them: lines end in \n, as browsers and lexers
// have them, and what a cut in the middle of a character left is dropped.
func Text(raw []byte) string {
	text := strings.ToValidUTF8(string(raw), "\uFFFD")
	if cut := len(raw); cut > 0 && !utf8.Valid(raw) {
		text = strings.TrimSuffix(text, "\uFFFD")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.ReplaceAll(text, "\x00", "\uFFFD")
}

// tokens splits text by a lexer, when there is time.
func (h *Highlighter) tokens(ctx context.Context, lexer chroma.Lexer, text string) []chroma.Token {
	tokens := plainTokens(text)
	h.Within(ctx, func(ctx context.Context) { tokens = lex(ctx, lexer, text, tokensMax) })
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
