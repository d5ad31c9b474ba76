package hashbin

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

func (d *dialect) leave(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	force := in.Bool("force")
	if err := in.Err(); err != nil {
		return err
	}
	l, err := d.s.Leave(r.Context(), c, storage.NodeID(p.ByName("id")), force != nil && *force)
	if err != nil {
		return err
	}
	if l.Warnings == nil {
		l.Warnings = []string{}
	}
	return answer(w, http.StatusOK, l)
}

func (d *dialect) abortLeave(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	id := p.ByName("id")
	if err := d.s.AbortLeave(r.Context(), c, storage.NodeID(id)); err != nil {
		return err
	}
	return answer(w, http.StatusOK, node.Leaving{ID: id, Warnings: []string{}})
}

func (d *dialect) holdMoves(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	hold := in.Bool("hold")
	if err := in.Err(); err != nil {
		return err
	}
	if hold == nil {
		return storage.Invalid("hashbin.holdMoves", "invalid_parameter", "hold", "required: true or false")
	}
	if err := d.s.HoldMoves(r.Context(), c, *hold); err != nil {
		return err
	}
	return answer(w, http.StatusOK, struct {
		Held bool `json:"held"`
	}{*hold})
}
