package pastewizard

import (
	"net/http"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// ServePage answers a request for a page.
func (d *Dialect) ServePage(w http.ResponseWriter, r *http.Request) {
	rec := web.RecordOf(r)
	rec.Dialect, rec.Render = node.APIPasteWizard, d.WritePageError
	rec.Err = &storage.Error{Op: "pastewizard.ServePage", Kind: storage.KindNotFound, Code: web.CodeEndpointNotFound}
	d.WritePageError(w, r, rec.Err)
}

// WritePageError writes an error as a page.
func (d *Dialect) WritePageError(w http.ResponseWriter, _ *http.Request, err error) {
	w.WriteHeader(web.StatusOf(err))
}
