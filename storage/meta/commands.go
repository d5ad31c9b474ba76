package meta

import "ringbin/storage"

// RequestID names one command for ever: the FSM does at most one thing under it (I8).
type RequestID [16]byte

// Actor is who a command acts for: Apply refuses it when the key is revoked or
// expired, or the account disabled, at that point of the log. Both empty: the
// operator, or the cluster itself.
type Actor struct {
	Account string `cbor:"1,keyasint,omitempty"`
	Key     string `cbor:"2,keyasint,omitempty"` // key id
}

// Idempotency is a client's Idempotency-Key, hashed, and what request it was sent with.
type Idempotency struct {
	Scope       string   `cbor:"1,keyasint"` // the account's id, or "operator"
	Key         [32]byte `cbor:"2,keyasint"`
	Fingerprint [32]byte `cbor:"3,keyasint"`
}

// Header goes before every command.
type Header struct {
	ID       RequestID    `cbor:"1,keyasint"`
	NotAfter int64        `cbor:"2,keyasint"` // FSM time after which Apply refuses it; 0: never
	Actor    Actor        `cbor:"3,keyasint"`
	Idem     *Idempotency `cbor:"4,keyasint,omitempty"`
}

// Command is one change of the replicated metadata. The set is closed: the
// structs of this file, and of those that hold all there is of one subject.
type Command interface{ commandType() commandType }

// Result is what became of a command. With Err nothing was changed.
type Result struct {
	Err      *storage.Error
	Value    any // the command's success value, by value
	Replayed bool
	Index    uint64
}

// Tick is the first command of a leader's term: once its own FSM applied it,
// that FSM has all that earlier leaders committed.
type Tick struct{}

// CreateAccount makes an account; its value is an [Account].
type CreateAccount struct {
	ID           string `cbor:"1,keyasint"`
	Email        string `cbor:"2,keyasint"`
	Name         string `cbor:"3,keyasint"`
	BalanceCents int64  `cbor:"4,keyasint,omitempty"` // opening balance, a deposit entry when above 0
	EntryID      string `cbor:"5,keyasint,omitempty"`

	Numbered bool `cbor:"6,keyasint,omitempty"` // it gets its number at once: commands from before there were numbers do not say so
}

// UpdateAccount changes the members that are not nil; its value is an [Account].
type UpdateAccount struct {
	ID         string  `cbor:"1,keyasint"`
	Disabled   *bool   `cbor:"2,keyasint,omitempty"`
	Name       *string `cbor:"3,keyasint,omitempty"`
	Email      *string `cbor:"4,keyasint,omitempty"`
	QuotaBytes *int64  `cbor:"5,keyasint,omitempty"`
	Admin      *bool   `cbor:"6,keyasint,omitempty"`
}

// Deposit credits an account, once for each Reference for ever; its value is a [DepositResult].
type Deposit struct {
	EntryID     string `cbor:"1,keyasint"`
	Account     string `cbor:"2,keyasint"`
	AmountCents int64  `cbor:"3,keyasint"`
	Reference   string `cbor:"4,keyasint"`
}

// DepositResult is the value of a Deposit.
type DepositResult struct {
	EntryID           string `cbor:"1,keyasint"`
	Account           string `cbor:"2,keyasint"`
	AmountCents       int64  `cbor:"3,keyasint"`
	BalanceAfterCents int64  `cbor:"4,keyasint"`
	Reference         string `cbor:"5,keyasint"`
	Created           int64  `cbor:"6,keyasint"`
}

// CreateKey adds a key; its value is a [Key].
type CreateKey struct {
	ID            string   `cbor:"1,keyasint"`
	Account       string   `cbor:"2,keyasint"`
	API           string   `cbor:"3,keyasint"`
	Name          string   `cbor:"4,keyasint"`
	Hash          [32]byte `cbor:"5,keyasint"`
	Days          int      `cbor:"6,keyasint"` // until it expires; 0: never
	Scopes        []string `cbor:"7,keyasint,omitempty"`
	RatePerMinute int64    `cbor:"8,keyasint,omitempty"`
}

// RevokeKey revokes a key, again as often as asked; its value is a [Key].
type RevokeKey struct {
	Account string `cbor:"1,keyasint"`
	ID      string `cbor:"2,keyasint"`
}

// TouchKeys notes when keys were last used. It has no value.
type TouchKeys struct {
	Used []KeyUse `cbor:"1,keyasint"`
}

// KeyUse is when a key was last used.
type KeyUse struct {
	ID   string `cbor:"1,keyasint"`
	Time int64  `cbor:"2,keyasint"`
}

// CommitUpload creates or lengthens an account's reference and charges for it,
// when the receipts prove that the bytes are safe. Its value is an [UploadResult].
type CommitUpload struct {
	Account     string            `cbor:"1,keyasint"` // empty: an anonymous upload, free and counted against their common quota
	CID         storage.CID       `cbor:"2,keyasint"`
	Days        int               `cbor:"3,keyasint"`
	ContentType string            `cbor:"4,keyasint"`
	Receipts    []storage.Receipt `cbor:"5,keyasint,omitempty"` // none for inline content
	EntryID     string            `cbor:"6,keyasint"`
}

// UploadResult is the value of a CommitUpload.
type UploadResult struct {
	CID          storage.CID `cbor:"1,keyasint"`
	CostCents    int64       `cbor:"2,keyasint"`
	BalanceCents int64       `cbor:"3,keyasint"` // after it
	Existing     bool        `cbor:"4,keyasint"` // the account held a live reference before
	Uploaded     int64       `cbor:"5,keyasint"`
	Expires      int64       `cbor:"6,keyasint"`
}

