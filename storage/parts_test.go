package storage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// A part that comes with an error is not handed out, and the error is the end of
// what is read and of what is written.
func TestParts(t *testing.T) {
	t.Parallel()
	bad := errors.New("bad")
	for end, want := range map[error]error{io.EOF: nil, bad: bad} {
		parts := func() *Parts {
			left := [][]byte{[]byte("one"), []byte("two")}
			return NewParts(func() ([]byte, error) {
				if len(left) == 0 {
					return []byte("nobody's"), end
				}
				part := left[0]
				left = left[1:]
				return part, nil
			})
		}
		p := parts()
		read, err := io.ReadAll(io.MultiReader(p)) // by Read, in whatever sizes
		if string(read) != "onetwo" || !errors.Is(err, want) {
			t.Errorf("end %v: read %q, %v", end, read, err)
		}
		if n, err := p.Read(make([]byte, 9)); n != 0 || !errors.Is(err, end) {
			t.Errorf("end %v: %d bytes after it, %v", end, n, err)
		}
		var writes []string
		n, err := parts().WriteTo(writerFunc(func(b []byte) (int, error) {
			writes = append(writes, string(bytes.Clone(b)))
			return len(b), nil
		}))
		if n != 6 || !slices.Equal(writes, []string{"one", "two"}) || !errors.Is(err, want) {
			t.Errorf("end %v: wrote %q, %d, %v", end, writes, n, err)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
