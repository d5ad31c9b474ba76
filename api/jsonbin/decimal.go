package jsonbin

import (
	"bytes"
	"cmp"
	"math/big"
)

// decimal is the exact value of a JSON number: 0.digits times ten to the power
// of exp. However large a number is written, it costs no more than its text.
type decimal struct {
	negative bool
	digits   []byte // neither the first nor the last is a zero; none: zero
	exp      int64
}

// exponentMax is where exponents end: no text holds the digits to tell beyond.
const exponentMax = 1 << 60

// parseDecimal reads the text of a JSON number.
func parseDecimal(number []byte) decimal {
	rest, negative := bytes.CutPrefix(number, []byte("-"))
	mantissa, exponent := rest, int64(0)
	if e := bytes.IndexAny(rest, "eE"); e >= 0 {
		mantissa, exponent = rest[:e], parseExponent(rest[e+1:])
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	digits := append(bytes.Clone(whole), fraction...)
	exp := exponent + int64(len(whole))
	significant := bytes.TrimLeft(digits, "0")
	exp -= int64(len(digits) - len(significant))
	significant = bytes.TrimRight(significant, "0")
	if len(significant) == 0 {
		return decimal{}
	}
	return decimal{negative, significant, exp}
}

func parseExponent(text []byte) int64 {
	n := int64(0)
	for _, c := range text {
		if c >= '0' && c <= '9' {
			n = min(n*10+int64(c-'0'), exponentMax/10)
		}
	}
	if text[0] == '-' {
		return -n
	}
	return n
}

// sign is -1, 0 or 1.
func (d decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// compare is -1, 0 or 1 as d is less than, equal to or greater than other.
func (d decimal) compare(other decimal) int {
	sign := d.sign()
	if c := cmp.Compare(sign, other.sign()); c != 0 || sign == 0 {
		return c
	}
	if c := cmp.Compare(d.exp, other.exp); c != 0 {
		return c * sign
	}
	return bytes.Compare(d.digits, other.digits) * sign
}

// lowest is the power of ten of the last digit.
func (d decimal) lowest() int64 { return d.exp - int64(len(d.digits)) }

func (d decimal) isInteger() bool { return len(d.digits) == 0 || d.lowest() >= 0 }

// isMultipleOf is whether d is a whole number of times unit, which is not zero.
func (d decimal) isMultipleOf(unit decimal) bool {
	if len(d.digits) == 0 {
		return true
	}
	power := d.lowest() - unit.lowest()
	if power < 0 {
		return false // the last digit of d is no zero, so d has no factor of ten
	}
	divisor, _ := new(big.Int).SetString(string(unit.digits), 10)
	rest := remainder(d.digits, divisor)
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(power), divisor)
	return rest.Mul(rest, factor).Mod(rest, divisor).Sign() == 0
}

// remainder is a number of many digits modulo divisor, in one pass.
func remainder(digits []byte, divisor *big.Int) *big.Int {
	const atOnce = 18 // digits that an int64 holds
	rest, part := new(big.Int), new(big.Int)
	for len(digits) > 0 {
		n := min(len(digits), atOnce)
		scale, value := int64(1), int64(0)
		for _, c := range digits[:n] {
			scale, value = scale*10, value*10+int64(c-'0')
		}
		rest.Mul(rest, part.SetInt64(scale))
		rest.Add(rest, part.SetInt64(value)).Mod(rest, divisor)
		digits = digits[n:]
	}
	return rest
}

// String is one text for each value.
func (d decimal) String() string {
	var b []byte
	if d.negative {
		b = append(b, '-')
	}
	b = append(b, d.digits...)
	b = append(b, 'e')
	if len(d.digits) > 0 {
		b = big.NewInt(d.lowest()).Append(b, 10)
	}
	return string(b)
}
