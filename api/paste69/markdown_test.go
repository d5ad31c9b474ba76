package paste69

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"ringbin/api/highlight"
	"ringbin/testcluster/browser"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for in, want := range map[string]string{
		"# A b & c":                         `<h1 id="md-a-b--c">A b &amp; c</h1>`,
		"# a\n# a":                          "<h1 id=\"md-a\">a</h1>\n<h1 id=\"md-a-1\">a</h1>",
		"# !":                               `<h1 id="md-heading">!</h1>`,
		"[x](#A-B)":                         `<p><a href="#md-a-b" rel="nofollow noreferrer">x</a></p>`,
		"[x](https://e.x/a)":                `<p><a href="https://e.x/a" rel="nofollow noreferrer noopener" target="_blank">x</a></p>`,
		"[x](javascript:alert)":             `<p>x</p>`,
		"[x](data:text/html,a)":             `<p>x</p>`,
		"![a](https://e.x/a.png)":           `<p><a href="https://e.x/a.png" rel="nofollow noreferrer noopener" target="_blank">Image: a</a></p>`,
		"[![a](b)](https://e.x/)":           `<p><a href="https://e.x/" rel="nofollow noreferrer noopener" target="_blank">a</a></p>`,
		"<img src=https://e.x/a onerror=b>": ``,
		"<b onclick=a style=b class=top id=main>x</b>":            `<p><b>x</b></p>`,
		"<span class=card>x</span>":                               `<p><span>x</span></p>`,
		"<form action=/p><input name=a><button>x</button></form>": `x`,
		"<input type=checkbox checked autofocus>":                 `<input type="checkbox" checked="">`,
		"<script>x</script><style>y</style>":                      ``,
		"```go\nfunc\n```":                                        "<pre class=\"code\"><code><span class=\"kd\">func</span>\n</code></pre>",
		"```nosuch\n<b>\n```":                                     "<pre class=\"code\"><code>&lt;b&gt;\n</code></pre>",
		"    <b>":                                                 "<pre class=\"code\"><code>&lt;b&gt;\n</code></pre>",
		"|a|b|\n|:-|-:|\n|1|2|": "<table>\n<thead>\n<tr>\n<th align=\"left\">a</th>\n<th align=\"right\">b</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n" +
			"<td align=\"left\">1</td>\n<td align=\"right\">2</td>\n</tr>\n</tbody>\n</table>",
		"~~a~~ <kbd>b</kbd>": `<p><del>a</del> <kbd>b</kbd></p>`,
	} {
		got, rendered := p.prose.render(t.Context(), in)
		if strings.TrimSpace(string(got)) != want || !rendered {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

// Documents that are made to be slow are not rendered, or soon: these ones take
// minutes, or gigabytes, without the bounds.
func TestMarkdownCost(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	n := markdownBytesMax
	ticks := strings.Builder{}
	for i := 1; ticks.Len() < n; i++ {
		ticks.WriteString(strings.Repeat("`", i) + " ")
	}
	for name, text := range map[string]string{
		"emphasis":   strings.Repeat("**a ", n/4),
		"mixed":      strings.Repeat("_a*", n/3),
		"brackets":   strings.Repeat("[", n),
		"links":      strings.Repeat("[a](b", n/5),
		"titles":     strings.Repeat(`[a]("`, n/5),
		"images":     strings.Repeat("![[", n/3),
		"backticks":  ticks.String(),
		"quotes":     strings.Repeat(">", n),
		"lists":      strings.Repeat("- ", n/2),
		"wide table": strings.Repeat("|a", n/8) + "\n" + strings.Repeat("|-", n/8) + "\n" + strings.Repeat("|\n", n/4),
		"references": strings.Repeat("[a]: b\n", n/7),
	} {
		begun := time.Now()
		if _, rendered := p.prose.render(t.Context(), text); rendered {
			t.Errorf("%s is rendered", name)
		}
		if took := time.Since(begun); took > 20*time.Second { // far above what it takes, far below what it would
			t.Errorf("%s took %v", name, took)
		}
	}
	page := samplePaste(site{Base: "https://paste.example"}, "a.md", "text/markdown", strings.Repeat("**a ", 5000))
	page.Rendered = true
	if v := p.viewOf(t.Context(), page); v.Kind != "text" || v.Code == "" {
		t.Errorf("what is not rendered is not shown as source: %s", v.Kind)
	}
}

// Documents that people write are within the bounds.
func TestMarkdownOfPeople(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	for name, text := range map[string]string{
		"table": "|a|b|c|d|\n|-|-|-|-|\n" + strings.Repeat("| [`x`](https://e.x/) | **y** | z | ~~w~~ |\n", 1000),
		"code":  "```json\n" + strings.Repeat("{\"a\": [1, 2], \"b\": \"c\"},\n", 2000) + "```\n",
		"prose": strings.Repeat("Some *words* with `code`, a [link](https://e.x/) and more words to fill it.\n\n", 2000),
		"list":  strings.Repeat("- an item, with a [link](https://e.x/)\n  - another\n    - and one more\n", 1000),
	} {
		if _, rendered := p.prose.render(t.Context(), text); !rendered {
			t.Errorf("%s is not rendered", name)
		}
	}
}

// No document gets past the sanitiser.
func FuzzMarkdown(f *testing.F) {
	for _, seed := range []string{
		evil, "[a](javascript:x)", "<a href=' javascript:x'>", "![a](x\" onerror=\"y)", "```\"><script>\nx\n```", "<!--><script>x</script>-->",
		"<svg><script>x</script></svg>", "<math><mtext><table><mglyph><style><img src=x onerror=y>", "<a href=\"&#106;avascript:x\">a</a>",
		"<noscript><p title=\"</noscript><img src=x onerror=y>\">", "# <b id=main>", "<h1 id=md-a>x</h1>\n# a", "<pre class=code><code></pre>", "[a]: <javascript:x>\n[a]", "[a](javascript)",
	} {
		f.Add(seed)
	}
	p := openPages(f)
	allowed := map[string]bool{"html": true, "head": true, "body": true, "article": true}
	for name := range strings.FieldsSeq(`h1 h2 h3 h4 h5 h6 p br hr blockquote pre code em strong b i u s del ins sub sup kbd samp var mark small abbr
		q cite ul ol li dl dt dd details summary div span table thead tbody tfoot tr th td caption a input colgroup`) {
		allowed[name] = true
	}
	f.Fuzz(func(t *testing.T, source string) {
		prose, _ := p.prose.render(t.Context(), highlight.Text([]byte(source)))
		document, err := html.Parse(strings.NewReader("<article>" + string(prose) + "</article>"))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range browser.Faults(document, "https://paste.example") {
			if !strings.Contains(fault, "is there twice") { // a document may repeat its own ids
				t.Error(fault)
			}
		}
		for _, n := range browser.Elements(document) {
			if !allowed[n.Data] {
				t.Errorf("<%s>", n.Data)
			}
			if id := browser.Attr(n, "id"); id != "" && !strings.HasPrefix(id, headingPrefix) {
				t.Errorf("id %q", id)
			}
			if n.Data == "a" && !strings.Contains(browser.Attr(n, "rel"), "nofollow") {
				t.Errorf("a link without nofollow: %v", n.Attr)
			}
		}
	})
}
