package cluster

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// hcLog lets HashiCorp's libraries log to slog, a level or two lower: their Info
// is chatter, and most of their errors are a peer that is away, which health tells.
type hcLog struct {
	logger *slog.Logger
	name   string
	args   []any
}

var _ hclog.Logger = hcLog{}

func newHCLog(l *slog.Logger, name string) hcLog { return hcLog{logger: l, name: name} }

var hcLevels = map[hclog.Level]slog.Level{
	hclog.Trace: slog.LevelDebug - 4, hclog.Debug: slog.LevelDebug - 4, hclog.Info: slog.LevelDebug,
	hclog.Warn: slog.LevelInfo, hclog.Error: slog.LevelInfo,
}

// Log implements hclog.Logger.
func (h hcLog) Log(level hclog.Level, msg string, args ...any) {
	all := append(append([]any{"part", h.name}, h.args...), args...)
	for i := range all {
		if s, ok := all[i].(string); ok && i%2 == 0 {
			all[i] = strings.ReplaceAll(s, "-", "_")
		}
	}
	h.logger.Log(context.Background(), hcLevels[level], msg, all...) //nolint:sloglint // the library's own words
}

// Trace implements hclog.Logger.
func (h hcLog) Trace(msg string, args ...any) { h.Log(hclog.Trace, msg, args...) }

// Debug implements hclog.Logger.
func (h hcLog) Debug(msg string, args ...any) { h.Log(hclog.Debug, msg, args...) }

// Info implements hclog.Logger.
func (h hcLog) Info(msg string, args ...any) { h.Log(hclog.Info, msg, args...) }

// Warn implements hclog.Logger.
func (h hcLog) Warn(msg string, args ...any) { h.Log(hclog.Warn, msg, args...) }

// Error implements hclog.Logger.
func (h hcLog) Error(msg string, args ...any) { h.Log(hclog.Error, msg, args...) }

func (h hcLog) on(l hclog.Level) bool {
	return h.logger.Enabled(context.Background(), hcLevels[l])
}

// IsTrace implements hclog.Logger.
func (h hcLog) IsTrace() bool { return h.on(hclog.Trace) }

// IsDebug implements hclog.Logger.
func (h hcLog) IsDebug() bool { return h.on(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (h hcLog) IsInfo() bool { return h.on(hclog.Info) }

// IsWarn implements hclog.Logger.
func (h hcLog) IsWarn() bool { return h.on(hclog.Warn) }

// IsError implements hclog.Logger.
func (h hcLog) IsError() bool { return h.on(hclog.Error) }

// ImpliedArgs implements hclog.Logger.
func (h hcLog) ImpliedArgs() []any { return h.args }

// With implements hclog.Logger.
func (h hcLog) With(args ...any) hclog.Logger {
	h.args = append(append([]any{}, h.args...), args...)
	return h
}

// Name implements hclog.Logger.
func (h hcLog) Name() string { return h.name }

// Named implements hclog.Logger.
func (h hcLog) Named(name string) hclog.Logger {
	h.name += "." + name
	return h
}

// ResetNamed implements hclog.Logger.
func (h hcLog) ResetNamed(name string) hclog.Logger {
	h.name = name
	return h
}

// SetLevel implements hclog.Logger; slog's handler decides.
func (hcLog) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (hcLog) GetLevel() hclog.Level { return hclog.Info }

// StandardLogger implements hclog.Logger.
func (h hcLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(h.logger.Handler(), slog.LevelDebug)
}

// StandardWriter implements hclog.Logger.
func (h hcLog) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return h.StandardLogger(o).Writer()
}
