package storage

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

// Kinds travel and are stored: their numbers are for ever.
func TestKindNumbers(t *testing.T) {
	t.Parallel()
	kinds := []Kind{
		KindInternal, KindInvalid, KindUnauthenticated, KindPayment, KindForbidden, KindNotFound, KindConflict, KindPrecondition,
		KindTooLarge, KindRange, KindMismatch, KindRateLimited, KindUnavailable, KindUnknown, KindFull, KindCorrupt,
		KindGone,
	}
	if len(kinds) != int(kindEnd) {
		t.Errorf("%d kinds, want %d: append the new one here", kindEnd, len(kinds))
	}
	names := map[string]bool{}
	for number, kind := range kinds {
		if int(kind) != number {
			t.Errorf("%v has number %d, had %d", kind, kind, number)
		}
		if kind.String() == "" || names[kind.String()] {
			t.Errorf("kind %d has no name of its own: %q", number, kind)
		}
		names[kind.String()] = true
	}
	if got := kindEnd.String(); got != fmt.Sprintf("kind %d", len(kinds)) {
		t.Errorf("a newer kind is %q", got)
	}
}

func TestKindOfAndCodeOf(t *testing.T) {
	t.Parallel()
	full := &Error{Op: "storage.Put", Kind: KindFull, Code: "insufficient_storage"}
	for name, c := range map[string]struct {
		err  error
		kind Kind
		code string
	}{
		"none":            {nil, KindInternal, ""},
		"foreign":         {io.EOF, KindInternal, ""},
		"plain":           {full, KindFull, "insufficient_storage"},
		"wrapped":         {fmt.Errorf("while: %w", full), KindFull, "insufficient_storage"},
		"joined":          {errors.Join(io.EOF, full), KindFull, "insufficient_storage"},
		"outermost kind":  {E("node.Put", KindUnavailable, full), KindUnavailable, ""},
		"invalid":         {Invalid("api.Put", "bad_header", "X-Ttl", "a number"), KindInvalid, "bad_header"},
		"length mismatch": {LengthMismatch(1, 2), KindInvalid, "hash_mismatch"},
		"digest mismatch": {DigestMismatch(CID{}, SumCID([]byte("x"))), KindInvalid, "hash_mismatch"},
	} {
		if KindOf(c.err) != c.kind || CodeOf(c.err) != c.code {
			t.Errorf("%s: %v, %q", name, KindOf(c.err), CodeOf(c.err))
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  *Error
		want string
	}{
		{E("storage.Put", KindFull, nil), "storage.Put: no room"},
		{E("", KindNotFound, io.EOF), "not found: EOF"},
		{&Error{Op: "a.B", Kind: KindInvalid, Code: "bad_ttl", Field: "ttl", Text: "The ttl is wrong.", Err: io.EOF}, "a.B: bad_ttl (ttl): The ttl is wrong.: EOF"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if !errors.Is(E("a.B", KindInternal, io.ErrUnexpectedEOF), io.ErrUnexpectedEOF) {
		t.Error("what lies below is not found")
	}
	if e := Invalid("a.B", "bad_ttl", "ttl", "seconds"); e.Field != "ttl" || e.Details["ttl"] != "seconds" {
		t.Errorf("Invalid gives %+v", e)
	}
}
