package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ringbin/api/web"
)

// numbers are the metrics of the public port.
type numbers struct {
	inFlight prometheus.Gauge
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sent     *prometheus.CounterVec
}

func newNumbers(r *prometheus.Registry) *numbers {
	n := &numbers{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "ringbin", Name: "http_requests_in_flight", Help: "Requests being worked on.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "ringbin", Name: "http_requests_total", Help: "Requests answered; status 0 was cut off before its answer.",
		}, []string{"dialect", "route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "ringbin", Name: "http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}, []string{"dialect", "route", "method"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "ringbin", Name: "http_sent_bytes_total", Help: "Bytes of answers' bodies.",
		}, []string{"dialect"}),
	}
	r.MustRegister(n.inFlight, n.requests, n.seconds, n.sent)
	return n
}

// methods are those that may be a label: a client can send any word.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

func (n *numbers) observe(r *http.Request, rec *web.Record, sent *web.Response, took time.Duration) {
	method := r.Method
	if !slices.Contains(methods, method) {
		method = "other"
	}
	n.requests.WithLabelValues(rec.Dialect, rec.Route, method, strconv.Itoa(sent.Status())).Inc()
	n.seconds.WithLabelValues(rec.Dialect, rec.Route, method).Observe(took.Seconds())
	n.sent.WithLabelValues(rec.Dialect).Add(float64(sent.Bytes()))
}
