package paste69

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"ringbin/api/highlight"
)

// Limits of the view. Beyond them content is shown plainer or not at all, never
// refused: the bytes are one link away.
const (
	textBytesMax     = 4 << 20 // shown in a page; the caller reads no more for it
	markdownBytesMax = 1 << 20 // rendered
)

// viewPage is what the template of a paste gets: the page, and what was made of
// its content.
type viewPage struct {
	pastePage
	highlight.Listing

	Kind      string        // "text", "rendered", "image", "audio", "video", "private" (media of a private paste) or "none"
	Prose     template.HTML // Markdown, sanitised
	Truncated bool          // Text is not the whole content
	Markdown  bool          // can be rendered: the tabs are shown
}

// viewOf decides how a paste is shown and does the work.
func (p *pages) viewOf(ctx context.Context, page pastePage) viewPage {
	v := viewPage{pastePage: page, Kind: kindOf(page)}
	if v.Kind != "text" {
		return v
	}
	text := highlight.Text(page.Text)
	v.Truncated = int64(len(page.Text)) < page.Size
	v.Markdown = !v.Truncated && isMarkdown(page) && len(text) <= markdownBytesMax
	if v.Markdown && page.Rendered {
		if prose, rendered := p.prose.render(ctx, text); rendered {
			v.Kind, v.Prose = "rendered", prose
			return v
		}
	}
	v.Listing = p.code.List(ctx, text, highlight.Hint{Filename: page.Filename, Extension: page.Extension, MediaType: page.MediaType})
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
