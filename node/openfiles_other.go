//go:build !unix

package node

// openFilesMax is how many files a process may have open.
func openFilesMax() (most uint64, known bool) { return 0, false }
