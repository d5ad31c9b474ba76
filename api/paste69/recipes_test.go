package paste69

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"ringbin/testcluster/browser"
)

// What the docs show is what is served, for any base.
func TestDocsShowTheRecipes(t *testing.T) {
	t.Parallel()
	p := openPages(t)
	at := site{Base: "https://example.org/it's/<here>&there", Now: sampleNow}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/docs", nil)
	if err := p.docs(w, r, docsPage{site: at, Retention: sampleRetention, KeysMode: "log"}); err != nil {
		t.Fatal(err)
	}
	document, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	for _, n := range browser.Elements(document) {
		if n.Data == "code" && browser.Attr(n, "id") != "" {
			shown[browser.Attr(n, "id")] = browser.InnerText(n)
		}
	}
	for _, name := range []string{"ringbin.sxcu", "ringbin-links.sxcu", "flameshot.sh"} {
		w := httptest.NewRecorder()
		if err := p.recipe(w, r, at, name); err != nil {
			t.Fatal(err)
		}
		if shown[name] != w.Body.String() || w.Body.Len() == 0 {
			t.Errorf("%s: shown is\n%s\nserved is\n%s", name, shown[name], w.Body)
		}
		if !strings.Contains(w.Header().Get("Content-Disposition"), name) {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
	if err := p.recipe(w, r, at, "other"); err == nil {
		t.Error("a recipe that is none")
	}
}

func TestShareX(t *testing.T) {
	t.Parallel()
	at := site{Base: "https://paste.example/x"}
	for text, want := range map[string]shareXConfig{
		shareXUploader(at):  {RequestURL: "https://paste.example/x/p", Body: "MultipartFormData", FileFormName: "file", URL: "{json:url}"},
		shareXShortener(at): {RequestURL: "https://paste.example/x/u", Body: "FormURLEncoded", URL: "{json:url}"},
	} {
		var got shareXConfig
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.RequestMethod != http.MethodPost || got.RequestURL != want.RequestURL || got.Body != want.Body ||
			got.FileFormName != want.FileFormName || got.URL != want.URL || got.DeletionURL != "{json:delete_url}" {
			t.Errorf("%s", text)
		}
	}
}

// The script runs: with stand-ins for the programs that need a screen, against
// a server that answers as this one does.
func TestFlameshot(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sh", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: the script was not run", program)
		}
	}
	const shot = "\x89PNG\r\n\x1a\n..."
	var got, key string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Authorization")
		file, header, err := r.FormFile("file")
		if r.URL.Path != "/x/p" || err != nil || header.Filename != "screenshot.png" {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"success":false,"error":"Empty file"}`))
			return
		}
		content, _ := io.ReadAll(file)
		got = string(content)
		w.Write([]byte(`{"success":true,"url":"https://H/abc12345.png"}`))
	}))
	defer server.Close()

	run := func(base, shot string, env ...string) (string, error) {
		dir := t.TempDir()
		clip := filepath.Join(dir, "clip")
		for name, text := range map[string]string{
			"flameshot": "#!/bin/sh\nprintf %s \"$SHOT\"\n", "xclip": "#!/bin/sh\ncat >" + clip + "\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		c := exec.CommandContext(t.Context(), "sh", "-c", flameshotScript(site{Base: base}))
		c.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "SHOT=" + shot}, env...)
		out, err := c.CombinedOutput()
		if err != nil {
			return string(out), err
		}
		copied, err := os.ReadFile(clip)
		if os.IsNotExist(err) {
			return "", nil
		}
		return string(copied), err
	}
	if link, err := run(server.URL+"/x", shot); err != nil || link != "https://H/abc12345.png" || got != shot || key != "" {
		t.Errorf("link %q, bytes %q, key %q, %v", link, got, key, err)
	}
	if _, err := run(server.URL+"/x", shot, "RINGBIN_KEY=p69_x"); err != nil || key != "Bearer p69_x" {
		t.Errorf("key %q, %v", key, err)
	}
	got = ""
	if link, err := run(server.URL+"/x", "screenshot aborted"); err != nil || link != "" || got != "" {
		t.Errorf("a screenshot that was cancelled: %q %q, %v", link, got, err)
	}
	if out, err := run(server.URL+"/other", shot); err == nil || !strings.Contains(out, "Empty file") {
		t.Errorf("an error of the server: %q, %v", out, err)
	}
}
