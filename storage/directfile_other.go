//go:build !linux

package storage

// setDirect has a file written past the page cache, or not so: here it never is.
func setDirect(_ uintptr, on bool) bool { return !on }

func isRefused(error) bool { return false }
