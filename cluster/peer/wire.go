package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// Limits and deadlines of the RPC.
const (
	packBytesMax    = 8 << 20
	controlBytesMax = 64 << 10
	statBytesMax    = 256 << 10 // the CIDs of one question about many blobs
	replyBytesMax   = 4 << 20
	headerBytesMax  = 16 << 10

	blobsMax    = 256  // blob transfers that a server carries at once
	controlsMax = 4096 // control calls: apart, so that uploads never starve consensus

	proposeTimeout = 10 * time.Second
	controlTimeout = 5 * time.Second
	joinTimeout    = 15 * time.Second
	windowTimeout  = 200 * time.Millisecond // a request of a client's waits for it, and goes on without an answer
	headerTimeout  = 5 * time.Second
	idleTimeout    = 90 * time.Second
	progressWithin = 30 * time.Second // a blob that moves no byte for so long, or a little less, is given up
	rollEvery      = time.Second
	continueWithin = 2 * time.Second

	idlePerPeer = 256 // uploads that are answered together leave so many idle: to dial again is a handshake
)

// The paths.
const (
	pathBlob      = "/blob/"    // PUT, GET, HEAD + CID
	pathConfirm   = "/confirm/" // POST + CID
	pathStats     = "/stats"    // POST, many CIDs
	pathBundle    = "/bundle"   // POST, several small blobs
	pathPropose   = "/propose"
	pathReadIndex = "/read-index"
	pathTerm      = "/term"
	pathHello     = "/hello"
	pathJoin      = "/join"
	pathRemove    = "/remove"
	pathStatus    = "/status"
	pathGone      = "/gone"
	pathLogs      = "/apilog"
	pathWindow    = "/window"
)

const errorType = "application/vnd.ringbin.error+cbor"

// Backend is what a node offers its peers.
type Backend interface {
	// PutBlob takes in an upload that the caller has hashed, from its sealed stream.
	PutBlob(ctx context.Context, cid storage.CID, body io.Reader) (storage.Receipt, error)
	// PutBlobs keeps small blobs; the verdicts are in their order. The blobs'
	// bytes are the backend's until it returns.
	PutBlobs(ctx context.Context, blobs []storage.Proven) []storage.Verdict
	ConfirmBlob(ctx context.Context, cid storage.CID) (storage.Receipt, bool, error)
	// OpenBlob returns the sealed stream of a range.
	OpenBlob(ctx context.Context, cid storage.CID, offset, length int64) (io.ReadCloser, error)
	StatBlob(ctx context.Context, cid storage.CID) (storage.BlobInfo, bool, error)
	StatBlobs(ctx context.Context, cids []storage.CID) ([]storage.Holding, error)
	Propose(ctx context.Context, p Pack) (PackReply, error)
	ReadIndex(ctx context.Context) (ReadIndexReply, error)
	Term(ctx context.Context) (uint64, error)
	Hello(ctx context.Context, body []byte) ([]byte, error)
	Join(ctx context.Context, q JoinRequest) (JoinReply, error)
	Remove(ctx context.Context, id storage.NodeID) error
	Status(ctx context.Context) (Status, error)
	// Gone tells the caller whether it was a member and was taken out, for ever.
	Gone(ctx context.Context) (bool, error)
	// RequestLogs looks into the node's log of requests. What is asked and
	// answered is for others to read.
	RequestLogs(ctx context.Context, query []byte) ([]byte, error)
	// Window counts requests against a limit of a minute, as far as it is not used up.
	Window(ctx context.Context, q WindowRequest) (WindowReply, error)
}

// WindowRequest asks whoever counts for a key how many more requests are
// admitted in this minute.
type WindowRequest struct {
	Key   string `cbor:"1,keyasint"`
	Limit int64  `cbor:"2,keyasint"` // of a minute
	Want  int64  `cbor:"3,keyasint"` // at least 1
}

// WindowReply says how many are; 0: none until the window ends.
type WindowReply struct {
	Granted    int64 `cbor:"1,keyasint"`
	Window     int64 `cbor:"2,keyasint"` // minutes since 1970
	EndsMillis int64 `cbor:"3,keyasint"` // until the window ends
}

// Pack is commands on their way to the leader.
type Pack struct {
	Origin   storage.NodeID `cbor:"1,keyasint"`
	Seq      uint64         `cbor:"2,keyasint"`
	Term     uint64         `cbor:"3,keyasint"` // of the leader that it is meant for
	Commands [][]byte       `cbor:"4,keyasint"`
}

// PackReply says where a pack was committed.
type PackReply struct {
	Index uint64 `cbor:"1,keyasint"`
}

// ReadIndexReply is what a linearizable read has to wait for.
type ReadIndexReply struct {
	Index uint64 `cbor:"1,keyasint"`
	Term  uint64 `cbor:"2,keyasint"`
}

// JoinRequest is a node that wants to be a member.
type JoinRequest struct {
	ID          storage.NodeID `cbor:"1,keyasint"`
	Name        string         `cbor:"2,keyasint"`
	Incarnation uint64         `cbor:"3,keyasint"`
	RPC         string         `cbor:"4,keyasint"`
	Gossip      string         `cbor:"5,keyasint"`
	HTTP        string         `cbor:"6,keyasint"`
	Zone        string         `cbor:"7,keyasint,omitempty"`
	Capacity    uint64         `cbor:"8,keyasint"`
	Version     string         `cbor:"9,keyasint,omitempty"`
}

