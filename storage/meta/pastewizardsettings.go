package meta

// PasteWizardSettings are the policy of the PasteWizard dialect.
type PasteWizardSettings struct {
	ContentMaxBytes  int64 `cbor:"1,keyasint" json:"content_max_bytes"`
	RateLimitDefault int64 `cbor:"2,keyasint" json:"rate_limit_default"` // requests a minute of a token that is made without a limit; 0: no limit
	ExpiredKeepDays  int64 `cbor:"3,keyasint" json:"expired_keep_days"`  // for which it is told that a paste has expired
	LogRetentionDays int64 `cbor:"4,keyasint" json:"log_retention_days"`

	BaseURL string `cbor:"5,keyasint" json:"base_url"` // that URLs begin with; empty: what the request was sent to
	CORS    bool   `cbor:"6,keyasint" json:"cors"`
}

// DefaultPasteWizard are the settings of a new cluster, and of one from before there was this dialect.
func DefaultPasteWizard() PasteWizardSettings {
	return PasteWizardSettings{ContentMaxBytes: 10 << 20, RateLimitDefault: 60, ExpiredKeepDays: 30, LogRetentionDays: 30, CORS: true}
}

// PasteWizardPatch changes the settings whose members are not nil.
type PasteWizardPatch struct {
	ContentMaxBytes  *int64 `cbor:"1,keyasint,omitempty" json:"content_max_bytes,omitempty"`
	RateLimitDefault *int64 `cbor:"2,keyasint,omitempty" json:"rate_limit_default,omitempty"`
	ExpiredKeepDays  *int64 `cbor:"3,keyasint,omitempty" json:"expired_keep_days,omitempty"`
	LogRetentionDays *int64 `cbor:"4,keyasint,omitempty" json:"log_retention_days,omitempty"`

	BaseURL *string `cbor:"5,keyasint,omitempty" json:"base_url,omitempty"`
	CORS    *bool   `cbor:"6,keyasint,omitempty" json:"cors,omitempty"`
}

func (s *PasteWizardSettings) patch(p *PasteWizardPatch) {
	if p == nil {
		return
	}
	patch(&s.ContentMaxBytes, p.ContentMaxBytes)
	patch(&s.RateLimitDefault, p.RateLimitDefault)
	patch(&s.ExpiredKeepDays, p.ExpiredKeepDays)
	patch(&s.LogRetentionDays, p.LogRetentionDays)
	patch(&s.BaseURL, p.BaseURL)
	patch(&s.CORS, p.CORS)
}

// noteMaxMost bounds content_max_bytes: content is in memory.
const noteMaxMost = 64 << 20

func (s *PasteWizardSettings) check() error {
	return within("SetSettings", []limit{
		{"pastewizard.content_max_bytes", s.ContentMaxBytes, 1, noteMaxMost},
		{"pastewizard.rate_limit_default", s.RateLimitDefault, 0, TokenRateMax},
		{"pastewizard.expired_keep_days", s.ExpiredKeepDays, 0, daysAheadMax},
		{"pastewizard.log_retention_days", s.LogRetentionDays, 1, daysAheadMax},
		{"pastewizard.base_url", int64(len(s.BaseURL)), 0, urlMaxBytes}, // the proposer has parsed it
	})
}
