package meta

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/fxamacker/cbor/v2"

	"ringbin/storage"
)

// Limits of what the log carries.
const (
	// CommandMax is the size in bytes up to which a command is accepted.
	CommandMax = 64 << 10

	envelopeVersion = 1
	envelopeHead    = 1 + 4 + 8 // version, CRC-32C of all behind it, stamp
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// Deterministic encoding: one value has one form, so that state hashes agree.
var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(cbor.DecOptions{IntDec: cbor.IntDecConvertSignedOrFail, MaxArrayElements: 1 << 17, MaxMapPairs: 1 << 16}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // constant options
	}
	return v
}

// Encode returns one command as it travels: a type byte, the header, the body.
func Encode(h Header, c Command) ([]byte, error) {
	const op = "meta.Encode"
	head, err := encMode.Marshal(h)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	body, err := encMode.Marshal(c)
	if err != nil {
		return nil, storage.E(op, storage.KindInternal, err)
	}
	b := make([]byte, 0, 1+binary.MaxVarintLen64+len(head)+len(body))
	b = append(b, byte(c.commandType()))
	b = binary.AppendUvarint(b, uint64(len(head)))
	b = append(append(b, head...), body...)
	if len(b) > CommandMax && c.commandType() != typeSetRing {
		return nil, storage.E(op, storage.KindTooLarge, fmt.Errorf("command of %d bytes", len(b)))
	}
	// What can be written and not read, text that is no UTF-8, would halt every
	// node once it was in the log.
	return b, Check(b)
}

// Check refuses a command that Apply could not read: KindInvalid. It stands
// before the log, on the node that proposes and again on the leader, which may
// run an older program than the proposer.
func Check(command []byte) error {
	if _, err := decode(command); err != nil {
		return &storage.Error{Op: "meta.Check", Kind: storage.KindInvalid, Text: "The request holds text that is not UTF-8", Err: err}
	}
	return nil
}

// Pack returns the data of one log entry: commands under the leader's stamp,
// in Unix milliseconds.
func Pack(stamp int64, commands [][]byte) []byte {
	size := envelopeHead
	for _, c := range commands {
		size += len(c) + binary.MaxVarintLen64
	}
	b := make([]byte, envelopeHead, size)
	b[0] = envelopeVersion
	binary.BigEndian.PutUint64(b[5:], uint64(stamp))
	for _, c := range commands {
		b = binary.AppendUvarint(b, uint64(len(c)))
		b = append(b, c...)
	}
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[5:], crcTable))
	return b
}

// Intact reports, as an error, that the data of a log entry is not what Pack
// made of its commands.
func Intact(data []byte) error {
	if _, _, err := unpack(data); err != nil {
		return storage.E("meta.Intact", storage.KindCorrupt, err)
	}
	return nil
}

// unpack reads an envelope. The raft log has no checksum of its own.
func unpack(b []byte) (stamp int64, commands [][]byte, err error) {
	switch {
	case len(b) < envelopeHead:
		return 0, nil, errors.New("envelope is cut short")
	case b[0] != envelopeVersion:
		return 0, nil, fmt.Errorf("envelope has version %d", b[0])
	case binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[5:], crcTable):
		return 0, nil, errors.New("envelope fails its checksum")
	}
	stamp = int64(binary.BigEndian.Uint64(b[5:]))
	for rest := b[envelopeHead:]; len(rest) > 0; {
		c, after, err := takeBytes(rest)
		if err != nil {
			return 0, nil, err
		}
		commands = append(commands, c)
		rest = after
	}
	return stamp, commands, nil
}

func takeBytes(b []byte) (v, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, errors.New("length does not fit")
	}
	return b[k : k+int(n)], b[k+int(n):], nil
}

// decoded is a command as Apply takes it.
type decoded struct {
	spec   *spec
	header Header
	body   Command
}

