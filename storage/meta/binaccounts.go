package meta

// ReserveRequests takes a block of an account's requests of the calendar month
// that FSM time is in, UTC. Its value is a [RequestBlock].
type ReserveRequests struct {
	Account  string `cbor:"1,keyasint"`
	Requests int64  `cbor:"2,keyasint"` // wanted: above zero
}

// RequestBlock is the value of a ReserveRequests.
type RequestBlock struct {
	Requests int64 `cbor:"1,keyasint"` // granted: at least one
	Until    int64 `cbor:"2,keyasint"` // the end of the month: what is left of the block is void from then on
}
