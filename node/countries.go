package node

import (
	"net/netip"
	"os"

	"github.com/oschwald/maxminddb-golang/v2"

	"ringbin/storage"
)

// countries tells which country an address is of, by a database file that the
// operator gives; without one it knows none. Nobody outside is asked.
type countries struct {
	db *maxminddb.Reader // nil without a file
}

func (c *countries) open(file string) error {
	if file == "" {
		return nil
	}
	// Read, and not mapped: a file that is written over while it is mapped
	// would end the process.
	b, err := os.ReadFile(file)
	if err == nil {
		c.db, err = maxminddb.OpenBytes(b)
	}
	if err != nil {
		return &storage.Error{
			Op: "node.countries", Kind: storage.KindInvalid, Field: "geoip-file", Err: err,
			Text: "geoip-file: " + file + " is not a GeoIP database (MMDB) that can be read",
		}
	}
	return nil
}

// of returns a country's two letters, or "".
func (c *countries) of(a netip.Addr) string {
	if c.db == nil || !a.IsValid() {
		return ""
	}
	var code string
	if err := c.db.Lookup(a.Unmap().WithZone("")).DecodePath(&code, "country", "iso_code"); err != nil || len(code) != 2 {
		return ""
	}
	return code
}

// CountryOf returns the two letters of an address's country, "" when it is not known.
func (s *Service) CountryOf(a netip.Addr) string { return s.places.of(a) }
