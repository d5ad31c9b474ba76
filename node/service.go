package node

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"ringbin/storage"
	"ringbin/storage/meta"
)

//revive:disable:exported aliases are documented where they are made

// Records of the metadata as Service hands them out. Times are FSM time in Unix milliseconds.
type (
	Account       = meta.Account
	Key           = meta.Key
	Reference     = meta.Reference
	HistoryEntry  = meta.HistoryEntry
	DepositResult = meta.DepositResult
	UploadResult  = meta.UploadResult
	ExtendResult  = meta.ExtendResult
	DeleteResult  = meta.DeleteResult
	BlockResult   = meta.BlockResult
	Takedown      = meta.Takedown
	Settings      = meta.Settings
	SettingsPatch = meta.SettingsPatch
	Paste69Patch  = meta.Paste69Patch

	Paste69Settings = meta.Paste69Settings

	Paste   = meta.Paste
	Link    = meta.Link
	LinkDay = meta.LinkDay

	PasteWizardSettings = meta.PasteWizardSettings
	PasteWizardPatch    = meta.PasteWizardPatch

	JSONBinSettings = meta.JSONBinSettings
	JSONBinPatch    = meta.JSONBinPatch
	Bin             = meta.Bin
	UpdatedBin      = meta.BinUpdate
	ClearedVersions = meta.Cleared
	Collection      = meta.Collection
	SchemaDoc       = meta.SchemaDoc
)

//revive:enable:exported

// The dialects, as key records name them. A key works in its own dialect only.
const (
	APIHashBin     = "hashbin"
	APIPaste69     = "paste69"
	APIJSONBin     = "jsonbin"
	APIPasteWizard = "pastewizard"
)

// Service is every use case and every policy once. A dialect parses, calls it and renders.
type Service struct {
	n       *Node
	logger  *slog.Logger
	rates   *rates
	counts  *counts
	mails   *mailer
	places  *countries
	uploads chan struct{} // one place for each upload on its way

	records *semaphore.Weighted // bytes of records of bins in memory
	blocks  *requestBlocks      // requests of JSONBin that are reserved for this node

	windows *windows       // limits of a minute, as this node asks for them
	counter *windowCounter // and as it counts them for others
	silent  *silences      // counters that do not answer

	mu       sync.Mutex // protects inFlight
	inFlight map[idemID]struct{}
}

// idemID is one Idempotency-Key of one scope.
type idemID struct {
	scope string
	key   [32]byte
}

// Page is a page of a list.
type Page[T any] struct {
	Items []T
	Next  string // cursor; "" on the last page
}

// Limits of Service.
const (
	uploadsMax = 256 // uploads on their way through one node
	pageMax    = 100 // entries of a page
)

func newService(n *Node) *Service {
	s := &Service{
		n: n, logger: n.logger, rates: newRates(), counts: newCounts(n), mails: newMailer(n.cfg), places: &countries{},
		uploads: make(chan struct{}, uploadsMax), inFlight: map[idemID]struct{}{},
		records: semaphore.NewWeighted(recordsHeldMax), blocks: newRequestBlocks(),
		counter: newWindowCounter(), silent: &silences{all: map[storage.NodeID]*silence{}},
	}
	s.windows = &windows{ask: s.askCounter, wall: s.now, nodes: n.servingNodes, keys: map[string]*spending{}}
	return s
}

// Settings returns the settings that this node has applied.
func (s *Service) Settings() Settings { return s.n.fsm.Settings() }

// Config returns the node's own configuration, without secrets.
func (s *Service) Config() Config {
	c := s.n.cfg
	c.Secret, c.SMTP.Password = nil, ""
	return c
}

// Logger is where whoever serves this node logs.
func (s *Service) Logger() *slog.Logger { return s.logger }

// Metrics is where the node's numbers are registered; api adds its own.
func (s *Service) Metrics() *prometheus.Registry { return s.n.registry }

// Now is wall time in Unix milliseconds: what expiry is judged by.
func (s *Service) Now() int64 { return s.now() }

func (s *Service) now() int64 { return s.n.wallTime() }
