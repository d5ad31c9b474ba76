package hashbin

import (
	"net/http"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
)

// snapshot streams all metadata. The stream ends in its own checksum; one that
// can't go on is cut.
func (d *dialect) snapshot(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	s, err := d.s.Snapshot(r.Context(), c)
	if err != nil {
		return err
	}
	defer s.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Cluster-Id", s.Cluster)
	h.Set("X-Index", strconv.FormatUint(s.Index(), 10))
	if r.Method == http.MethodHead {
		return nil
	}
	if err := s.Write(w); err != nil {
		web.RecordOf(r).Err = err
		panic(http.ErrAbortHandler)
	}
	return nil
}

// storedBlob sends the bytes of any stored content.
func (d *dialect) storedBlob(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	content, err := d.s.StoredBlob(r.Context(), c, cid)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was only read
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	return web.ServeContent(w, r, content, time.Time{})
}
