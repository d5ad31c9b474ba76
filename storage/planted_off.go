//go:build !teeth

package storage

// Planted reports whether a build with the tag teeth was told to make a
// mistake. This is no such build: the code of mistakes is not in it.
func Planted(Bug) bool { return false }
