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
		if wrong := elementFault(n); wrong != "" {
			fault("%s", wrong)
		}
		for _, a := range n.Attr {
			if wrong := attrFault(n.Data, a, base); wrong != "" {
				fault("%s", wrong)
			}
			if a.Key == "id" && ids[a.Val] {
				fault("id %q is there twice", a.Val)
			}
			if a.Key == "id" {
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

// elementFault is what is wrong with an element itself; "" for nothing.
func elementFault(n *html.Node) string {
	switch n.Data {
	case "style", "iframe", "object", "embed", "base":
		return "<" + n.Data + ">"
	case "script":
		if n.FirstChild != nil || Attr(n, "src") == "" {
			return "inline script"
		}
	case "meta":
		if Attr(n, "http-equiv") != "" {
			return "http-equiv"
		}
	}
	return ""
}

// attrFault is what is wrong with an attribute of an element; "" for nothing.
func attrFault(element string, a html.Attribute, base string) string {
	local := strings.HasPrefix(a.Val, base+"/") || strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "//")
	scheme, _, isAbsolute := strings.Cut(strings.ToLower(a.Val), ":")
	switch {
	case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcset", a.Key == "formaction":
		return fmt.Sprintf("%s on <%s>", a.Key, element)
	case !local && (a.Key == "src" || a.Key == "action" || a.Key == "href" && element == "link"):
		return fmt.Sprintf("<%s> loads %s", element, a.Val)
	case a.Key == "href" && isAbsolute && slices.Contains([]string{"javascript", "data", "vbscript"}, strings.TrimSpace(scheme)):
		return "link to " + a.Val
	}
	return ""
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
