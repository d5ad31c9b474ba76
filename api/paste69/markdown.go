package paste69

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/alecthomas/chroma/v2"
	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/renderer/html"
	mdtext "github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"ringbin/api/highlight"
)

// headingPrefix is in front of the ids of a document's headings, so that they
// are never ids of the page around it.
const headingPrefix = "md-"

// What one document may cost. The parser can't be stopped, and it takes more than
// linear time over the marks of one paragraph, goes down one call for each level
// of nesting, and fills every row of a table up to the width of its head: a few
// kilobytes can keep it busy for minutes. Documents that people write are far
// below; what is above is shown as source.
const (
	nestingMax    = 64     // blocks that one line opens
	marksMax      = 4_096  // in one paragraph
	cellsMax      = 30_000 // of all tables
	referencesMax = 2_000  // link targets by name
	colouredMax   = 20_000 // tokens of all code; code beyond is plain
)

// markdown renders Markdown as GitHub does. Everything the renderer made goes
// through the sanitiser, which alone decides what reaches a page: documents may
// hold HTML of their own.
type markdown struct {
	code   *highlight.Highlighter
	policy *bluemonday.Policy
}

func newMarkdown(code *highlight.Highlighter) *markdown {
	return &markdown{code: code, policy: prosePolicy()}
}

// prosePolicy allows what prose is made of. No images: they would tell their
// host who reads; no style, no forms, no ids but those of headings.
func prosePolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "em", "strong",
		"b", "i", "u", "s", "del", "ins", "sub", "sup", "kbd", "samp", "var", "mark", "small", "abbr", "q", "cite",
		"ul", "ol", "li", "dl", "dt", "dd", "details", "summary", "div", "span",
		"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption")
	p.AllowAttrs("start").Matching(bluemonday.Integer).OnElements("ol")
	p.AllowAttrs("align").Matching(regexp.MustCompile(`^(left|center|right)$`)).OnElements("p", "div", "h1", "h2", "h3", "th", "td")
	p.AllowAttrs("id").Matching(regexp.MustCompile(`^`+headingPrefix+`[\pL\pN_-]{1,100}$`)).OnElements("h1", "h2", "h3", "h4", "h5", "h6")
	p.AllowAttrs("class").Matching(tokenClasses()).OnElements("span")
	p.AllowAttrs("class").Matching(regexp.MustCompile(`^code$`)).OnElements("pre")
	p.AllowAttrs("type").Matching(regexp.MustCompile(`^checkbox$`)).OnElements("input") // task lists
	p.AllowAttrs("checked", "disabled").Matching(regexp.MustCompile(`^$`)).OnElements("input")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.RequireParseableURLs(true)
	p.AllowRelativeURLs(true)
	p.RequireNoFollowOnLinks(true)
	p.RequireNoReferrerOnLinks(true)
	p.AddTargetBlankToFullyQualifiedLinks(true) // which adds noopener
	return p
}

// tokenClasses matches the classes that colour code, so that a document can't
// take those that lay out the page.
func tokenClasses() *regexp.Regexp {
	var classes []string
	for _, class := range chroma.StandardTypes {
		if class != "" {
			classes = append(classes, regexp.QuoteMeta(class))
		}
	}
	slices.Sort(classes)
	return regexp.MustCompile(`^(?:` + strings.Join(classes, "|") + `)$`)
}

// render returns the document as HTML that is safe to stand in a page; false
// when there is no time for it now, or it costs too much.
func (m *markdown) render(ctx context.Context, source string) (prose template.HTML, rendered bool) {
	m.code.Within(ctx, func(ctx context.Context) {
		if !affordable(source) {
			return
		}
		var dirty bytes.Buffer
		err := converter(ctx).Convert([]byte(source), &dirty, parser.WithContext(parser.NewContext(parser.WithIDs(headings{}))))
		if err == nil {
			prose = template.HTML(m.policy.SanitizeReader(&dirty).String()) //nolint:gosec // the sanitiser's output
			rendered = true
		}
	})
	return prose, rendered
}

// affordable tells whether a document is within the bounds of its cost.
func affordable(source string) bool {
	return strings.Count(source, "]:") <= referencesMax && nesting(source) <= nestingMax &&
		cells(source) <= cellsMax && marks([]byte(source)) <= marksMax
}

// marker is what opens a quote or a list item at the begin of a line.
var marker = regexp.MustCompile(`^[ \t]*(?:>|(?:[-+*]|[0-9]{1,9}[.)])(?:[ \t]|$))`)

