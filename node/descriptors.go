//go:build unix

package node

import "syscall"

// descriptorLimit is how many files and connections this process may have
// open. Go raises it to the hard limit when a process starts.
func descriptorLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > descriptorsEnough {
		return descriptorsEnough
	}
	return int(l.Cur)
}
