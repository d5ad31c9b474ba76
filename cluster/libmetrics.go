package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	metricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// libraryMetricsKept is how long a number of the libraries is shown after it
// was last given.
const libraryMetricsKept = 10 * time.Minute

// LibraryMetrics are the numbers that raft and memberlist give of themselves.
// They are the process's: nodes that share one process share them. Without the
// build tag hashicorpmetrics the libraries report elsewhere, and there are none.
var LibraryMetrics = sync.OnceValues(func() (prometheus.Collector, error) {
	sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{
		Expiration: libraryMetricsKept, Registerer: prometheus.NewRegistry(), // nodes register it with their own
	})
	if err != nil {
		return nil, fmt.Errorf("metrics of the libraries: %w", err)
	}
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname, cfg.EnableRuntimeMetrics = false, false
	if _, err := metrics.NewGlobal(cfg, sink); err != nil {
		return nil, fmt.Errorf("metrics of the libraries: %w", err)
	}
	return sink, nil
})
