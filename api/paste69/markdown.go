package paste69

import (
	"context"
	"html/template"
)

type markdown struct{ code *highlighter }

func newMarkdown(code *highlighter) *markdown { return &markdown{code: code} }

func (m *markdown) render(_ context.Context, text string) template.HTML {
	return template.HTML("<pre>" + template.HTMLEscapeString(text) + "</pre>")
}
