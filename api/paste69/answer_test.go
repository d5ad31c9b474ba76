package paste69

import (
	"encoding/json"
	"testing"
	"time"

	"ringbin/node"
	"ringbin/storage"
)

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var made = time.Date(2024, 3, 20, 15, 30, 0, 999_000_000, time.UTC).UnixMilli()

// The members come in the contract's order, in both forms.
func TestUnionOfPaste(t *testing.T) {
	t.Parallel()
	p := node.Paste{
		ID: "abc12345", Filename: "example.txt", Extension: "txt", MediaType: "text/plain", CID: storage.SumCID([]byte("1234")), Created: made,
		Expires: made + 24*time.Hour.Milliseconds(),
	}
	const rest = `"id":"abc12345","filename":"example.txt","size":4,"mime_type":"text/plain",` +
		`"created_at":"2024-03-20T15:30:00Z","expires_at":"2024-03-21T15:30:00Z","private":false,`
	relative := `{` + rest + `"url":"/abc12345.txt","raw_url":"/raw/abc12345.txt","download_url":"/download/abc12345.txt"}`
	absolute := `{` + rest + `"url":"https://H/abc12345.txt","raw_url":"https://H/raw/abc12345.txt","download_url":"https://H/download/abc12345.txt"}`
	for _, tt := range []struct {
		alias bool
		data  string
	}{{false, relative}, {true, absolute}} {
		u := &union{base: "https://H", absolute: tt.alias}
		putOwned(u, p)
		if data, flat := encode(t, u.data), encode(t, u.flat); data != tt.data || flat != absolute {
			t.Errorf("alias %t:\ndata %s\nflat %s", tt.alias, data, flat)
		}
	}
	u := &union{base: "https://H"}
	p.Extension, p.Account, p.Expires = "", "user_1", 0
	putOwned(u, p)
	want := `{"id":"abc12345","filename":"example.txt","size":4,"mime_type":"text/plain","created_at":"2024-03-20T15:30:00Z","expires_at":null,` +
		`"private":false,"url":"/abc12345","raw_url":"/raw/abc12345","download_url":"/download/abc12345","delete_url":"/delete/abc12345"}`
	if data := encode(t, u.data); data != want {
		t.Errorf("without an end and an extension: %s", data)
	}
}

func TestUnionOfLink(t *testing.T) {
	t.Parallel()
	u := &union{base: "https://H"}
	putLink(u, node.Link{ID: "abc123", Target: "https://example.com", Title: "T", Created: made, Clicks: 9, LastClick: made}, "KEY")
	if got, want := encode(t, u.data), `{"id":"abc123","url":"https://example.com","original_url":"https://example.com","short_url":"/u/abc123","title":"T",`+
		`"clicks":9,"last_click":"2024-03-20T15:30:00Z","created_at":"2024-03-20T15:30:00Z","expires_at":null,"stats_url":"/u/abc123/stats",`+
		`"delete_url":"/delete/abc123/KEY"}`; got != want {
		t.Errorf("data %s", got)
	}
	if got, want := encode(t, u.flat), `{"id":"abc123","url":"https://H/u/abc123","original_url":"https://example.com","short_url":"https://H/u/abc123","title":"T",`+
		`"clicks":9,"last_click":"2024-03-20T15:30:00Z","created_at":"2024-03-20T15:30:00Z","expires_at":null,"stats_url":"https://H/u/abc123/stats",`+
		`"delete_url":"https://H/delete/abc123/KEY"}`; got != want {
		t.Errorf("flat %s", got)
	}
}

func TestTopNames(t *testing.T) {
	t.Parallel()
	days := []node.LinkDay{
		{Referrers: map[string]int64{"": 100, "b": 2, "a": 1}},
		{Referrers: map[string]int64{"a": 1, "c": 9}},
	}
	for name := range 20 {
		days[0].Referrers[string(rune('k'+name))] = 1
	}
	got := encode(t, counted(top(days, func(d node.LinkDay) map[string]int64 { return d.Referrers })))
	if want := `{"c":9,"a":2,"b":2,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := encode(t, counted(nil)); got != "{}" {
		t.Errorf("nothing is %s", got)
	}
}

func TestAttachment(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.txt":         `attachment; filename="a.txt"; filename*=UTF-8''a.txt`,
		`q"b\s.txt`:     `attachment; filename="q\"b\\s.txt"; filename*=UTF-8''q%22b%5Cs.txt`,
		"naïve 日.txt":   `attachment; filename="na_ve _.txt"; filename*=UTF-8''na%C3%AFve%20%E6%97%A5.txt`,
		"a\r\nX: b.txt": `attachment; filename="a__X: b.txt"; filename*=UTF-8''a%0D%0AX%3A%20b.txt`,
		"100%'*().txt":  `attachment; filename="100%'*().txt"; filename*=UTF-8''100%25%27%2A%28%29.txt`,
	} {
		if got := attachment(name); got != want {
			t.Errorf("%q\n%s, want\n%s", name, got, want)
		}
	}
}

func TestASCIIURL(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"https://example.com/a?b=%20&c=[]'\"#x": "https://example.com/a?b=%20&c=[]'\"#x",
		"https://bücher.example/é":              "https://b%C3%BCcher.example/%C3%A9",
		"https://example.com/\r\nX":             "https://example.com/%0D%0AX",
	} {
		if got := asciiURL(target); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
