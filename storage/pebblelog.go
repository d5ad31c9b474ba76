package storage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// PebbleLog is what our databases log to. Left to itself Pebble would end the
// process on one flipped bit, and write to stderr.
type PebbleLog struct {
	Logger *slog.Logger
	Fatal  func(error)         // told before the goroutine panics; may be nil
	Slow   func(time.Duration) // told of slow operations of the file system; may be nil
}

var _ pebble.Logger = PebbleLog{}

// Infof drops Pebble's chatter but for debugging.
func (l PebbleLog) Infof(format string, args ...any) {
	if l.Logger.Enabled(context.Background(), slog.LevelDebug-4) {
		l.Logger.Debug("pebble", "text", fmt.Sprintf(format, args...))
	}
}

// Errorf logs what Pebble calls an error.
func (l PebbleLog) Errorf(format string, args ...any) {
	l.Logger.Warn("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf is called where Pebble can't go on: a write to its log failed. It must
// not return, or an unwritten batch would be acknowledged.
func (l PebbleLog) Fatalf(format string, args ...any) {
	err := fmt.Errorf("pebble: "+format, args...)
	l.Logger.Error("database can't go on", "err", err)
	if l.Fatal != nil {
		l.Fatal(err)
	}
	panic(err)
}

// BackgroundError logs a failed flush or compaction; Pebble tries again.
func (l PebbleLog) BackgroundError(err error) {
	l.Logger.Error("database background work failed", "err", err)
}

// DiskSlow logs an operation of the file system that takes long.
func (l PebbleLog) DiskSlow(info pebble.DiskSlowInfo) {
	l.Logger.Warn("disk is slow", "path", info.Path, "duration", info.Duration)
	if l.Slow != nil {
		l.Slow(info.Duration)
	}
}
