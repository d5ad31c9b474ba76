//go:build unix

package node

import "syscall"

// openFilesMax is how many files a process may have open.
func openFilesMax() (most uint64, known bool) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return uint64(limit.Max), err == nil //nolint:unconvert // signed on some systems
}
