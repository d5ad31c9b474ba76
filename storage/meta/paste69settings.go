package meta

import (
	"slices"

	"ringbin/storage"
)

// Paste69Settings are the policy of the Paste69 dialect.
type Paste69Settings struct {
	Enabled          bool `cbor:"1,keyasint" json:"enabled"`
	AnonymousUploads bool `cbor:"2,keyasint" json:"anonymous_uploads"`

	MaxUpload    int64 `cbor:"3,keyasint" json:"max_upload"`     // bytes of an anonymous paste
	MaxUploadKey int64 `cbor:"4,keyasint" json:"max_upload_key"` // bytes of a paste made with a key

	AnonymousMinDays   int64  `cbor:"5,keyasint" json:"anonymous_min_days"`
	AnonymousMaxDays   int64  `cbor:"6,keyasint" json:"anonymous_max_days"`
	KeyMinDays         int64  `cbor:"7,keyasint" json:"key_min_days"`
	KeyMaxDays         int64  `cbor:"8,keyasint" json:"key_max_days"`
	RetentionReference int64  `cbor:"9,keyasint" json:"retention_reference"` // size in bytes from which the least days hold
	RetentionNever     string `cbor:"10,keyasint" json:"retention_never"`    // who may keep things for ever: key, nobody, anyone

	KeysMode string `cbor:"11,keyasint" json:"keys_mode"` // how keys are given out without SMTP: closed, log, open

	FetchUploads bool     `cbor:"12,keyasint" json:"fetch_uploads"`
	FetchTitles  bool     `cbor:"13,keyasint" json:"fetch_titles"`
	FetchPorts   []int64  `cbor:"14,keyasint" json:"fetch_ports"`
	FetchDeny    []string `cbor:"15,keyasint" json:"fetch_deny"` // prefixes of addresses

	ServeHTML   bool     `cbor:"16,keyasint" json:"serve_html"`
	CORSOrigins []string `cbor:"17,keyasint" json:"cors_origins"`

	FlushMillis int64 `cbor:"18,keyasint" json:"flush_millis"` // how long clicks and views gather in memory,
	FlushCount  int64 `cbor:"19,keyasint" json:"flush_count"`  // and how many

	Rates Paste69Rates `cbor:"20,keyasint" json:"rates"`
}

// Paste69Rates are limits of requests, each node's own; 0: off.
type Paste69Rates struct {
	WriteAddr Rate `cbor:"1,keyasint" json:"write_addr"`
	WriteKey  Rate `cbor:"2,keyasint" json:"write_key"`
	ReadAddr  Rate `cbor:"3,keyasint" json:"read_addr"`
	ReadKey   Rate `cbor:"4,keyasint" json:"read_key"`

	KeyRequestsPerHour     int64 `cbor:"5,keyasint" json:"key_requests_per_hour"`      // of an address
	KeyRequestsPerDayEmail int64 `cbor:"6,keyasint" json:"key_requests_per_day_email"` // for an e-mail address
	WrongSecretsPerMinute  int64 `cbor:"7,keyasint" json:"wrong_secrets_per_minute"`   // of an address
}

// Rate is a token bucket.
type Rate struct {
	PerSecond int64 `cbor:"1,keyasint" json:"per_second"` // 0: off
	Burst     int64 `cbor:"2,keyasint" json:"burst"`
}

// prefixMax bounds the text of a prefix of addresses.
const prefixMax = 64

// DefaultPaste69 are the settings of a new cluster, and of one from before there was this dialect.
func DefaultPaste69() Paste69Settings {
	return Paste69Settings{
		Enabled:          true,
		AnonymousUploads: true,

		MaxUpload:    64 << 20,
		MaxUploadKey: 256 << 20,

		AnonymousMinDays:   7,
		AnonymousMaxDays:   128,
		KeyMinDays:         30,
		KeyMaxDays:         730,
		RetentionReference: 64 << 20,
		RetentionNever:     "key",

		KeysMode: "closed",

		FetchPorts: []int64{80, 443},
		FetchDeny:  []string{},

		CORSOrigins: []string{"*"},

		FlushMillis: 1000,
		FlushCount:  1000,

		Rates: Paste69Rates{
			WriteAddr: Rate{PerSecond: 10, Burst: 50},
			WriteKey:  Rate{PerSecond: 50, Burst: 200},
			ReadAddr:  Rate{PerSecond: 100, Burst: 400},
			ReadKey:   Rate{PerSecond: 200, Burst: 800},

			KeyRequestsPerHour:     20,
			KeyRequestsPerDayEmail: 5,
			WrongSecretsPerMinute:  60,
		},
	}
}

