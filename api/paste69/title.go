package paste69

import (
	"context"
	"io"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"ringbin/api/web"
)

// Limits of a look-up of a title.
const (
	titleTotalMax = 5 * time.Second
	titleBodyMax  = 256 << 10
)

// Title returns the title of an HTML page, "" if there is none to be had.
func (f *Fetcher) Title(ctx context.Context, rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	resp, err := f.open(ctx, u, titleTotalMax)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }() // it was only read
	contentType := resp.Header.Get("Content-Type")
	if mediaType, _ := web.MediaType(contentType); mediaType != "text/html" && mediaType != "application/xhtml+xml" {
		return ""
	}
	text, err := charset.NewReader(io.LimitReader(resp.Body, titleBodyMax), contentType)
	if err != nil {
		return ""
	}
	return cleanTitle(titleOf(text))
}

// titleOf returns the text of the first title element, its white space as a
// browser shows it.
func titleOf(page io.Reader) string {
	tokens := html.NewTokenizer(page)
	tokens.SetMaxBuf(titleBodyMax)
	inside := false
	for {
		kind := tokens.Next()
		switch {
		case kind == html.TextToken && inside:
			return strings.Join(strings.Fields(string(tokens.Text())), " ")
		case kind == html.ErrorToken, inside: // the end of the page, or an empty title
			return ""
		case kind == html.StartTagToken:
			name, _ := tokens.TagName()
			inside = string(name) == "title"
		}
	}
}
