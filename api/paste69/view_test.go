package paste69

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"ringbin/api/highlight"
	"ringbin/testcluster/browser"
)

func TestViewKinds(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	at := site{Base: "https://paste.example", Now: sampleNow}
	big := strings.Repeat("x\n", highlight.LinesMax+1)
	for _, c := range []struct {
		name            string
		page            pastePage
		kind            string
		numbered        bool
		colours, prompt bool
	}{
		{"text", samplePaste(at, "a.go", "text/plain", "package a\n"), "text", true, true, false},
		{"many lines", samplePaste(at, "a.go", "text/plain", big), "text", false, false, false},
		{"large", samplePaste(at, "a.go", "text/plain", "// "+strings.Repeat("x", highlight.BytesMax)), "text", true, false, false},
		{"image", samplePaste(at, "a.png", "image/png", ""), "image", false, false, false},
		{"other", samplePaste(at, "a.bin", "application/octet-stream", ""), "none", false, false, false},
	} {
		v := p.viewOf(t.Context(), c.page)
		if v.Kind != c.kind || v.Numbered != c.numbered || strings.Contains(string(v.Code), "<span class=\"k") != c.colours {
			t.Errorf("%s: kind %s, numbered %v, %.60s", c.name, v.Kind, v.Numbered, v.Code)
		}
	}
	private := samplePaste(at, "a.png", "image/png", "")
	private.Private, private.QueryKey = true, "p69_a&b"
	if v := p.viewOf(t.Context(), private); v.Kind != "private" || v.Raw() != "/raw/abc12345.png?api_key=p69_a%26b" {
		t.Errorf("private: %s %s", v.Kind, v.Raw())
	}
	open := private
	open.Private = false
	if v := p.viewOf(t.Context(), open); v.Raw() != "/raw/abc12345.png" {
		t.Errorf("a public paste's link carries the key: %s", v.Raw())
	}
	cut := samplePaste(at, "a.md", "text/markdown", "# a")
	cut.Size, cut.Rendered = 99, true
	if v := p.viewOf(t.Context(), cut); v.Kind != "text" || !v.Truncated || v.Markdown {
		t.Errorf("cut Markdown: %+v", v)
	}
}

// Whatever is pasted, under whatever name, the page is sound and shows it.
func FuzzView(f *testing.F) {
	f.Add("a.go", "text/plain", "package a // <b>")
	f.Add("a.html", "text/html", evil)
	f.Add("a.php", "text/plain", "<?php echo '<script>'; ?>\n<script>x</script>")
	f.Add("a.md", "text/markdown", "```js\n</code></pre><script>\n```")
	f.Add(evil, evil, "\r\n\x00\xff\u2028")
	p := openPages(f)
	f.Fuzz(func(t *testing.T, name, mediaType, text string) {
		page := samplePaste(site{Base: "https://paste.example", Now: sampleNow}, name, mediaType, text)
		page.Text = []byte(text)
		v := p.viewOf(t.Context(), page)
		nodes, err := html.Parse(strings.NewReader("<pre><code>" + string(v.Code) + "</code></pre>"))
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range browser.Faults(nodes, "https://paste.example") {
			t.Error(fault)
		}
		var shown strings.Builder
		for _, n := range browser.Elements(nodes) {
			if n.Data != "html" && n.Data != "head" && n.Data != "body" && n.Data != "pre" && n.Data != "code" && n.Data != "span" && n.Data != "a" {
				t.Fatalf("<%s> in the code", n.Data)
			}
			if browser.Attr(n, "class") == "tx" {
				shown.WriteString(browser.InnerText(n))
			}
		}
		if want := highlight.Text([]byte(text)); v.Numbered && shown.String() != want {
			t.Errorf("%q is shown as %q", want, shown.String())
		}
	})
}