// Paste69Patch changes the settings whose members are not nil.
type Paste69Patch struct {
	Enabled          *bool `cbor:"1,keyasint,omitempty" json:"enabled,omitempty"`
	AnonymousUploads *bool `cbor:"2,keyasint,omitempty" json:"anonymous_uploads,omitempty"`

	MaxUpload    *int64 `cbor:"3,keyasint,omitempty" json:"max_upload,omitempty"`
	MaxUploadKey *int64 `cbor:"4,keyasint,omitempty" json:"max_upload_key,omitempty"`

	AnonymousMinDays   *int64  `cbor:"5,keyasint,omitempty" json:"anonymous_min_days,omitempty"`
	AnonymousMaxDays   *int64  `cbor:"6,keyasint,omitempty" json:"anonymous_max_days,omitempty"`
	KeyMinDays         *int64  `cbor:"7,keyasint,omitempty" json:"key_min_days,omitempty"`
	KeyMaxDays         *int64  `cbor:"8,keyasint,omitempty" json:"key_max_days,omitempty"`
	RetentionReference *int64  `cbor:"9,keyasint,omitempty" json:"retention_reference,omitempty"`
	RetentionNever     *string `cbor:"10,keyasint,omitempty" json:"retention_never,omitempty"`

	KeysMode *string `cbor:"11,keyasint,omitempty" json:"keys_mode,omitempty"`

	FetchUploads *bool     `cbor:"12,keyasint,omitempty" json:"fetch_uploads,omitempty"`
	FetchTitles  *bool     `cbor:"13,keyasint,omitempty" json:"fetch_titles,omitempty"`
	FetchPorts   *[]int64  `cbor:"14,keyasint,omitempty" json:"fetch_ports,omitempty"`
	FetchDeny    *[]string `cbor:"15,keyasint,omitempty" json:"fetch_deny,omitempty"`

	ServeHTML   *bool     `cbor:"16,keyasint,omitempty" json:"serve_html,omitempty"`
	CORSOrigins *[]string `cbor:"17,keyasint,omitempty" json:"cors_origins,omitempty"`

	FlushMillis *int64 `cbor:"18,keyasint,omitempty" json:"flush_millis,omitempty"`
	FlushCount  *int64 `cbor:"19,keyasint,omitempty" json:"flush_count,omitempty"`

	Rates *Paste69RatesPatch `cbor:"20,keyasint,omitempty" json:"rates,omitempty"`
}

// Paste69RatesPatch changes the rates whose members are not nil.
type Paste69RatesPatch struct {
	WriteAddr *Rate `cbor:"1,keyasint,omitempty" json:"write_addr,omitempty"`
	WriteKey  *Rate `cbor:"2,keyasint,omitempty" json:"write_key,omitempty"`
	ReadAddr  *Rate `cbor:"3,keyasint,omitempty" json:"read_addr,omitempty"`
	ReadKey   *Rate `cbor:"4,keyasint,omitempty" json:"read_key,omitempty"`

	KeyRequestsPerHour     *int64 `cbor:"5,keyasint,omitempty" json:"key_requests_per_hour,omitempty"`
	KeyRequestsPerDayEmail *int64 `cbor:"6,keyasint,omitempty" json:"key_requests_per_day_email,omitempty"`
	WrongSecretsPerMinute  *int64 `cbor:"7,keyasint,omitempty" json:"wrong_secrets_per_minute,omitempty"`
}

func (s *Paste69Settings) patch(p *Paste69Patch) {
	if p == nil {
		return
	}
	patch(&s.Enabled, p.Enabled)
	patch(&s.AnonymousUploads, p.AnonymousUploads)
	patch(&s.MaxUpload, p.MaxUpload)
	patch(&s.MaxUploadKey, p.MaxUploadKey)
	patch(&s.AnonymousMinDays, p.AnonymousMinDays)
	patch(&s.AnonymousMaxDays, p.AnonymousMaxDays)
	patch(&s.KeyMinDays, p.KeyMinDays)
	patch(&s.KeyMaxDays, p.KeyMaxDays)
	patch(&s.RetentionReference, p.RetentionReference)
	patch(&s.RetentionNever, p.RetentionNever)
	patch(&s.KeysMode, p.KeysMode)
	patch(&s.FetchUploads, p.FetchUploads)
	patch(&s.FetchTitles, p.FetchTitles)
	patch(&s.FetchPorts, p.FetchPorts)
	patch(&s.FetchDeny, p.FetchDeny)
	patch(&s.ServeHTML, p.ServeHTML)
	patch(&s.CORSOrigins, p.CORSOrigins)
	patch(&s.FlushMillis, p.FlushMillis)
	patch(&s.FlushCount, p.FlushCount)
	s.Rates.patch(p.Rates)
}

