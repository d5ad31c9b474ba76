package jsonbin

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func rat(t interface{ Fatalf(string, ...any) }, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("no number: %s", text)
	}
	return r
}

var numbers = rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`)

// Decimals order and divide as exact fractions do.
func TestDecimals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		if rapid.Bool().Draw(t, "equal") {
			b = rat(t, a).FloatString(130)
		}
		x, y := parseDecimal([]byte(a)), parseDecimal([]byte(b))
		p, q := rat(t, a), rat(t, b)
		if got, want := x.compare(y), p.Cmp(q); got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
		if (x.String() == y.String()) != (p.Cmp(q) == 0) {
			t.Fatalf("%s is %s, %s is %s", a, x, b, y)
		}
		if x.isInteger() != p.IsInt() {
			t.Fatalf("%s is an integer: %t", a, x.isInteger())
		}
		if q.Sign() != 0 && x.isMultipleOf(y) != new(big.Rat).Quo(p, q).IsInt() {
			t.Fatalf("%s is a multiple of %s: %t", a, b, x.isMultipleOf(y))
		}
	})
}

// A number that can't be written out costs no more than its text.
func TestHugeDecimals(t *testing.T) {
	t.Parallel()
	huge, tiny, one := parseDecimal([]byte("1e999999999999999999999")), parseDecimal([]byte("1e-99999999999")), parseDecimal([]byte("1"))
	if huge.compare(one) != 1 || tiny.compare(one) != -1 || tiny.sign() != 1 || tiny.isInteger() || !huge.isInteger() {
		t.Error("huge and tiny are mistaken")
	}
	if !huge.isMultipleOf(parseDecimal([]byte("0.5"))) || huge.isMultipleOf(parseDecimal([]byte("3"))) || one.isMultipleOf(huge) {
		t.Error("huge multiples are mistaken")
	}
}
