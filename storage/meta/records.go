package meta

import "ringbin/storage"

// All times in records are FSM time in Unix milliseconds unless a name says otherwise.

// Account is who owns references and pays for them.
type Account struct {
	ID           string `cbor:"1,keyasint"`
	Email        string `cbor:"2,keyasint"`
	Name         string `cbor:"3,keyasint"`
	BalanceCents int64  `cbor:"4,keyasint"` // the fold of the account's ledger entries (I5), never below zero (I6)
	Disabled     bool   `cbor:"5,keyasint,omitempty"`
	Created      int64  `cbor:"6,keyasint"`
	QuotaBytes   int64  `cbor:"7,keyasint,omitempty"` // 0: the setting's default holds
	UsedBytes    int64  `cbor:"8,keyasint,omitempty"` // stored bytes that its references name
	// Claimed is the address that nobody has verified, of an account without Email.
	Claimed string `cbor:"9,keyasint,omitempty"`
	Pastes  int64  `cbor:"10,keyasint,omitempty"` // that it owns, those not swept yet included
	Links   int64  `cbor:"11,keyasint,omitempty"`

	Number int64 `cbor:"12,keyasint,omitempty"` // what PasteWizard calls it, from 1, never reused; 0: it has none yet
	Admin  bool  `cbor:"13,keyasint,omitempty"` // its role in PasteWizard
	Notes  int64 `cbor:"14,keyasint,omitempty"` // that have content, those not swept yet included
}

// Key is what a request authenticates with. The secret itself is nowhere: only its SHA-256.
type Key struct {
	ID            string   `cbor:"1,keyasint"`
	Account       string   `cbor:"2,keyasint"`
	API           string   `cbor:"3,keyasint"` // the one dialect in which it works
	Name          string   `cbor:"4,keyasint"`
	Hash          [32]byte `cbor:"5,keyasint"`
	Created       int64    `cbor:"6,keyasint"`
	Expires       int64    `cbor:"7,keyasint"`           // 0: never
	Revoked       int64    `cbor:"8,keyasint,omitempty"` // 0: not revoked
	LastUsed      int64    `cbor:"9,keyasint,omitempty"` // 0: not used yet; approximate
	Scopes        []string `cbor:"10,keyasint,omitempty"`
	RatePerMinute int64    `cbor:"11,keyasint,omitempty"` // 0: the setting's default holds, but for a token: it has no limit then

	Sealed []byte `cbor:"12,keyasint,omitempty"` // the secret of an access key of JSONBin, which its owner may see again

	Number int64 `cbor:"13,keyasint,omitempty"` // of a token of PasteWizard, from 1, never reused
}

// Blob is what the catalogue says of content, over all its references.
type Blob struct {
	CID         storage.CID
	ContentType string
	Uploaded    int64 // of the earliest live upload
	Expires     int64 // of the live upload that lasts longest
	Shown       bool  // at least one live upload: content that only pastes know is not shown by its CID
	Alive       bool  // at least one live reference of any kind
	Blocked     bool  // taken down: refused and not served
	Condemned   uint64
}

// Reference is what one account holds on one CID.
type Reference struct {
	CID         storage.CID
	Account     string
	ContentType string
	Uploaded    int64
	Expires     int64
}

// HistoryEntry is a ledger entry as its customer sees it.
type HistoryEntry struct {
	ID                string
	Type              string // deposit, upload_payment, cid_extension
	AmountCents       int64  // negative for spending
	BalanceAfterCents int64
	CID               *storage.CID
	Created           int64
}

// Node is a member as the cluster's address book has it.
type Node struct {
	ID          storage.NodeID `cbor:"1,keyasint"`
	Name        string         `cbor:"2,keyasint"`
	Incarnation uint64         `cbor:"3,keyasint"`
	RPC         string         `cbor:"4,keyasint"` // host:port
	Gossip      string         `cbor:"5,keyasint"`
	HTTP        string         `cbor:"6,keyasint"`
	Zone        string         `cbor:"7,keyasint,omitempty"`
	Capacity    uint64         `cbor:"8,keyasint"`
	Version     string         `cbor:"9,keyasint,omitempty"`
}

