package jsonbin

// The sentences of errors that several routes have. Odd wording is the contract's.
const (
	invalidJSON     = "Invalid JSON. Please try again"
	needContentType = "You need to pass Content-Type set to application/json"
)
