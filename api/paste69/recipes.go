package paste69

import (
	"encoding/json"
	"net/http"
	"strings"

	"ringbin/storage"
)

// Recipes are files that set up other programs to upload here. The docs page
// shows the very text that is served.

// shareXConfig is a custom uploader of ShareX (.sxcu), members in the order in
// which ShareX writes them.
type shareXConfig struct {
	Version         string
	Name            string
	DestinationType string
	RequestMethod   string
	RequestURL      string
	Headers         map[string]string
	Body            string
	Arguments       map[string]string `json:",omitempty"`
	FileFormName    string            `json:",omitempty"`
	URL             string
	DeletionURL     string
	ErrorMessage    string
}

func shareX(kind string) shareXConfig {
	return shareXConfig{
		Version:         "15.0.0",
		Name:            siteName,
		DestinationType: kind,
		RequestMethod:   http.MethodPost,
		Headers:         map[string]string{"Accept": "application/json", "Authorization": "Bearer YOUR_API_KEY"},
		URL:             "{json:url}",
		DeletionURL:     "{json:delete_url}",
		ErrorMessage:    "{json:error}",
	}
}

// shareXUploader is for images, text and files. The flat url members are
// absolute, as ShareX needs them. Without a key it works, too: a bad one would
// be refused, so the recipe leaves the header out.
func shareXUploader(s site) string {
	c := shareX("ImageUploader, TextUploader, FileUploader")
	delete(c.Headers, "Authorization")
	c.RequestURL, c.Body, c.FileFormName = s.URL("/p"), "MultipartFormData", "file"
	return indented(c)
}

// shareXShortener needs a key.
func shareXShortener(s site) string {
	c := shareX("URLShortener")
	c.Name += " links"
	c.RequestURL, c.Body, c.Arguments = s.URL("/u"), "FormURLEncoded", map[string]string{"url": "{input}"}
	return indented(c)
}

func indented(c shareXConfig) string {
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(c); err != nil {
		panic(err) // strings and maps of strings always encode
	}
	return b.String()
}

// flameshotScript takes a screenshot, uploads it and puts the link into the
// clipboard.
func flameshotScript(s site) string {
	return strings.ReplaceAll(flameshotText, "SERVER", "'"+strings.ReplaceAll(s.Base, "'", `'\''`)+"'")
}

const flameshotText = `#!/bin/sh
# Screenshot to link. Bind it to a key; needs flameshot, curl, jq, and xclip or wl-copy.
set -eu
server=SERVER
key=${RINGBIN_KEY:-}

shot=$(mktemp)
trap 'rm -f "$shot"' EXIT
flameshot gui --raw >"$shot"
head -c 4 "$shot" | grep -q PNG || exit 0 # cancelled

link=$(curl -sS ${key:+-H "Authorization: Bearer $key"} \
  -F "file=@$shot;filename=screenshot.png" "$server/p" |
  jq -er 'if .success then .url else error(.error) end')

if [ -n "${WAYLAND_DISPLAY:-}" ]; then
  printf %s "$link" | wl-copy
else
  printf %s "$link" | xclip -selection clipboard
fi
printf '%s\n' "$link"
`

// recipe answers GET /docs/:name with a recipe as a file.
func (p *pages) recipe(w http.ResponseWriter, _ *http.Request, s site, name string) error {
	recipes := map[string]func(site) string{
		"ringbin.sxcu": shareXUploader, "ringbin-links.sxcu": shareXShortener, "flameshot.sh": flameshotScript,
	}
	text, found := recipes[name]
	if !found {
		return &storage.Error{Op: "paste69.recipe", Kind: storage.KindNotFound, Code: "not_found", Text: "Not found"}
	}
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", cacheCheck)
	_, _ = w.Write([]byte(text(s))) // the server sees it
	return nil
}
