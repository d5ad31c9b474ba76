package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// A sealed stream is a range of a content on its way between nodes: pieces, and
// an end.
//
//	piece: its length, 4 bytes; the bytes; 4 bytes of CRC-32C
//	end:   a piece without bytes
//
// The CRC covers the CID, the piece's offset in the content and its bytes. All
// pieces but the last have PieceBytes. So no byte leaves at the reader that is
// not the sender's, at its own place, no stream ends before its sender's end, and
// a stream of any other form does not pass.
const (
	// PieceBytes are the bytes of a piece. Stored chunks have as many: a piece is
	// read from one, and into one.
	PieceBytes = 256 << 10

	pieceHead = 4
	pieceSeal = 4
	pieceOver = pieceHead + pieceSeal
)

// SealedSize is the size of the sealed stream of so many bytes.
func SealedSize(length int64) int64 {
	return length + pieceOver*((length+PieceBytes-1)/PieceBytes+1)
}

// pieceCRC begins the CRCs of a content's pieces.
func pieceCRC(cid CID) uint32 {
	var b [cidBinaryMax]byte
	bin, _ := cid.AppendBinary(b[:0]) // never fails
	return crc32.Checksum(bin, crcTable)
}

// beginPiece begins the CRC of the piece at an offset.
func beginPiece(begun uint32, offset int64) uint32 {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(offset))
	return crc32.Update(begun, crcTable, at[:])
}

func sealOfPiece(begun uint32, offset int64, p []byte) uint32 {
	return crc32.Update(beginPiece(begun, offset), crcTable, p)
}

// Piece is a piece of a sealed stream, in memory that is shared and used again:
// whoever was given a hold of it lets it go once. One that nobody lets go is the
// garbage collector's.
type Piece struct {
	buf   []byte // head, room, seal
	n     int    // bytes of content
	begun uint32
	at    int64
	holds atomic.Int32
}

// pooledFrom is the room from which on a piece lies in a buffer of the pool.
const pooledFrom = PieceBytes / 4

var pieceBuffers = sync.Pool{New: func() any { return new([pieceOver + PieceBytes]byte) }}

// NewPiece returns a piece that its caller holds, with room for up to PieceBytes.
func NewPiece(room int64) *Piece {
	p := &Piece{}
	if room < pooledFrom {
		p.buf = make([]byte, pieceOver+room)
	} else {
		pooled, _ := pieceBuffers.Get().(*[pieceOver + PieceBytes]byte)
		p.buf = pooled[:pieceOver+room]
	}
	p.holds.Store(1)
	return p
}

// Hold takes one more hold.
func (p *Piece) Hold() { p.holds.Add(1) }

// Release lets one go. With the last one the memory is another's.
func (p *Piece) Release() {
	switch left := p.holds.Add(-1); {
	case left < 0:
		panic("storage: a piece is let go too often") // else two would write into one buffer
	case left > 0:
	default:
		if b := p.buf[:cap(p.buf)]; len(b) == pieceOver+PieceBytes {
			pieceBuffers.Put((*[pieceOver + PieceBytes]byte)(b))
		}
		p.buf = nil
	}
}

// Room is where a piece's bytes are written to, before it is sealed.
func (p *Piece) Room() []byte { return p.buf[pieceHead : len(p.buf)-pieceSeal] }

// Bytes are the piece's part of the content.
func (p *Piece) Bytes() []byte { return p.buf[pieceHead : pieceHead+p.n] }

// Frame is the piece as it is sent.
func (p *Piece) Frame() []byte { return p.buf[:pieceOver+p.n] }

// Check reports whether the piece's bytes are those that were sealed.
func (p *Piece) Check() error {
	if sealOfPiece(p.begun, p.at, p.Bytes()) != binary.BigEndian.Uint32(p.buf[pieceHead+p.n:]) {
		return E("storage.Piece", KindCorrupt, errBadCRC)
	}
	return nil
}

// Sealer cuts a content, or a range of it, into pieces.
type Sealer struct {
	begun  uint32
	offset int64
}

// NewSealer returns a Sealer of what begins at an offset.
func NewSealer(cid CID, offset int64) *Sealer {
	return &Sealer{begun: pieceCRC(cid), offset: offset}
}

// Seal makes the first n bytes of p's room the next piece.
func (s *Sealer) Seal(p *Piece, n int) {
	p.n, p.begun, p.at = n, s.begun, s.offset
	binary.BigEndian.PutUint32(p.buf, uint32(n))
	binary.BigEndian.PutUint32(p.buf[pieceHead+n:], sealOfPiece(s.begun, s.offset, p.buf[pieceHead:pieceHead+n]))
	s.offset += int64(n)
}

// End is the end of the stream.
func (s *Sealer) End() []byte {
	return binary.BigEndian.AppendUint32(make([]byte, pieceHead, pieceOver), sealOfPiece(s.begun, s.offset, nil))
}

// SealedReader is the sealed stream of a range that a reader has. A reader with
// fewer bytes, or one that fails, has no end.
type SealedReader struct {
	*Parts

	r     io.ReadCloser
	s     *Sealer
	left  int64
	piece *Piece // that the last part lies in
	ended bool
}

// NewSealedReader seals length bytes from offset. Close closes r, too.
func NewSealedReader(cid CID, offset, length int64, r io.ReadCloser) *SealedReader {
	s := &SealedReader{r: r, s: NewSealer(cid, offset), left: length}
	s.Parts = NewParts(s.frame)
	return s
}

