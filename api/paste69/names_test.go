package paste69

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 200)
	for in, want := range map[string]string{
		"a.txt": "a.txt", "/etc/passwd": "passwd", `C:\dir\a.txt`: "a.txt", "../../x": "x", `..\x`: "x", "dir/": "",
		"": "", "-": "", ".": "", "..": "", "...": "", " . ": "", "- .": "", ".bashrc": ".bashrc", " a": " a", "a. . ": "a",
		"a\x00b\x7f\u0085.c": "ab.c", "inv\xffalid": "invalid", "evil\u202egpj.exe": "evilgpj.exe", "z\u200b\u200d\ufeff\u2060.c": "z.c",
		"\u2066x\u2069": "x", "a\nb": "ab", "a\u2028b": "ab", "naïve 文件.md": "naïve 文件.md", "a\u00a0": "a",
		long + ".tar.gz": strings.Repeat("ü", 126) + ".gz",

		long + "." + strings.Repeat("e", 20): strings.Repeat("ü", 127),

		strings.Repeat("a", 300): strings.Repeat("a", 255),

		strings.Repeat("a", 254) + ". b": strings.Repeat("a", 252) + ". b",

		strings.Repeat("a", 250) + " ..  " + "b" + strings.Repeat("c", 40): strings.Repeat("a", 250),
	} {
		if got := cleanName(in); got != want {
			t.Errorf("cleanName(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"a.txt", "../..", "\u202e\xff", strings.Repeat("é.", 200), " . .", "-", strings.Repeat("a", 300) + " .b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		name := cleanName(in)
		switch {
		case len(name) > nameMax, !utf8.ValidString(name), strings.ContainsAny(name, "/\\\x00\n\r\u202e\u200b"),
			name == "-", strings.HasSuffix(name, "."), strings.HasSuffix(name, " "):
			t.Fatalf("cleanName(%q) = %q", in, name)
		case cleanName(name) != name:
			t.Fatalf("cleaning %q again gives %q", name, cleanName(name))
		}
		extension := cleanExtension(in)
		if len(extension) > extensionMax || strings.Trim(extension, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || cleanExtension(extension) != extension {
			t.Fatalf("cleanExtension(%q) = %q", in, extension)
		}
	})
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	type names = []string
	tests := []struct {
		names, extensions names
		head              string
		want              description
	}{
		{nil, nil, "hello", description{"paste.txt", "txt", "text/plain"}},
		{nil, nil, png, description{"paste.png", "png", "image/png"}},
		{nil, nil, "\x00\x01\x02", description{"paste", "", "application/octet-stream"}},
		{names{"f"}, nil, "\x00\x01\x02", description{"f", "", "application/octet-stream"}},
		{names{"f.BIN"}, nil, "\x00\x01\x02", description{"f.BIN", "bin", "application/octet-stream"}},
		{names{"-", "b/c.tar.gz"}, nil, "x", description{"c.tar.gz", "gz", "text/plain"}},
		{names{".bashrc"}, nil, "x", description{".bashrc", "txt", "text/plain"}},
		{names{"a.py"}, names{"..", ".RB!"}, "x", description{"a.py", "rb", "text/plain"}},
		{names{"a.日本"}, nil, "x", description{"a.日本", "txt", "text/plain"}},
		{nil, names{"tar.gz"}, "x", description{"paste.targz", "targz", "text/plain"}},
		{nil, names{strings.Repeat("a", 20)}, "x", description{"paste." + strings.Repeat("a", 16), strings.Repeat("a", 16), "text/plain"}},
		{names{"README.MD"}, nil, "# hello", description{"README.MD", "md", "text/markdown"}},
		{names{"r"}, names{"markdown"}, "<h1>x</h1>", description{"r", "markdown", "text/markdown"}},
		{names{"r.md"}, nil, png, description{"r.md", "md", "image/png"}},
		{nil, nil, "# hello\n\n* no markdown by its first line", description{"paste.txt", "txt", "text/plain"}},
		{nil, nil, `{"a":1}`, description{"paste.json", "json", "application/json"}},
		{names{"a.txt"}, nil, "<!DOCTYPE html><html>", description{"a.txt", "txt", "text/html"}},
		{nil, nil, "caf\xe9 in Latin-1", description{"paste.txt", "txt", "text/plain"}},
		{nil, nil, `{"a":["` + strings.Repeat(`x","`, 2000), description{"paste.json", "json", "application/json"}},
	}
	for _, tt := range tests {
		head := tt.head[:min(len(tt.head), sniffMax)]
		if got := describe(tt.names, tt.extensions, []byte(head)); got != tt.want {
			t.Errorf("describe(%q, %q, %.20q) = %+v, want %+v", tt.names, tt.extensions, tt.head, got, tt.want)
		}
	}
}

func FuzzUTF8(f *testing.F) {
	f.Add([]byte("é€\U0001f600"), uint8(1))
	f.Add([]byte("\xe2\x82"), uint8(2))
	f.Add([]byte("a\xed\xa0\x80"), uint8(3))
	f.Add([]byte("\xf0\x9f\x98\x80\xff"), uint8(4))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		var u utf8Checker
		step := int(size%9) + 1
		for i := 0; i < len(b); i += step {
			u.write(b[i:min(i+step, len(b))])
		}
		if u.valid() != utf8.Valid(b) {
			t.Fatalf("%q in chunks of %d is valid: %v", b, step, u.valid())
		}
	})
}
