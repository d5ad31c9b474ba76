package node

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringbin/storage"
)

func TestStoreWritesAreNamed(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	r.MustRegister(newStoreWrites(func() storage.DiskStats {
		return storage.DiskStats{Logged: 1, Flushed: 2, Ingested: 3, Compacted: 4, Unflushed: 5, Running: 6}
	}))
	page := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
	for _, want := range []string{
		`ringbin_store_written_bytes_total{by="log"} 1`, `ringbin_store_written_bytes_total{by="flush"} 2`,
		`ringbin_store_written_bytes_total{by="ingest"} 3`, `ringbin_store_written_bytes_total{by="compaction"} 4`,
		`ringbin_store_unflushed_bytes 5`, `ringbin_store_compactions 6`,
	} {
		if !strings.Contains(page.Body.String(), "\n"+want+"\n") {
			t.Errorf("no %q in %s", want, page.Body)
		}
	}
}

func TestProcessWritten(t *testing.T) {
	t.Parallel()
	if _, known := processWritten(); known != (runtime.GOOS == "linux") {
		t.Errorf("known: %t, on %s", known, runtime.GOOS)
	}
}
