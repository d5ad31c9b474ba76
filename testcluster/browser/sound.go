package browser

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// Elements are all elements below a node.
func Elements(n *html.Node) []*html.Node {
	var all []*html.Node
	for d := range n.Descendants() {
		if d.Type == html.ElementNode {
			all = append(all, d)
		}
	}
	return all
}

// Attr is an attribute of an element; "" for none.
func Attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// Faults lists what no page may have: scripts and styles in the page, handlers,
// things loaded from elsewhere, links that run, ids that are there twice.
func Faults(document *html.Node, base string) []string {
	var found []string
	ids := map[string]bool{}
	fault := func(form string, a ...any) { found = append(found, fmt.Sprintf(form, a...)) }
	for _, n := range Elements(document) {
		switch n.Data {
		case "style", "iframe", "object", "embed", "base":
			fault("<%s>", n.Data)
		case "script":
			if n.FirstChild != nil || Attr(n, "src") == "" {
				fault("inline script")
			}
		case "meta":
			if Attr(n, "http-equiv") != "" {
				fault("http-equiv")
			}
		}
		for _, a := range n.Attr {
			local := strings.HasPrefix(a.Val, base+"/") || strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "//")
			scheme, _, isAbsolute := strings.Cut(strings.ToLower(a.Val), ":")
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcset", a.Key == "formaction":
				fault("%s on <%s>", a.Key, n.Data)
			case a.Key == "src", a.Key == "action", a.Key == "href" && n.Data == "link":
				if !local {
					fault("<%s> loads %s", n.Data, a.Val)
				}
			case a.Key == "href" && isAbsolute && slices.Contains([]string{"javascript", "data", "vbscript"}, strings.TrimSpace(scheme)):
				fault("link to %s", a.Val)
			case a.Key == "id":
				if ids[a.Val] {
					fault("id %q is there twice", a.Val)
				}
				ids[a.Val] = true
			}
		}
	}
	for _, n := range Elements(document) { // what labels refer to is there
		for _, key := range []string{"for", "aria-labelledby"} {
			for ref := range strings.FieldsSeq(Attr(n, key)) {
				if !ids[ref] {
					fault("%s=%q refers to nothing", key, ref)
				}
			}
		}
	}
	return found
}

// InnerText is the text below a node.
func InnerText(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}
