package node

import (
	"log"
	"log/slog"
	"time"
)

// slogErrorLog is what net/http complains to: broken clients, mostly.
func slogErrorLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

func sinceSeconds(t time.Time) float64 { return time.Since(t).Seconds() }
