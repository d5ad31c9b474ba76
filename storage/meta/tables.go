package meta

import (
	"encoding/binary"

	"ringbin/storage"
)

// The tables. The first byte of a key is its table. Tables of content are keyed
// by CID first, so that they can be split by partition one day; those of
// accounts and money are not.
const (
	tableAccounts     byte = 0x01 // id -> Account
	tableEmails       byte = 0x02 // lower-case email -> account id
	tableKeys         byte = 0x03 // id -> Key
	tableKeyHashes    byte = 0x04 // SHA-256 of the secret -> key id
	tableKeysOf       byte = 0x05 // account, api, key id
	tableRefs         byte = 0x06 // cid, kind, holder -> refRecord; of content that has several references
	tableRefsOf       byte = 0x07 // account, kind, newest upload first, cid; uploads only
	tableRefsUploaded byte = 0x08 // cid, kind, uploaded, account; uploads in tableRefs only
	tableRefsExpiring byte = 0x09 // cid, kind, expires, holder; of those in tableRefs
	tableExpiry       byte = 0x0a // expires, cid, kind, holder
	tableBlobs        byte = 0x0b // cid -> blobRecord, with its only reference
	tableEntries      byte = 0x0c // entry id -> Entry
	tableEntriesOf    byte = 0x0d // account, index, ordinal -> entry id
	tableNatural      byte = 0x0e // natural id that is not the entry's own -> entry id
	tableRequests     byte = 0x0f // request id -> place of its answer
	tableAnswers      byte = 0x10 // index -> forget time, the entry's request ids and their answers
	tableIdem         byte = 0x11 // scope, key -> storedResult
	tableIdemAge      byte = 0x12 // forget time, scope, key
	tableNodes        byte = 0x13 // node id -> Node
	tableRemoved      byte = 0x14 // node id -> time
	tableSingles      byte = 0x15 // name -> one record
	tableTakedowns    byte = 0x16 // index, cid -> takedown

	tableSynced     byte = 0x20 // node id -> partitionsRecord
	tableDraining   byte = 0x21 // node id -> Drain
	tableReplacing  byte = 0x22 // id of a dead member -> id of who comes in its place
	tableDead       byte = 0x24 // dead since, cid: content that waits to be condemned
	tableTombstones byte = 0x25 // condemned at, cid: records that wait to be dropped

	tablePastes    byte = 0x30 // id -> Paste
	tablePastesOf  byte = 0x31 // account, newest first, id
	tableLinks     byte = 0x32 // id -> Link
	tableLinksOf   byte = 0x33 // account, newest first, id
	tableIssued    byte = 0x34 // id of a paste, short link or note, or code of a note, that is or was: none is issued twice
	tableClicks    byte = 0x35 // link, day -> dayRecord; link, day, sort of name, name -> count
	tableVisitors  byte = 0x36 // day, link, hash
	tableSalts     byte = 0x37 // day -> Salt
	tablePending   byte = 0x38 // SHA-256 of the token -> KeyRequest
	tablePendingOf byte = 0x39 // lower-case email -> SHA-256 of the token
	tableDue       byte = 0x3a // time, sort of end, what ends; all that ends but references

	tableBins          byte = 0x40 // id -> Bin
	tableBinsOf        byte = 0x41 // account, collection, id
	tableBinVersions   byte = 0x42 // bin, clearings, number -> versionRecord
	tableBinAccounts   byte = 0x43 // account -> binAccount
	tableCollections   byte = 0x44 // id -> Collection
	tableCollectionsOf byte = 0x45 // account, id
	tableSchemaDocs    byte = 0x46 // id -> SchemaDoc

	tableNotes          byte = 0x50 // hash -> Note
	tableNoteCodes      byte = 0x51 // short code -> hash
	tableTokens         byte = 0x52 // number -> key id
	tableAccountNumbers byte = 0x53 // number -> account id
	tableSessions       byte = 0x54 // SHA-256 of the secret -> Session
	tableSessionsOf     byte = 0x55 // key id, SHA-256 of the secret

	// tableLocal is this node's own: not hashed, not compared.
	tableLocal byte = 0xf0
)

