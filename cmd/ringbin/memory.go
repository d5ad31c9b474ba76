package main

import (
	"errors"
	"math"
	"runtime/debug"

	"github.com/spf13/pflag"
)

// memoryOptions trade memory for the CPU time of Go's collector. Left alone,
// the variables GOGC and GOMEMLIMIT hold, and Go's defaults. Pebble's cached
// blocks and memtables come on top: they are C's memory, which Go does not see.
type memoryOptions struct {
	gcPercent   int
	limitMemory int64
}

// memoryLeast is the least that a node is asked to stay within: below it the
// collector would run all the time.
const memoryLeast = 64 << 20

func (o *memoryOptions) bind(f *pflag.FlagSet) {
	f.IntVar(&o.gcPercent, "gc-percent", 0, "how much the heap may grow, in percent of what is in use, before it is collected; 0: GOGC, or 100; -1: only at the memory limit")
	f.Int64Var(&o.limitMemory, "memory-limit-bytes", 0, "collect more often from so much memory on, 64 MiB at least; 0: GOMEMLIMIT, or no limit")
}

// set has the runtime go by the options.
func (o *memoryOptions) set() error {
	switch {
	case o.gcPercent < -1:
		return errors.New("gc-percent: a percentage, 0 or -1")
	case o.limitMemory != 0 && o.limitMemory < memoryLeast:
		return errors.New("memory-limit-bytes: 64 MiB (67108864) at least, or 0")
	case o.gcPercent == -1 && o.limitMemory == 0 && debug.SetMemoryLimit(-1) == math.MaxInt64:
		return errors.New("gc-percent: -1 needs memory-limit-bytes, or nothing would be collected")
	}
	if o.gcPercent != 0 {
		debug.SetGCPercent(o.gcPercent)
	}
	if o.limitMemory != 0 {
		debug.SetMemoryLimit(o.limitMemory)
	}
	return nil
}
