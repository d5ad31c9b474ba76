package storage

import (
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// setDirect has a file written past the page cache, or not so. It reports
// whether that is so now: not every file system can, and one in memory has no
// descriptor.
func setDirect(fd uintptr, on bool) bool {
	if fd == vfs.InvalidFd {
		return !on
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	if errno != 0 {
		return false
	}
	if flags &^= syscall.O_DIRECT; on {
		flags |= syscall.O_DIRECT
	}
	_, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFL, flags)
	return errno == 0
}

// isRefused tells a file system that can't do it from one that failed.
func isRefused(err error) bool { return errors.Is(err, syscall.EINVAL) }