// nesting is how many blocks the worst line opens. Deeper nesting by indentation
// costs its square in bytes and bounds itself.
func nesting(source string) int {
	deepest := 0
	for line := range strings.Lines(source) {
		depth := 0
		for at := marker.FindStringIndex(line); at != nil && depth <= nestingMax; at = marker.FindStringIndex(line) {
			line = line[at[1]:]
			depth++
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

// cells bounds the cells of all tables from above: a table has no empty line,
// and no more columns than its widest line has bars.
func cells(source string) int {
	all, lines, bars := 0, 0, 0
	for line := range strings.Lines(source) {
		if strings.TrimSpace(line) == "" {
			lines, bars = 0, 0
			continue
		}
		all -= lines * bars
		lines++
		bars = max(bars, strings.Count(line, "|"))
		all += lines * bars
	}
	return all
}

// marks is how many marks of inline Markdown the worst paragraph has. Blocks
// alone are parsed to find out: that takes linear time.
func marks(source []byte) int {
	blockParser := parser.NewParser(parser.WithBlockParsers(parser.DefaultBlockParsers()...), parser.WithParagraphTransformers(
		util.Prioritized(parser.LinkReferenceParagraphTransformer, 100),
		util.Prioritized(extension.NewTableParagraphTransformer(), 200)))
	most := 0
	_ = ast.Walk(blockParser.Parse(mdtext.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering || n.Type() == ast.TypeInline || n.IsRaw() {
			return ast.WalkContinue, nil
		}
		count := 0
		for _, segment := range n.Lines().Sliced(0, n.Lines().Len()) {
			for _, c := range segment.Value(source) {
				if strings.IndexByte("*_~[]()<>!\"'`&\\:@", c) >= 0 {
					count++
				}
			}
		}
		most = max(most, count)
		return ast.WalkContinue, nil
	})
	return most
}

func converter(ctx context.Context) goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.Linkify, extension.Strikethrough, extension.TaskList,
			extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
		goldmark.WithParserOptions(parser.WithAutoHeadingID(),
			parser.WithASTTransformers(util.Prioritized(fragments{}, 100))),
		goldmark.WithRendererOptions(html.WithUnsafe(), // the sanitiser comes after
			renderer.WithNodeRenderers(util.Prioritized(&blocks{ctx, colouredMax}, 100))),
	)
}

// headings gives the headings of one document their ids.
type headings map[string]int

// Generate makes an id of a heading's text.
func (h headings) Generate(value []byte, _ ast.NodeKind) []byte {
	slug := slugOf(string(value))
	h[slug]++
	if n := h[slug]; n > 1 {
		slug += "-" + strconv.Itoa(n-1)
	}
	return []byte(headingPrefix + slug)
}

// Put is for ids that a document sets itself, which it can't here.
func (h headings) Put([]byte) {}

// slugOf makes words into an id as GitHub does: lower case, hyphens for spaces.
func slugOf(words string) string {
	slug := strings.Map(func(c rune) rune {
		switch {
		case c == ' ', c == '-':
			return '-'
		case c == '_', unicode.IsLetter(c), unicode.IsNumber(c):
			return unicode.ToLower(c)
		}
		return -1
	}, strings.TrimSpace(words))
	if runes := []rune(slug); len(runes) > 80 {
		slug = string(runes[:80])
	}
	if slug == "" {
		return "heading"
	}
	return slug
}

// fragments turns links to headings to the ids that these have here.
type fragments struct{}

// Transform walks the document once.
func (fragments) Transform(document *ast.Document, _ mdtext.Reader, _ parser.Context) {
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the walker returns no error
		link, isLink := n.(*ast.Link)
		if fragment, found := bytes.CutPrefix(destination(link, isLink), []byte("#")); found && entering {
			link.Destination = []byte("#" + headingPrefix + strings.ToLower(string(fragment)))
		}
		return ast.WalkContinue, nil
	})
}

func destination(link *ast.Link, isLink bool) []byte {
	if !isLink {
		return nil
	}
	return link.Destination
}

// blocks renders code with its colours, and images as links to them.
type blocks struct {
	ctx  context.Context //nolint:containedctx // lives for one document
	left int             // tokens that may still be coloured
}

// RegisterFuncs takes over the nodes.
func (b *blocks) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindFencedCodeBlock, b.fenced)
	r.Register(ast.KindCodeBlock, b.fenced)
	r.Register(ast.KindImage, b.image)
}

func (b *blocks) fenced(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	code := string(n.Lines().Value(source))
	language := ""
	if block, isFenced := n.(*ast.FencedCodeBlock); isFenced {
		language = string(block.Language(source))
	}
	block, coloured := highlight.Block(b.ctx, language, code, b.left)
	b.left -= coloured
	_, err := fmt.Fprintf(w, `<pre class="code"><code>%s</code></pre>`, block)
	return ast.WalkContinue, err
}

func (b *blocks) image(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	image, isImage := n.(*ast.Image)
	for above := n.Parent(); above != nil; above = above.Parent() {
		if above.Kind() == ast.KindLink {
			return ast.WalkContinue, nil // a link in a link is none: the words alone
		}
	}
	var err error
	switch {
	case isImage && entering:
		_, err = fmt.Fprintf(w, `<a href="%s">Image: `, util.EscapeHTML(util.URLEscape(image.Destination, true)))
	case isImage:
		_, err = w.WriteString("</a>")
	}
	return ast.WalkContinue, err
}
