package meta

import "ringbin/storage"

// JSONBinSettings are the policy of the JSONBin dialect.
type JSONBinSettings struct {
	AccessKeysMax int64 `cbor:"1,keyasint" json:"access_keys_max"` // of an account; 0: no limit but [AccessKeysMost]

	NameMax    int64 `cbor:"2,keyasint" json:"name_max"` // characters, of a key, a collection, a schema doc
	BinNameMax int64 `cbor:"3,keyasint" json:"bin_name_max"`

	VersionsMax    int64 `cbor:"4,keyasint" json:"versions_max"` // of a bin, above its base
	RecordMaxBytes int64 `cbor:"5,keyasint" json:"record_max_bytes"`
	XLMaxBytes     int64 `cbor:"6,keyasint" json:"xl_max_bytes"`
	SchemaMaxBytes int64 `cbor:"7,keyasint" json:"schema_max_bytes"`
	PageSize       int64 `cbor:"8,keyasint" json:"page_size"`

	Versioning   bool `cbor:"9,keyasint" json:"versioning"`
	PublicUpdate bool `cbor:"10,keyasint" json:"public_update"` // a public bin takes a new record from who has no key
	AllowBlank   bool `cbor:"11,keyasint" json:"allow_blank"`

	RequestsPerMonth  int64 `cbor:"12,keyasint" json:"requests_per_month"`  // of an account; 0: no limit
	RequestsPerMinute int64 `cbor:"13,keyasint" json:"requests_per_minute"` // of an account; 0: no limit

	PricingURL string `cbor:"14,keyasint" json:"pricing_url"`
	UpgradeURL string `cbor:"15,keyasint" json:"upgrade_url"`

	LogRetentionDays int64 `cbor:"16,keyasint" json:"log_retention_days"`
}

// DefaultJSONBin are the settings of a new cluster, and of one from before there was this dialect.
func DefaultJSONBin() JSONBinSettings {
	return JSONBinSettings{
		AccessKeysMax: 3,

		NameMax:    32,
		BinNameMax: 128,

		VersionsMax:    1000,
		RecordMaxBytes: 10 << 20,
		XLMaxBytes:     10 << 20,
		SchemaMaxBytes: 256 << 10,
		PageSize:       10,

		Versioning:   true,
		PublicUpdate: true,

		PricingURL: "https://jsonbin.io/pricing",
		UpgradeURL: "http://api.jsonbin.io/pricing",

		LogRetentionDays: 30,
	}
}

// JSONBinPatch changes the settings whose members are not nil.
type JSONBinPatch struct {
	AccessKeysMax *int64 `cbor:"1,keyasint,omitempty" json:"access_keys_max,omitempty"`

	NameMax    *int64 `cbor:"2,keyasint,omitempty" json:"name_max,omitempty"`
	BinNameMax *int64 `cbor:"3,keyasint,omitempty" json:"bin_name_max,omitempty"`

	VersionsMax    *int64 `cbor:"4,keyasint,omitempty" json:"versions_max,omitempty"`
	RecordMaxBytes *int64 `cbor:"5,keyasint,omitempty" json:"record_max_bytes,omitempty"`
	XLMaxBytes     *int64 `cbor:"6,keyasint,omitempty" json:"xl_max_bytes,omitempty"`
	SchemaMaxBytes *int64 `cbor:"7,keyasint,omitempty" json:"schema_max_bytes,omitempty"`
	PageSize       *int64 `cbor:"8,keyasint,omitempty" json:"page_size,omitempty"`

	Versioning   *bool `cbor:"9,keyasint,omitempty" json:"versioning,omitempty"`
	PublicUpdate *bool `cbor:"10,keyasint,omitempty" json:"public_update,omitempty"`
	AllowBlank   *bool `cbor:"11,keyasint,omitempty" json:"allow_blank,omitempty"`

	RequestsPerMonth  *int64 `cbor:"12,keyasint,omitempty" json:"requests_per_month,omitempty"`
	RequestsPerMinute *int64 `cbor:"13,keyasint,omitempty" json:"requests_per_minute,omitempty"`

	PricingURL *string `cbor:"14,keyasint,omitempty" json:"pricing_url,omitempty"`
	UpgradeURL *string `cbor:"15,keyasint,omitempty" json:"upgrade_url,omitempty"`

	LogRetentionDays *int64 `cbor:"16,keyasint,omitempty" json:"log_retention_days,omitempty"`
}

func (s *JSONBinSettings) patch(p *JSONBinPatch) {
	if p == nil {
		return
	}
	patch(&s.AccessKeysMax, p.AccessKeysMax)
	patch(&s.NameMax, p.NameMax)
	patch(&s.BinNameMax, p.BinNameMax)
	patch(&s.VersionsMax, p.VersionsMax)
	patch(&s.RecordMaxBytes, p.RecordMaxBytes)
	patch(&s.XLMaxBytes, p.XLMaxBytes)
	patch(&s.SchemaMaxBytes, p.SchemaMaxBytes)
	patch(&s.PageSize, p.PageSize)
	patch(&s.Versioning, p.Versioning)
	patch(&s.PublicUpdate, p.PublicUpdate)
	patch(&s.AllowBlank, p.AllowBlank)
	patch(&s.RequestsPerMonth, p.RequestsPerMonth)
	patch(&s.RequestsPerMinute, p.RequestsPerMinute)
	patch(&s.PricingURL, p.PricingURL)
	patch(&s.UpgradeURL, p.UpgradeURL)
	patch(&s.LogRetentionDays, p.LogRetentionDays)
}

// Limits of the settings of JSONBin.
const (
	nameMaxMost     = 1024 // characters: a command has room for it
	versionsMaxMost = 1_000_000
	recordMaxMost   = 64 << 20 // a record is in memory
	schemaMaxMost   = 4 << 20
	pageSizeMost    = 1000
	urlMaxBytes     = 2048
)

func (s *JSONBinSettings) check() error {
	return within("SetSettings", []limit{
		{"jsonbin.access_keys_max", s.AccessKeysMax, 0, AccessKeysMost},
		{"jsonbin.name_max", s.NameMax, 1, nameMaxMost},
		{"jsonbin.bin_name_max", s.BinNameMax, 1, nameMaxMost},
		{"jsonbin.versions_max", s.VersionsMax, 0, versionsMaxMost},
		{"jsonbin.record_max_bytes", s.RecordMaxBytes, 1, recordMaxMost},
		{"jsonbin.xl_max_bytes", s.XLMaxBytes, 1, storage.ContentMax},
		{"jsonbin.schema_max_bytes", s.SchemaMaxBytes, 1, schemaMaxMost},
		{"jsonbin.page_size", s.PageSize, 1, pageSizeMost},
		{"jsonbin.requests_per_month", s.RequestsPerMonth, 0, balanceMax},
		{"jsonbin.requests_per_minute", s.RequestsPerMinute, 0, rateMax},
		{"jsonbin.pricing_url", int64(len(s.PricingURL)), 0, urlMaxBytes},
		{"jsonbin.upgrade_url", int64(len(s.UpgradeURL)), 0, urlMaxBytes},
		{"jsonbin.log_retention_days", s.LogRetentionDays, 1, daysAheadMax},
	})
}
