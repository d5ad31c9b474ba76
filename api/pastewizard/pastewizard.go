package pastewizard

import (
	"net/http"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// Dialect answers PasteWizard's requests on one node.
type Dialect struct {
	s *node.Service
}

// New returns PasteWizard, which answers for all paths under /api/v1, and for
// its pages.
func New(s *node.Service) *Dialect {
	return &Dialect{s: s}
}

// ServeHTTP answers a request of the API.
func (d *Dialect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := web.RecordOf(r)
	rec.Dialect, rec.Render = node.APIPasteWizard, d.WriteError
	rec.Err = &storage.Error{Op: "pastewizard.ServeHTTP", Kind: storage.KindNotFound, Code: web.CodeEndpointNotFound}
	d.WriteError(w, r, rec.Err)
}

// WriteError writes an error in the API's format.
func (d *Dialect) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
	_ = web.WriteJSON(w, web.StatusOf(err), map[string]any{"ok": false})
}