// Settings are the cluster's policy, changed by command only.
type Settings struct {
	MaxUploadBytes      int64    `cbor:"1,keyasint" json:"max_upload_bytes"`
	PriceCentsPerGiB    int64    `cbor:"2,keyasint" json:"price_cents_per_gib_month"`
	RateKeyPerMinute    int64    `cbor:"3,keyasint" json:"rate_limit_key_per_minute"` // 0: off
	RateIPPerMinute     int64    `cbor:"4,keyasint" json:"rate_limit_ip_per_minute"`  // 0: off
	CORSOrigins         []string `cbor:"5,keyasint,omitempty" json:"cors_origins"`
	AdminAPI            bool     `cbor:"6,keyasint" json:"admin_api"`
	QuotaBytes          int64    `cbor:"7,keyasint" json:"quota_bytes"`           // per account; 0: none
	AnonymousQuotaBytes int64    `cbor:"8,keyasint" json:"anonymous_quota_bytes"` // all anonymous uploads together; 0: none
	Copies              int      `cbor:"9,keyasint" json:"copies"`                // R where there are nodes enough
	VoterTarget         int      `cbor:"10,keyasint" json:"voter_target"`         // 0: by the number of nodes

	// DeletionGraceSeconds is how long dead content is kept before it is condemned, and bytes
	// that nothing refers to before they go; in FSM time.
	DeletionGraceSeconds int64 `cbor:"45,keyasint" json:"deletion_grace_seconds"`

	Paste69 Paste69Settings `cbor:"46,keyasint" json:"paste69"`

	JSONBin JSONBinSettings `cbor:"47,keyasint" json:"jsonbin"`

	PasteWizard PasteWizardSettings `cbor:"48,keyasint" json:"pastewizard"`
}

// DefaultSettings are those of a new cluster.
func DefaultSettings() Settings {
	return Settings{
		MaxUploadBytes:   5 << 30,
		PriceCentsPerGiB: 3,
		RateIPPerMinute:  6000,
		AdminAPI:         true,
		Copies:           3,

		DeletionGraceSeconds: 24 * 60 * 60,

		Paste69: DefaultPaste69(),

		JSONBin: DefaultJSONBin(),

		PasteWizard: DefaultPasteWizard(),
	}
}

// SettingsPatch changes the settings whose members are not nil.
type SettingsPatch struct {
	MaxUploadBytes      *int64    `cbor:"1,keyasint,omitempty" json:"max_upload_bytes,omitempty"`
	PriceCentsPerGiB    *int64    `cbor:"2,keyasint,omitempty" json:"price_cents_per_gib_month,omitempty"`
	RateKeyPerMinute    *int64    `cbor:"3,keyasint,omitempty" json:"rate_limit_key_per_minute,omitempty"`
	RateIPPerMinute     *int64    `cbor:"4,keyasint,omitempty" json:"rate_limit_ip_per_minute,omitempty"`
	CORSOrigins         *[]string `cbor:"5,keyasint,omitempty" json:"cors_origins,omitempty"`
	AdminAPI            *bool     `cbor:"6,keyasint,omitempty" json:"admin_api,omitempty"`
	QuotaBytes          *int64    `cbor:"7,keyasint,omitempty" json:"quota_bytes,omitempty"`
	AnonymousQuotaBytes *int64    `cbor:"8,keyasint,omitempty" json:"anonymous_quota_bytes,omitempty"`
	Copies              *int      `cbor:"9,keyasint,omitempty" json:"copies,omitempty"`
	VoterTarget         *int      `cbor:"10,keyasint,omitempty" json:"voter_target,omitempty"`

	DeletionGraceSeconds *int64 `cbor:"45,keyasint,omitempty" json:"deletion_grace_seconds,omitempty"`

	Paste69 *Paste69Patch `cbor:"46,keyasint,omitempty" json:"paste69,omitempty"`

	JSONBin *JSONBinPatch `cbor:"47,keyasint,omitempty" json:"jsonbin,omitempty"`

	PasteWizard *PasteWizardPatch `cbor:"48,keyasint,omitempty" json:"pastewizard,omitempty"`
}
