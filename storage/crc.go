package storage

import "hash/crc32"

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// joinCRC returns the CRC of two parts, one behind the other, from that of each;
// the second has n bytes. A large value lies in a piece, in a sealed value and in
// a block, each with a CRC of its own over more than the value: joined, they cost
// one pass over it, and stem from the CRC that came with it.
func joinCRC(first, second uint32, n int) uint32 {
	return mulCRC(first, shiftCRC(n)) ^ second
}

// A CRC is a polynomial over GF(2), modulo that of CRC-32C; its highest bit is x^0.

// mulCRC multiplies two.
func mulCRC(a, b uint32) uint32 {
	var product uint32
	for ; a != 0; a <<= 1 {
		if a>>31 != 0 {
			product ^= b
		}
		if low := b & 1; low != 0 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return product
}

// crcSquares are x^8, and the square of each before.
var crcSquares = func() (squares [32]uint32) {
	squares[0] = 1 << (31 - 8)
	for i := 1; i < len(squares); i++ {
		squares[i] = mulCRC(squares[i-1], squares[i-1])
	}
	return squares
}()

// shiftCRC is what n bytes behind it multiply a CRC with: x^8n.
func shiftCRC(n int) uint32 {
	shift := uint32(1) << 31
	for i := 0; n > 0; i, n = i+1, n>>1 {
		if n&1 != 0 {
			shift = mulCRC(shift, crcSquares[i])
		}
	}
	return shift
}
