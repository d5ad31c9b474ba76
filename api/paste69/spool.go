package paste69

import (
	"bytes"
	"errors"
	"io"
	"os"

	"ringbin/storage"
)

// Limits of bodies that are kept until it is known what they are.
const (
	spoolMemory = 64 << 10 // bytes of one that stay in memory
	spoolsMax   = 32       // of them on disk at a time
	roomEvery   = 1 << 20  // bytes after which the disk is asked for room again
)

// spooler keeps such bodies: one for a node.
type spooler struct {
	dir   string
	room  func() error // refuses when the disk is full
	slots chan struct{}
}

// newSpooler returns a spooler whose files lie in dir, under names of its own.
// Who starts the node empties dir. They stop where room says so.
func newSpooler(dir string, room func() error) *spooler {
	return &spooler{dir: dir, room: room, slots: make(chan struct{}, spoolsMax)}
}

// spooled is a body that is read through it and can then be read once more.
type spooled struct {
	spooler *spooler
	body    io.Reader
	head    []byte
	file    *os.File // what follows head; nil for nothing
	since   int      // bytes since the disk was asked for room
	err     error    // of the body or the disk; io.EOF at the body's end
}

func (s *spooler) keep(body io.Reader) *spooled { return &spooled{spooler: s, body: body} }

// Read reads the body, and keeps what it read.
func (s *spooled) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.body.Read(p)
	if full := s.write(p[:n]); full != nil {
		n, err = 0, full
	}
	s.err = err
	return n, err
}

func (s *spooled) write(p []byte) error {
	n := min(len(p), spoolMemory-len(s.head))
	s.head = append(s.head, p[:n]...)
	if p = p[n:]; len(p) == 0 {
		return nil
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	if s.since += len(p); s.since >= roomEvery {
		s.since = 0
		if err := s.spooler.room(); err != nil {
			return err
		}
	}
	if _, err := s.file.Write(p); err != nil {
		return storage.DiskError("paste69.spool", err)
	}
	return nil
}

func (s *spooled) create() error {
	const op = "paste69.spool"
	if err := s.spooler.room(); err != nil {
		return err
	}
	select {
	case s.spooler.slots <- struct{}{}:
	default:
		return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "overloaded"}
	}
	var err error
	if s.file, err = os.CreateTemp(s.spooler.dir, "paste-"); err != nil {
		<-s.spooler.slots
		return storage.DiskError(op, err)
	}
	return nil
}

// fault is what kept the body from being read so far: its own, or the disk's.
func (s *spooled) fault() error {
	if s.err == nil || errors.Is(s.err, io.EOF) {
		return nil
	}
	return bodyFault(s.err)
}

// again returns a reader of the whole body from its start: what was kept, then
// what was not read yet. The spooled is not read any more then.
func (s *spooled) again() (io.Reader, error) {
	kept := []io.Reader{bytes.NewReader(s.head)}
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return nil, storage.DiskError("paste69.spool", err)
		}
		kept = append(kept, s.file)
	}
	return io.MultiReader(append(kept, s.body)...), nil
}

// close removes the file.
func (s *spooled) close() {
	if s.file == nil {
		return
	}
	_ = s.file.Close()           // nothing that was promised
	_ = os.Remove(s.file.Name()) // else at the next start
	s.file = nil
	<-s.spooler.slots
}
