package node

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tinyMMDB is a GeoIP database of one node: the upper half of IPv4, from
// 128.0.0.0 on, is of one country; nothing is known of the rest.
func tinyMMDB(country string) []byte {
	text := func(s string) []byte { return append([]byte{0x40 | byte(len(s))}, s...) }
	number := func(typ, v byte) []byte { return []byte{typ<<5 | 1, v} }
	const uint16Type, uint32Type = 5, 6
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	tree := []byte{0, 0, 1, 0, 0, 1 + 16} // left: nothing; right: the first record
	data := join([]byte{0xe1}, text("country"), []byte{0xe1}, text("iso_code"), text(country))
	metadata := join([]byte{0xe9},
		text("binary_format_major_version"), number(uint16Type, 2),
		text("binary_format_minor_version"), number(uint16Type, 0),
		text("build_epoch"), []byte{0x01, 0x02, 1}, // an extended type, 64 bits
		text("database_type"), text("Test"),
		text("description"), []byte{0xe0},
		text("ip_version"), number(uint16Type, 4),
		text("languages"), []byte{0x00, 0x04}, // an extended type, an empty list
		text("node_count"), number(uint32Type, 1),
		text("record_size"), number(uint16Type, 24),
	)
	return join(tree, make([]byte, 16), data, []byte("\xab\xcd\xefMaxMind.com"), metadata)
}

func TestCountries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var none countries
	if err := none.open(""); err != nil || none.of(netip.MustParseAddr("198.51.100.1")) != "" {
		t.Fatal("without a file")
	}
	for _, file := range []string{filepath.Join(dir, "missing"), write("junk", []byte("no database")), write("empty", nil)} {
		if err := new(countries).open(file); err == nil || !strings.Contains(err.Error(), "geoip-file") {
			t.Errorf("%s: %v", file, err)
		}
	}
	var c countries
	if err := c.open(write("good", tinyMMDB("DE"))); err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"198.51.100.1": "DE", "::ffff:198.51.100.1": "DE", "10.0.0.1": "", "2001:db8::1": "",
	} {
		if got := c.of(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := c.of(netip.Addr{}); got != "" {
		t.Errorf("no address: %q", got)
	}
	var odd countries
	if err := odd.open(write("odd", tinyMMDB("XYZ"))); err != nil {
		t.Fatal(err)
	}
	if got := odd.of(netip.MustParseAddr("198.51.100.1")); got != "" {
		t.Errorf("a country of three letters: %q", got)
	}
}
