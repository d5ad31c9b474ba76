package storage

import (
	"errors"
	"io"
)

// PartReader hands out what it reads in parts, too: what is only passed on is not
// copied.
type PartReader interface {
	io.ReadCloser
	// Next returns the bytes that come next, some at least, or an error; io.EOF is
	// the clean end. They stay as they are until the next call of anything.
	Next() ([]byte, error)
}

// Parts is a stream that comes in parts, each in memory of its own: a writer
// gets a part in one write.
type Parts struct {
	next func() ([]byte, error)
	rest []byte // of the last part
}

// NewParts returns the stream of what next returns, until that is an error;
// io.EOF is the clean end. A part stays as it is until next is called again.
func NewParts(next func() ([]byte, error)) *Parts { return &Parts{next: next} }

// fetch makes sure that something is left. Nothing is of a part that came with
// an error.
func (p *Parts) fetch() error {
	if len(p.rest) > 0 {
		return nil
	}
	part, err := p.next()
	if err != nil {
		return err
	}
	p.rest = part
	return nil
}

// Read implements io.Reader.
func (p *Parts) Read(b []byte) (int, error) {
	if err := p.fetch(); err != nil {
		return 0, err
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// WriteTo implements io.WriterTo.
func (p *Parts) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for {
		if err := p.fetch(); errors.Is(err, io.EOF) {
			return written, nil
		} else if err != nil {
			return written, err
		}
		n, err := w.Write(p.rest)
		written, p.rest = written+int64(n), p.rest[n:]
		if err != nil {
			return written, err //nolint:wrapcheck // the writer's own
		}
	}
}
