package main

import (
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// parsed returns the command that args name, with its flags set and nothing run.
func parsed(tb testing.TB, args ...string) *cobra.Command {
	tb.Helper()
	root := newRoot(streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	cmd, rest, err := root.Find(args)
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		tb.Fatal(err)
	}
	return cmd
}

func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	file := map[string]any{}
	if _, err := toml.Decode(text, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestApply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args string
		env  map[string]string
		file string
		want map[string]string // options, as their flags print them
	}{
		{name: "defaults", args: "serve", want: map[string]string{"http": "127.0.0.1:8080", "join": "[]", "capacity": "100"}},
		{name: "file over default", args: "serve", file: `http = "127.0.0.1:1"`, want: map[string]string{"http": "127.0.0.1:1"}},
		{
			name: "variable over file", args: "serve", env: map[string]string{"RINGBIN_HTTP": "127.0.0.1:2"},
			file: `http = "127.0.0.1:1"`, want: map[string]string{"http": "127.0.0.1:2"},
		},
		{
			name: "flag over all", args: "serve --http 127.0.0.1:3", env: map[string]string{"RINGBIN_HTTP": "127.0.0.1:2"},
			file: `http = "127.0.0.1:1"`, want: map[string]string{"http": "127.0.0.1:3"},
		},
		{
			name: "flag with the default's value over all", args: "serve --http 127.0.0.1:8080", file: `http = "127.0.0.1:1"`,
			want: map[string]string{"http": "127.0.0.1:8080"},
		},
		{
			name: "an empty variable is a value", args: "serve", env: map[string]string{"RINGBIN_ADMIN": ""},
			file: `admin = "127.0.0.1:1"`, want: map[string]string{"admin": ""},
		},
		{
			name: "every kind of value", args: "serve",
			file: "capacity = 7\nbehind-tls = true\nfree-floor-bytes = -1\njoin = [\"a:1\", \"b:2\"]\nname = 'n'",
			want: map[string]string{"capacity": "7", "behind-tls": "true", "free-floor-bytes": "-1", "join": "[a:1,b:2]", "name": "n"},
		},
		{name: "a list in one string", args: "serve", file: `join = "a:1,b:2"`, want: map[string]string{"join": "[a:1,b:2]"}},
		{name: "an empty list", args: "put", file: "url = []", want: map[string]string{"url": "[]"}},
		{name: "a list in a variable", args: "put", env: map[string]string{"RINGBIN_URL": "http://a,http://b"}, want: map[string]string{"url": "[http://a,http://b]"}},
		{name: "a duration", args: "put", file: `timeout = "3s"`, want: map[string]string{"timeout": "3s"}},
		{name: "keys of other commands", args: "put", file: "data-dir = 'd'\nnodes = 5\ndays = 60", want: map[string]string{"days": "60"}},
		{name: "output by a variable", args: "put", env: map[string]string{"RINGBIN_OUTPUT": "json"}, want: map[string]string{"output": "json"}},
		{name: "variables of nobody", args: "put", env: map[string]string{"RINGBIN_NOTHING": "1"}, want: map[string]string{"days": "30"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := parsed(t, strings.Fields(c.args)...)
			if err := apply(cmd, decode(t, c.file), environment(c.env)); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for name := range c.want {
				got[name] = cmd.Flags().Lookup(name).Value.String()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, args, file, want string
		env                    map[string]string
	}{
		{name: "unknown key", args: "serve", file: `data-dri = "d"`, want: `config: unknown key "data-dri"`},
		{name: "table", args: "serve", file: "[serve]\nhttp = 'a:1'", want: `config: unknown key "serve"`},
		{name: "underscores", args: "serve", file: `data_dir = "d"`, want: `config: unknown key "data_dir"`},
		{name: "a file in the file", args: "serve", file: `config = "f"`, want: `config: unknown key "config"`},
		{name: "output in the file", args: "serve", file: `output = "json"`, want: `config: unknown key "output"`},
		{name: "help in the file", args: "serve", file: "help = true", want: `config: unknown key "help"`},
		{name: "a text for a number", args: "put", file: `days = "x"`, want: "config: days: "},
		{name: "a fraction", args: "put", file: "days = 1.5", want: "config: days: a string, a number"},
		{name: "a date", args: "put", file: "days = 2030-01-01", want: "config: days: a string, a number"},
		{name: "a table for a value", args: "put", file: "days.of = 1", want: "config: days: a string, a number"},
		{name: "numbers in a list", args: "put", file: "url = [1]", want: "config: url: a list of strings"},
		{name: "a list for one value", args: "serve", file: `capacity = ["1", "2"]`, want: "config: capacity: "},
		{name: "a bad variable", args: "put", env: map[string]string{"RINGBIN_DAYS": "x"}, want: "RINGBIN_DAYS: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := apply(parsed(t, strings.Fields(c.args)...), decode(t, c.file), environment(c.env))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestOptionsOfRoot: the options that a file may hold are found in the whole
// tree, by their names alone.
func TestOptionsOfRoot(t *testing.T) {
	t.Parallel()
	known := optionsOf(parsed(t, "serve").Root())
	for _, name := range []string{"data-dir", "tls-cert", "nodes", "http-base-port", "key", "url", "days", "file", "undo", "amount-cents", "self"} {
		if !known[name] {
			t.Errorf("%q is not known", name)
		}
	}
	for name := range known {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q is no name of an option", name)
		}
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"a", "a"},
		{"a\nb", "a; b"},
		{"a\n\n  b\t c\r\n", "a; b c"},
		{"unknown\n\nDid you mean this?\n\tput\n", "unknown; Did you mean this? put"},
		{"", ""},
	} {
		if got := oneLine(textError(c.text)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

type textError string

func (e textError) Error() string { return string(e) }

// FuzzConfig: a configuration file is refused, or sets options that there are.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{
		"", "data-dir = 'd'", "join = ['a:1', 'b:2']", "capacity = 7\nbehind-tls = true", "days = 1.5", "[serve]\nhttp = 'a:1'",
		"url = [[]]", "join = ['a\"b']", "join = ['a\\nb', \"c\\nd\"]", "days = 99999999999999999999", "timeout = '1h'", "x = {a=1}", "\xff",
		"admin = ''", "days = 0x1e", "days = inf",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		file := map[string]any{}
		if _, err := toml.Decode(s, &file); err != nil {
			return
		}
		for _, args := range []string{"serve", "put", "account deposit"} {
			cmd := parsed(t, strings.Fields(args)...)
			before := values(cmd)
			if err := apply(cmd, maps.Clone(file), environment(nil)); err != nil {
				if strings.TrimSpace(err.Error()) == "" || strings.Contains(oneLine(err), "\n") {
					t.Errorf("%q is not one line", err)
				}
				continue
			}
			known := optionsOf(cmd.Root())
			for key := range file {
				if !known[key] || slices.Contains(notInFile, key) {
					t.Errorf("%s: %q was taken", args, key)
				}
			}
			for name, value := range values(cmd) {
				if _, given := file[name]; !given && value != before[name] {
					t.Errorf("%s: %q became %q, and the file does not name it", args, name, value)
				}
			}
		}
	})
}

// values are all options of a command as they stand.
func values(cmd *cobra.Command) map[string]string {
	all := map[string]string{}
	for name := range optionsOfOne(cmd) {
		if f := cmd.Flags().Lookup(name); f != nil {
			all[name] = f.Value.String()
		}
	}
	return all
}

// TestMergeReadsTheFile: a file that was named has to be there.
func TestMergeReadsTheFile(t *testing.T) {
	t.Parallel()
	cmd := parsed(t, "serve", "--config", filepath.Join(t.TempDir(), "missing.toml"))
	if err := mergeOptions(cmd); err == nil || !strings.Contains(err.Error(), "missing.toml") {
		t.Errorf("got %v", err)
	}
}