func (r *Paste69Rates) patch(p *Paste69RatesPatch) {
	if p == nil {
		return
	}
	patch(&r.WriteAddr, p.WriteAddr)
	patch(&r.WriteKey, p.WriteKey)
	patch(&r.ReadAddr, p.ReadAddr)
	patch(&r.ReadKey, p.ReadKey)
	patch(&r.KeyRequestsPerHour, p.KeyRequestsPerHour)
	patch(&r.KeyRequestsPerDayEmail, p.KeyRequestsPerDayEmail)
	patch(&r.WrongSecretsPerMinute, p.WrongSecretsPerMinute)
}

// Limits of the settings of Paste69.
const (
	flushMillisMax = 60_000 // a crash loses what has gathered
	flushCountMax  = 100_000
	fetchPortsMax  = 100
	fetchDenyMax   = 1000
)

func (s *Paste69Settings) check() error {
	const op = "SetSettings"
	limits := []limit{
		{"paste69.max_upload", s.MaxUpload, 1, storage.ContentMax},
		{"paste69.max_upload_key", s.MaxUploadKey, 1, storage.ContentMax},
		{"paste69.anonymous_min_days", s.AnonymousMinDays, 1, daysAheadMax},
		{"paste69.anonymous_max_days", s.AnonymousMaxDays, s.AnonymousMinDays, daysAheadMax},
		{"paste69.key_min_days", s.KeyMinDays, 1, daysAheadMax},
		{"paste69.key_max_days", s.KeyMaxDays, s.KeyMinDays, daysAheadMax},
		{"paste69.retention_reference", s.RetentionReference, 1, storage.ContentMax},
		{"paste69.fetch_ports", int64(len(s.FetchPorts)), 0, fetchPortsMax},
		{"paste69.fetch_deny", int64(len(s.FetchDeny)), 0, fetchDenyMax},
		{"paste69.cors_origins", int64(len(s.CORSOrigins)), 0, originsMax},
		{"paste69.flush_millis", s.FlushMillis, 1, flushMillisMax},
		{"paste69.flush_count", s.FlushCount, 1, flushCountMax},
	}
	for _, port := range s.FetchPorts {
		limits = append(limits, limit{"paste69.fetch_ports", port, 1, 65535})
	}
	if err := within(op, append(limits, s.Rates.limits()...)); err != nil {
		return err
	}
	if !slices.Contains([]string{"key", "nobody", "anyone"}, s.RetentionNever) {
		return refuseField(op, "paste69.retention_never", "key, nobody or anyone")
	}
	if !slices.Contains([]string{"closed", "log", "open"}, s.KeysMode) {
		return refuseField(op, "paste69.keys_mode", "closed, log or open")
	}
	for _, deny := range s.FetchDeny {
		if deny == "" || len(deny) > prefixMax { // the proposer has parsed it: what a library accepts must not decide here
			return refuseField(op, "paste69.fetch_deny", "prefixes of addresses, as 192.0.2.0/24")
		}
	}
	return nil
}

func (r *Paste69Rates) limits() []limit {
	all := []limit{
		{"paste69.rates.key_requests_per_hour", r.KeyRequestsPerHour, 0, rateMax},
		{"paste69.rates.key_requests_per_day_email", r.KeyRequestsPerDayEmail, 0, rateMax},
		{"paste69.rates.wrong_secrets_per_minute", r.WrongSecretsPerMinute, 0, rateMax},
	}
	for _, b := range []struct {
		name string
		rate Rate
	}{{"write_addr", r.WriteAddr}, {"write_key", r.WriteKey}, {"read_addr", r.ReadAddr}, {"read_key", r.ReadKey}} {
		least := min(b.rate.PerSecond, 1) // a bucket that holds nothing lets nothing through
		all = append(all,
			limit{"paste69.rates." + b.name + ".per_second", b.rate.PerSecond, 0, rateMax},
			limit{"paste69.rates." + b.name + ".burst", b.rate.Burst, least, rateMax})
	}
	return all
}