// decode reads one command. An error means that this program does not know
// what the cluster agreed on: the node must halt.
func decode(b []byte) (decoded, error) {
	if len(b) == 0 {
		return decoded{}, errors.New("empty command")
	}
	sp := specs[commandType(b[0])]
	if sp == nil {
		return decoded{}, fmt.Errorf("unknown command type %d", b[0])
	}
	head, body, err := takeBytes(b[1:])
	if err != nil {
		return decoded{}, err
	}
	d := decoded{spec: sp}
	if err := decMode.Unmarshal(head, &d.header); err != nil {
		return decoded{}, fmt.Errorf("header of command type %d: %w", b[0], err)
	}
	if d.body, err = sp.decode(body); err != nil {
		return decoded{}, fmt.Errorf("body of command type %d: %w", b[0], err)
	}
	return d, nil
}

// spec is what is known of a command type: how to read it, how to carry it
// out, and how to read the value that it answered with.
type spec struct {
	typ         commandType
	decode      func([]byte) (Command, error)
	apply       func(*tx, Header, Command) (any, error)
	decodeValue func([]byte) (any, error)
}

// none is the value of commands that have none.
type none struct{}

func define[C Command, V any](typ commandType, apply func(*tx, Header, C) (V, error)) *spec {
	return &spec{
		typ: typ,
		decode: func(b []byte) (Command, error) {
			var c C
			err := decMode.Unmarshal(b, &c)
			return c, err //nolint:wrapcheck // wrapped by decode
		},
		apply: func(t *tx, h Header, c Command) (any, error) {
			cc, ok := c.(C)
			if !ok {
				return nil, fmt.Errorf("command type %d holds %T", typ, c)
			}
			return apply(t, h, cc)
		},
		decodeValue: func(b []byte) (any, error) {
			var v V
			err := decMode.Unmarshal(b, &v)
			return v, err //nolint:wrapcheck // wrapped by its caller
		},
	}
}

// storedResult is a Result as the request tables keep it.
type storedResult struct {
	Type        commandType     `cbor:"1,keyasint"`
	Err         *storedError    `cbor:"2,keyasint,omitempty"`
	Value       cbor.RawMessage `cbor:"3,keyasint,omitempty"`
	Index       uint64          `cbor:"4,keyasint"`
	Forget      int64           `cbor:"5,keyasint,omitempty"` // FSM time from which it may go, under a client's key
	Fingerprint []byte          `cbor:"6,keyasint,omitempty"`
	Replayed    bool            `cbor:"7,keyasint,omitempty"` // the request found a client's key that had its answer
}

// storedError is a refusal in a form that has one encoding.
type storedError struct {
	Op      string         `cbor:"1,keyasint"`
	Kind    uint8          `cbor:"2,keyasint"`
	Code    string         `cbor:"3,keyasint,omitempty"`
	Text    string         `cbor:"4,keyasint,omitempty"`
	Field   string         `cbor:"5,keyasint,omitempty"`
	Details map[string]any `cbor:"6,keyasint,omitempty"`
}

func storeResult(typ commandType, r Result) (storedResult, error) {
	s := storedResult{Type: typ, Index: r.Index, Replayed: r.Replayed}
	if r.Err != nil {
		s.Err = &storedError{
			Op: r.Err.Op, Kind: uint8(r.Err.Kind), Code: r.Err.Code, Text: r.Err.Text, Field: r.Err.Field, Details: r.Err.Details,
		}
		return s, nil //nolint:nilerr // a refusal is a result
	}
	v, err := encMode.Marshal(r.Value)
	s.Value = v
	return s, err //nolint:wrapcheck // wrapped by its caller
}

func (s storedResult) result() (Result, error) {
	r := Result{Index: s.Index, Replayed: s.Replayed}
	if s.Err != nil {
		r.Err = &storage.Error{
			Op: s.Err.Op, Kind: storage.Kind(s.Err.Kind), Code: s.Err.Code, Text: s.Err.Text, Field: s.Err.Field, Details: s.Err.Details,
		}
		return r, nil
	}
	sp := specs[s.Type]
	if sp == nil {
		return r, fmt.Errorf("result of unknown command type %d", s.Type)
	}
	v, err := sp.decodeValue(s.Value)
	r.Value = v
	return r, err
}
