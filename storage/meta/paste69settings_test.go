package meta

import (
	"encoding/json"
	"testing"

	"ringbin/storage"
)

func TestPaste69Settings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	defaults := DefaultPaste69()
	if err := defaults.check(); err != nil {
		t.Error(err)
	}
	n := func(v int64) *int64 { return &v }
	for field, p := range map[string]Paste69Patch{
		"max_upload":                       {MaxUpload: n(0)},
		"max_upload_key":                   {MaxUploadKey: n(storage.ContentMax + 1)},
		"anonymous_min_days":               {AnonymousMinDays: n(0)},
		"anonymous_max_days":               {AnonymousMaxDays: n(6)}, // below the least
		"key_min_days":                     {KeyMinDays: n(36501)},
		"key_max_days":                     {KeyMinDays: n(800)}, // above the most
		"retention_reference":              {RetentionReference: n(0)},
		"retention_never":                  {RetentionNever: new("some")},
		"keys_mode":                        {KeysMode: new("")},
		"fetch_ports":                      {FetchPorts: new([]int64{80, 65536})},
		"fetch_deny":                       {FetchDeny: new([]string{"192.0.2.0/24", ""})},
		"cors_origins":                     {CORSOrigins: new(make([]string, originsMax+1))},
		"flush_millis":                     {FlushMillis: n(0)},
		"flush_count":                      {FlushCount: n(0)},
		"rates.write_addr.per_second":      {Rates: &Paste69RatesPatch{WriteAddr: &Rate{PerSecond: -1}}},
		"rates.write_key.burst":            {Rates: &Paste69RatesPatch{WriteKey: &Rate{PerSecond: 5}}},
		"rates.read_addr.burst":            {Rates: &Paste69RatesPatch{ReadAddr: &Rate{PerSecond: 5, Burst: rateMax + 1}}},
		"rates.read_key.per_second":        {Rates: &Paste69RatesPatch{ReadKey: &Rate{PerSecond: rateMax + 1, Burst: 5}}},
		"rates.key_requests_per_hour":      {Rates: &Paste69RatesPatch{KeyRequestsPerHour: n(-1)}},
		"rates.key_requests_per_day_email": {Rates: &Paste69RatesPatch{KeyRequestsPerDayEmail: n(-1)}},
		"rates.wrong_secrets_per_minute":   {Rates: &Paste69RatesPatch{WrongSecretsPerMinute: n(-1)}},
	} {
		r := w.do(Header{}, SetSettings{Patch: SettingsPatch{Paste69: &p}})
		if r.Err == nil || r.Err.Kind != storage.KindInvalid || r.Err.Field != "paste69."+field {
			t.Errorf("%s: %+v, field %q", field, r.Err, r.Err.Field)
		}
	}
	equal(t, "defaults", w.f.Settings().Paste69, DefaultPaste69())
	equal(t, "rates that are off", w.do(Header{}, SetSettings{Patch: SettingsPatch{Paste69: &Paste69Patch{
		Rates: &Paste69RatesPatch{WriteAddr: &Rate{}},
	}}}).Err, (*storage.Error)(nil))
	want := DefaultPaste69()
	want.Rates.WriteAddr = Rate{}
	equal(t, "one member of the rates", w.f.Settings().Paste69, want)

	// Each member of a patch is the one of the settings, by its name.
	w.must(SetSettings{Patch: SettingsPatch{Paste69: goldenPaste69()}})
	patched, err := json.Marshal(w.f.Settings().Paste69)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := json.Marshal(goldenPaste69())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "patched", string(patched), string(patch))
	if err := restore(w.f, snapshotOf(t, w.f)); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(w.f.Settings().Paste69)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "restored", string(again), string(patch))
}

// Settings that were stored before there was this dialect get its defaults.
func TestPaste69SettingsOfOldClusters(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	type old struct {
		MaxUploadBytes int64 `cbor:"1,keyasint"`
		Copies         int   `cbor:"9,keyasint"`
		Grace          int64 `cbor:"45,keyasint"`
	}
	w.poke(func(x *tx) error {
		return write(x, single(singleSettings), old{MaxUploadBytes: 1, Copies: 3, Grace: 60})
	})
	w.must(RemoveNode{ID: "n3"}) // reads them again
	equal(t, "settings", w.f.Settings().Paste69, DefaultPaste69())
	w.must(SetSettings{Patch: SettingsPatch{Paste69: &Paste69Patch{Enabled: new(false)}}})
	want := DefaultPaste69()
	want.Enabled = false
	equal(t, "changed", w.f.Settings().Paste69, want)
}
