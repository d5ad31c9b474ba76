package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"ringbin/storage"
)

// diskMetrics publish what the node writes: all of the process, where the
// system tells, and the blob store's part by its reason.
func (n *Node) diskMetrics() {
	if _, known := processWritten(); known {
		n.counter("process_written_bytes_total", "Bytes that this process has sent to disks.", func() float64 {
			written, _ := processWritten()
			return float64(written)
		})
	}
	n.registry.MustRegister(newStoreWrites(n.store.DiskStats))
}

// storeWrites is a collector, so that all of its numbers are of one moment.
type storeWrites struct {
	read      func() storage.DiskStats
	written   *prometheus.Desc
	unflushed *prometheus.Desc
	running   *prometheus.Desc
}

func newStoreWrites(read func() storage.DiskStats) *storeWrites {
	name := func(s string) string { return prometheus.BuildFQName("ringbin", "store", s) }
	return &storeWrites{
		read:      read,
		written:   prometheus.NewDesc(name("written_bytes_total"), "Bytes that the blob store has written.", []string{"by"}, nil),
		unflushed: prometheus.NewDesc(name("unflushed_bytes"), "Bytes of blobs that only the write-ahead log has.", nil, nil),
		running:   prometheus.NewDesc(name("compactions"), "Flushes and compactions of the blob store under way.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (s *storeWrites) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.written, s.unflushed, s.running} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *storeWrites) Collect(to chan<- prometheus.Metric) {
	d := s.read()
	for _, w := range []struct {
		by    string
		bytes uint64
	}{{"log", d.Logged}, {"flush", d.Flushed}, {"ingest", d.Ingested}, {"compaction", d.Compacted}} {
		to <- prometheus.MustNewConstMetric(s.written, prometheus.CounterValue, float64(w.bytes), w.by)
	}
	to <- prometheus.MustNewConstMetric(s.unflushed, prometheus.GaugeValue, float64(d.Unflushed))
	to <- prometheus.MustNewConstMetric(s.running, prometheus.GaugeValue, float64(d.Running))
}