// Names in tableSingles and tableLocal.
const (
	singleTime     = "time"
	singleSettings = "settings"
	singleRing     = "ring"
	singleNextRing = "next-ring"
	singleSynced   = "synced"
	singleRingNote = "ring-note"
	singleCounts   = "counts"
	singleFloor    = "condemn-floor"
	singleUnpaid   = "anonymous-used" // stored bytes that anonymous references name, together

	singleGraceSince = "grace-since" // FSM time when the grace of deletion last changed

	singleAccountNumber = "account-number" // the last one that was given
	singleTokenNumber   = "token-number"   // the same

	localApplied = "applied" // index, term
	localHashes  = "hashes"  // tableHashes
	localHistory = "history" // + index -> state hash
)

// A keyBuilder makes keys of parts. Strings end in a zero byte, which no id
// holds; numbers are big-endian; CIDs tell their own length.
type keyBuilder []byte

func key(table byte) keyBuilder { return append(make(keyBuilder, 0, 128), table) }

func (k keyBuilder) str(s string) keyBuilder { return append(append(k, s...), 0) }

func (k keyBuilder) raw(b []byte) keyBuilder { return append(k, b...) }

func (k keyBuilder) byte(b byte) keyBuilder { return append(k, b) }

func (k keyBuilder) cid(c storage.CID) keyBuilder {
	b, _ := c.AppendBinary(k) // never fails
	return b
}

func (k keyBuilder) u64(v uint64) keyBuilder { return binary.BigEndian.AppendUint64(k, v) }

// time appends a time so that earlier ones sort first; times are after 1970.
func (k keyBuilder) time(ms int64) keyBuilder { return k.u64(uint64(ms)) }

// day appends a day since 1970.
func (k keyBuilder) day(d int32) keyBuilder { return binary.BigEndian.AppendUint32(k, uint32(d)) }

// timeDesc appends a time so that later ones sort first.
func (k keyBuilder) timeDesc(ms int64) keyBuilder { return k.u64(^uint64(ms)) }

func single(name string) []byte { return key(tableSingles).str(name) }

func local(name string) []byte { return key(tableLocal).str(name) }

// past returns the smallest key above all that begin with prefix.
func past(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// blobRecord is what the catalogue keeps of a CID.
type blobRecord struct {
	ContentType string `cbor:"1,keyasint,omitempty"`
	References  int64  `cbor:"2,keyasint,omitempty"` // those not swept yet included
	// DeadSince is when the last reference went, or the content was taken down:
	// until it is condemned for that. It is 0 for all that does not wait for it.
	DeadSince int64  `cbor:"3,keyasint,omitempty"`
	Blocked   bool   `cbor:"4,keyasint,omitempty"`
	Condemned uint64 `cbor:"5,keyasint,omitempty"` // index of the last Condemn
	// Buried is when the content was condemned, while nothing but that is known
	// of it: some time later the record is dropped. 0 for all other content.
	Buried int64 `cbor:"6,keyasint,omitempty"`
	// Only is the reference of content that never had two at once since it had none.
	Only onlyRef `cbor:"7,keyasint,omitzero"`
}

// takedown is the audit record of a BlockContent.
type takedown struct {
	Block  bool   `cbor:"1,keyasint"`
	Reason string `cbor:"2,keyasint"`
	Time   int64  `cbor:"3,keyasint"`
}

// Counts are how many of each there are.
type Counts struct {
	Accounts   int64 `cbor:"1,keyasint" json:"accounts"`
	Keys       int64 `cbor:"2,keyasint" json:"keys"`
	References int64 `cbor:"3,keyasint" json:"references"`
	Entries    int64 `cbor:"4,keyasint" json:"entries"`
	Blobs      int64 `cbor:"5,keyasint" json:"blobs"`

	Pastes      int64 `cbor:"6,keyasint,omitempty" json:"pastes"`
	Links       int64 `cbor:"7,keyasint,omitempty" json:"links"`
	KeyRequests int64 `cbor:"8,keyasint,omitempty" json:"key_requests"`

	Bins        int64 `cbor:"11,keyasint,omitempty" json:"bins"`
	Collections int64 `cbor:"12,keyasint,omitempty" json:"collections"`
	SchemaDocs  int64 `cbor:"13,keyasint,omitempty" json:"schema_docs"`

	Notes int64 `cbor:"14,keyasint,omitempty" json:"notes"` // those burned or expired included
}

// syncedRecord says who holds all that the next ring gives them.
type syncedRecord struct {
	Version uint64           `cbor:"1,keyasint"`
	Nodes   []storage.NodeID `cbor:"2,keyasint"` // sorted
}
