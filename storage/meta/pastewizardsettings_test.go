package meta

import (
	"encoding/json"
	"strings"
	"testing"

	"ringbin/storage"
)

func TestPasteWizardSettings(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	defaults := DefaultPasteWizard()
	if err := defaults.check(); err != nil {
		t.Error(err)
	}
	n := func(v int64) *int64 { return &v }
	for field, p := range map[string]PasteWizardPatch{
		"content_max_bytes":  {ContentMaxBytes: n(noteMaxMost + 1)},
		"rate_limit_default": {RateLimitDefault: n(TokenRateMax + 1)},
		"expired_keep_days":  {ExpiredKeepDays: n(-1)},
		"log_retention_days": {LogRetentionDays: n(0)},
		"base_url":           {BaseURL: new(strings.Repeat("x", urlMaxBytes+1))},
	} {
		r := w.do(Header{}, SetSettings{Patch: SettingsPatch{PasteWizard: &p}})
		if r.Err == nil || r.Err.Kind != storage.KindInvalid || r.Err.Field != "pastewizard."+field {
			t.Errorf("%s: %+v", field, r.Err)
		}
	}
	equal(t, "defaults", w.f.Settings().PasteWizard, DefaultPasteWizard())

	// Each member of a patch is the one of the settings, by its name.
	w.must(SetSettings{Patch: SettingsPatch{PasteWizard: goldenPasteWizard()}})
	patch, err := json.Marshal(goldenPasteWizard())
	if err != nil {
		t.Fatal(err)
	}
	patched, err := json.Marshal(w.f.Settings().PasteWizard)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "patched", string(patched), string(patch))
}

// Settings that were stored before there was this dialect get its defaults.
func TestPasteWizardSettingsOfOldClusters(t *testing.T) {
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
	equal(t, "settings", w.f.Settings().PasteWizard, DefaultPasteWizard())
}
