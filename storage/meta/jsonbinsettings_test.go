package meta

import (
	"encoding/json"
	"strings"
	"testing"

	"ringbin/storage"
)

func TestJSONBinSettings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	defaults := DefaultJSONBin()
	if err := defaults.check(); err != nil {
		t.Error(err)
	}
	n := func(v int64) *int64 { return &v }
	for field, p := range map[string]JSONBinPatch{
		"access_keys_max":     {AccessKeysMax: n(AccessKeysMost + 1)},
		"name_max":            {NameMax: n(0)},
		"bin_name_max":        {BinNameMax: n(nameMaxMost + 1)},
		"versions_max":        {VersionsMax: n(-1)},
		"record_max_bytes":    {RecordMaxBytes: n(0)},
		"xl_max_bytes":        {XLMaxBytes: n(storage.ContentMax + 1)},
		"schema_max_bytes":    {SchemaMaxBytes: n(schemaMaxMost + 1)},
		"page_size":           {PageSize: n(0)},
		"requests_per_month":  {RequestsPerMonth: n(-1)},
		"requests_per_minute": {RequestsPerMinute: n(rateMax + 1)},
		"pricing_url":         {PricingURL: new(strings.Repeat("x", urlMaxBytes+1))},
		"upgrade_url":         {UpgradeURL: new(strings.Repeat("x", urlMaxBytes+1))},
		"log_retention_days":  {LogRetentionDays: n(0)},
	} {
		r := w.do(Header{}, SetSettings{Patch: SettingsPatch{JSONBin: &p}})
		if r.Err == nil || r.Err.Kind != storage.KindInvalid || r.Err.Field != "jsonbin."+field {
			t.Errorf("%s: %+v", field, r.Err)
		}
	}
	equal(t, "defaults", w.f.Settings().JSONBin, DefaultJSONBin())

	// Each member of a patch is the one of the settings, by its name.
	w.must(SetSettings{Patch: SettingsPatch{JSONBin: goldenJSONBin()}})
	patch, err := json.Marshal(goldenJSONBin())
	if err != nil {
		t.Fatal(err)
	}
	patched, err := json.Marshal(w.f.Settings().JSONBin)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "patched", string(patched), string(patch))
}

// Settings that were stored before there was this dialect get its defaults.
func TestJSONBinSettingsOfOldClusters(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	type old struct {
		MaxUploadBytes int64 `cbor:"1,keyasint"`
		Copies         int   `cbor:"9,keyasint"`
	}
	w.poke(func(x *tx) error { return write(x, single(singleSettings), old{MaxUploadBytes: 7, Copies: 2}) })
	w.must(SetSettings{Patch: SettingsPatch{VoterTarget: new(3)}})
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	equal(t, "settings", w.f.Settings().JSONBin, DefaultJSONBin())
}