// frame returns the next piece as it is sent, then the end, then io.EOF.
func (s *SealedReader) frame() ([]byte, error) {
	if s.ended {
		return nil, io.EOF
	}
	if s.left == 0 {
		s.ended = true
		return s.s.End(), nil
	}
	n := int(min(s.left, PieceBytes))
	if s.piece == nil {
		s.piece = NewPiece(int64(n))
	}
	if err := full(s.r, s.piece.Room()[:n]); err != nil {
		return nil, err
	}
	s.s.Seal(s.piece, n)
	s.left -= int64(n)
	return s.piece.Frame(), nil
}

// Close implements io.Closer.
func (s *SealedReader) Close() error {
	if s.piece != nil {
		s.piece.Release()
		s.piece = nil
	}
	s.rest, s.ended = nil, true
	return s.r.Close() //nolint:wrapcheck // a reader hands errors on
}

// Unsealed is the content of a sealed stream. It hands out what was checked, and
// its last bytes only after the sender's own end; a stream that is cut short, or
// is not that of the range, ends in an error.
type Unsealed struct {
	r      io.Reader
	begun  uint32
	offset int64 // of the next piece
	left   int64 // bytes that pieces are still to bring
	piece  *Piece
	rest   []byte // checked, not handed out yet
	err    error  // what reads give when rest is out

	sum    uint32 // of the last piece
	summed int    // its bytes, when a read returned all of them; 0 else
}

// Unseal reads the sealed stream of length bytes from offset.
func Unseal(cid CID, offset, length int64, r io.Reader) *Unsealed {
	return &Unsealed{r: r, begun: pieceCRC(cid), offset: offset, left: length}
}

// Read implements io.Reader.
func (u *Unsealed) Read(b []byte) (int, error) {
	u.summed = 0
	if len(u.rest) == 0 {
		if u.err != nil || len(b) == 0 {
			return 0, u.err
		}
		if int64(len(b)) >= min(u.left, PieceBytes) {
			n, err := u.next(b)
			u.summed = n
			return n, err
		}
		if err := u.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

// Next returns what is left of a piece, or all of the next one.
func (u *Unsealed) Next() ([]byte, error) {
	if len(u.rest) == 0 {
		if err := u.fill(); err != nil {
			return nil, err
		}
	}
	part := u.rest
	u.rest = nil
	return part, nil
}

// fill reads the next piece into memory of its own.
func (u *Unsealed) fill() error {
	if u.err != nil {
		return u.err
	}
	if u.piece == nil {
		u.piece = NewPiece(min(u.left, PieceBytes))
	}
	n, err := u.next(u.piece.Room())
	if err != nil {
		return err
	}
	u.rest = u.piece.Room()[:n]
	return nil
}

// next reads the next piece into a buffer that has room for it.
func (u *Unsealed) next(into []byte) (int, error) {
	n := min(u.left, PieceBytes)
	if n > 0 {
		if u.sum, u.err = u.check(into[:n]); u.err != nil {
			return 0, u.err
		}
		u.offset, u.left = u.offset+n, u.left-n
	}
	if u.left == 0 {
		if u.err = u.end(); !errors.Is(u.err, io.EOF) || n == 0 {
			return 0, u.err
		}
	}
	return int(n), nil
}

// check reads a piece of as many bytes as b has, and returns their CRC.
func (u *Unsealed) check(b []byte) (uint32, error) {
	var head [pieceHead]byte
	if err := full(u.r, head[:]); err != nil {
		return 0, err
	}
	if n := binary.BigEndian.Uint32(head[:]); int64(n) != int64(len(b)) {
		return 0, E("storage.Unseal", KindCorrupt, fmt.Errorf("a piece of %d bytes in the place of %d", n, len(b)))
	}
	if err := full(u.r, b); err != nil {
		return 0, err
	}
	var seal [pieceSeal]byte
	if err := full(u.r, seal[:]); err != nil {
		return 0, err
	}
	sum := crc32.Checksum(b, crcTable)
	if joinCRC(beginPiece(u.begun, u.offset), sum, len(b)) != binary.BigEndian.Uint32(seal[:]) {
		return 0, E("storage.Unseal", KindCorrupt, errBadCRC)
	}
	return sum, nil
}

// lastSum is the CRC of the n bytes that the last read has returned; the bool is
// false when that was not a whole piece.
func (u *Unsealed) lastSum(n int) (uint32, bool) { return u.sum, n > 0 && n == u.summed }

// end is io.EOF when the end comes, and nothing after it.
func (u *Unsealed) end() error {
	if _, err := u.check(nil); err != nil {
		return err
	}
	var one [1]byte
	for {
		switch n, err := u.r.Read(one[:]); {
		case n > 0:
			return E("storage.Unseal", KindCorrupt, errors.New("bytes follow the end"))
		case err != nil:
			return err //nolint:wrapcheck // io.EOF, or the reader's own
		}
	}
}

// full is io.ReadFull, but that every end is too early.
func full(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err //nolint:wrapcheck // a reader hands errors on
}

// Close gives the memory back. Nothing can be read any more.
func (u *Unsealed) Close() {
	if u.piece != nil {
		u.piece.Release()
		u.piece, u.rest = nil, nil
	}
	if u.err == nil {
		u.err = io.ErrClosedPipe
	}
}