// JoinReply welcomes a member.
type JoinReply struct {
	ClusterID   string         `cbor:"1,keyasint"`
	Leader      storage.NodeID `cbor:"2,keyasint"`
	Nodes       []NodeAddr     `cbor:"3,keyasint"`
	CommitIndex uint64         `cbor:"4,keyasint"`
}

// NodeAddr is where a node's RPC is.
type NodeAddr struct {
	ID  storage.NodeID `cbor:"1,keyasint"`
	RPC string         `cbor:"2,keyasint"`
}

// Status is a node as it sees itself.
type Status struct {
	ID          storage.NodeID `cbor:"1,keyasint"`
	Name        string         `cbor:"2,keyasint"`
	Version     string         `cbor:"3,keyasint"`
	Incarnation uint64         `cbor:"4,keyasint"`
	Applied     uint64         `cbor:"5,keyasint"`
	Commit      uint64         `cbor:"6,keyasint"`
	Term        uint64         `cbor:"7,keyasint"`
	Leader      storage.NodeID `cbor:"8,keyasint"`
	Clock       int64          `cbor:"9,keyasint"` // Unix milliseconds
	FreeBytes   int64          `cbor:"10,keyasint"`
	TotalBytes  int64          `cbor:"11,keyasint"`
	Blobs       int64          `cbor:"12,keyasint"`
	BlobBytes   int64          `cbor:"13,keyasint"`
	Missing     int64          `cbor:"14,keyasint"` // copies that it owns and does not hold
	Corrupt     int64          `cbor:"15,keyasint"`
	SyncedRing  uint64         `cbor:"16,keyasint"` // the newest ring of which it holds its part
	StateIndex  uint64         `cbor:"17,keyasint"`
	StateHash   [32]byte       `cbor:"18,keyasint"`
	CheckIndex  uint64         `cbor:"19,keyasint"` // the newest index that all nodes stop at to compare
	CheckHash   [32]byte       `cbor:"20,keyasint"`

	// What is left to fetch for a ring change, and what was fetched from others
	// since the start, for ring changes and repair.
	MoveBlobs   int64 `cbor:"40,keyasint,omitempty"`
	MoveBytes   int64 `cbor:"41,keyasint,omitempty"`
	PulledBlobs int64 `cbor:"42,keyasint,omitempty"`
	PulledBytes int64 `cbor:"43,keyasint,omitempty"`

	// Margins of this node, for the health of all.
	BallastOut bool   `cbor:"57,keyasint,omitempty"` // its disk was full, and has no room yet for the ballast
	DiskSlow   int64  `cbor:"58,keyasint,omitempty"` // slow operations of its disk in the last minute
	LogEntries uint64 `cbor:"59,keyasint,omitempty"` // entries in its Raft log
	LogFailing bool   `cbor:"60,keyasint,omitempty"` // its log of requests is not whole

	Removed bool `cbor:"56,keyasint,omitempty"` // it knows that whoever asks was removed

	Lost       int64 `cbor:"50,keyasint,omitempty"` // blobs that nobody has a good copy of, and whose first owner it is
	Rebuilding bool  `cbor:"51,keyasint,omitempty"` // it replaces a rotten database of its blobs
	ScrubLate  bool  `cbor:"52,keyasint,omitempty"` // it has copies that were not read for longer than it should take
}

// held is an answer that there may be none of.
type held[T any] struct {
	Value T    `cbor:"1,keyasint"`
	Held  bool `cbor:"2,keyasint"`
}

// wireError is a storage.Error as it crosses.
type wireError struct {
	Kind    uint8          `cbor:"1,keyasint"`
	Code    string         `cbor:"2,keyasint,omitempty"`
	Text    string         `cbor:"3,keyasint,omitempty"`
	Field   string         `cbor:"4,keyasint,omitempty"`
	Details map[string]any `cbor:"5,keyasint,omitempty"`
	Chain   string         `cbor:"6,keyasint,omitempty"` // for logs
}

// wireStatus is any status that is not a success: what counts is in the body.
const wireStatus = http.StatusUnprocessableEntity

var decMode = must(cbor.DecOptions{IntDec: cbor.IntDecConvertSignedOrFail}.DecMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options
	}
	return v
}

func encodeError(err error) []byte {
	w := wireError{Kind: uint8(storage.KindOf(err)), Chain: err.Error()}
	if e, ok := errors.AsType[*storage.Error](err); ok {
		w.Code, w.Text, w.Field, w.Details = e.Code, e.Text, e.Field, e.Details
	}
	b, encErr := cbor.Marshal(w)
	if encErr != nil { // details of a type that CBOR does not know
		b, _ = cbor.Marshal(wireError{Kind: w.Kind, Code: w.Code, Chain: w.Chain})
	}
	return b
}

func decodeError(op string, b []byte) error {
	var w wireError
	if err := decMode.Unmarshal(b, &w); err != nil {
		return storage.E(op, storage.KindInternal, fmt.Errorf("answer is no error: %w", err))
	}
	return &storage.Error{
		Op: op, Kind: storage.Kind(w.Kind), Code: w.Code, Text: w.Text, Field: w.Field, Details: w.Details,
		Err: errors.New("peer: " + w.Chain),
	}
}