// Extend lengthens an account's own live reference; its value is an [ExtendResult].
type Extend struct {
	Account string      `cbor:"1,keyasint"`
	CID     storage.CID `cbor:"2,keyasint"`
	Days    int         `cbor:"3,keyasint"`
	EntryID string      `cbor:"4,keyasint"`
}

// ExtendResult is the value of an Extend.
type ExtendResult struct {
	CID          storage.CID `cbor:"1,keyasint"`
	CostCents    int64       `cbor:"2,keyasint"`
	BalanceCents int64       `cbor:"3,keyasint"`
	Expires      int64       `cbor:"4,keyasint"`
	Days         int         `cbor:"5,keyasint"`
}

// DeleteReference removes an account's own live reference; its value is a [DeleteResult].
type DeleteReference struct {
	Account string      `cbor:"1,keyasint"`
	CID     storage.CID `cbor:"2,keyasint"`
}

// DeleteResult is the value of a DeleteReference.
type DeleteResult struct {
	CID    storage.CID `cbor:"1,keyasint"`
	Exists bool        `cbor:"2,keyasint"` // still readable: by others' references, or inline
}

// BlockContent takes a CID down, or allows it again; its value is a [BlockResult].
// From the block on the content counts as dead: it is not served, not taken in
// again, and after the grace it loses its references, without a refund, and is
// condemned. Allowed again within the grace it is as it was.
type BlockContent struct {
	CID    storage.CID `cbor:"1,keyasint"`
	Block  bool        `cbor:"2,keyasint"`
	Reason string      `cbor:"3,keyasint"`
}

// BlockResult is the value of a BlockContent.
type BlockResult struct {
	CID     storage.CID `cbor:"1,keyasint"`
	Blocked bool        `cbor:"2,keyasint"`
}

// Sweep removes references that have expired, at most Limit; its value is a [SweepResult].
type Sweep struct {
	Limit int `cbor:"1,keyasint"`
}

// SweepResult is the value of a Sweep.
type SweepResult struct {
	Removed int  `cbor:"1,keyasint"`
	More    bool `cbor:"2,keyasint"`
}

// PutNode writes a member into the address book; its value is a [Node].
type PutNode struct {
	Node Node `cbor:"1,keyasint"`
}

// RemoveNode takes a member out of the address book. Its id is refused from
// then on (I15). It has no value.
type RemoveNode struct {
	ID storage.NodeID `cbor:"1,keyasint"`
}

// SetRing proposes a ring, computed from the one of version From (0: none).
// The first one holds at once, a later one becomes the next ring. It has no value.
type SetRing struct {
	From uint64       `cbor:"1,keyasint"`
	Ring storage.Ring `cbor:"2,keyasint"`
}

// RingSynced is a node's word that it holds all that the next ring gives it.
// When every owner has said so, next becomes current. It has no value.
type RingSynced struct {
	Node        storage.NodeID `cbor:"1,keyasint"`
	Incarnation uint64         `cbor:"2,keyasint"`
	Version     uint64         `cbor:"3,keyasint"`
}

// AbortRing drops the next ring of that version. It has no value.
type AbortRing struct {
	Version uint64 `cbor:"1,keyasint"`
}

// PartitionsSynced is a node's word that it holds all that was committed of
// partitions which the next ring gives it, up to an index at or after that
// ring's SetRing. A partition whose owners have said enough is handed over;
// with the last one next becomes current. Its value is a [Handover].
type PartitionsSynced struct {
	Node        storage.NodeID `cbor:"1,keyasint"`
	Incarnation uint64         `cbor:"2,keyasint"`
	Version     uint64         `cbor:"3,keyasint"`
	Partitions  PartitionSet   `cbor:"4,keyasint"` // none: only look whether anything is left to hand over
}

// HoldRing drops the next ring, if there is one, and has no other proposed
// until the hold is taken away or the members change. It has no value.
type HoldRing struct {
	Hold bool `cbor:"1,keyasint"`
}

// DrainNode marks a member as leaving, or takes the mark away: a ring that is
// computed from then on gives it nothing. It has no value.
type DrainNode struct {
	ID    storage.NodeID `cbor:"1,keyasint"`
	Drain bool           `cbor:"2,keyasint"`
	Force bool           `cbor:"3,keyasint"` // leave even while other members do not answer
}

// ReplaceNode notes that a member comes in the place of a dead one of the same
// name, or, with Cancel, that the dead one is not dead. It has no value.
type ReplaceNode struct {
	Old    storage.NodeID `cbor:"1,keyasint"`
	New    storage.NodeID `cbor:"2,keyasint"`
	Cancel bool           `cbor:"3,keyasint"`
}

// SetSettings changes settings; its value is the new [Settings].
type SetSettings struct {
	Patch SettingsPatch `cbor:"1,keyasint"`
}

// Condemn gives up dead content that has had its grace, at most 500 CIDs: those
// that owners may erase then, in copies of a generation below this entry's
// index. Apply passes over what is alive again, or not dead for long enough.
// Its value is a [CondemnResult].
type Condemn struct {
	CIDs []storage.CID `cbor:"1,keyasint"`
}

// CondemnResult is the value of a Condemn.
type CondemnResult struct {
	Condemned int  `cbor:"1,keyasint"`
	Dropped   int  `cbor:"2,keyasint"` // references of content that was taken down
	More      bool `cbor:"3,keyasint"` // some are left, of content that this command named
}

// DropTombstones forgets condemned content once no receipt can be around that
// its record would have to refuse, at most Limit of it. Its value is a
// [DropResult].
type DropTombstones struct {
	Limit int `cbor:"1,keyasint"`
}

// DropResult is the value of a DropTombstones.
type DropResult struct {
	Dropped int  `cbor:"1,keyasint"`
	More    bool `cbor:"2,keyasint"`
}
