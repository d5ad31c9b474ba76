package hashbin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

func (d *dialect) read(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	return d.serve(w, r, cid, "")
}

// readRoot serves content at the root, as the 256t convention has it: an
// extension picks the type and nothing else; all faults are 404.
func (d *dialect) readRoot(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	name, ext, dotted := strings.Cut(p.ByName("file"), ".")
	cid, err := storage.ParseCID(name)
	if err != nil || dotted && !isExtension(ext) {
		return &storage.Error{Op: "hashbin.readRoot", Kind: storage.KindNotFound, Code: "endpoint_not_found"}
	}
	return d.serve(w, r, cid, ext)
}

// serve sends content; with an extension, under the type that it stands for.
func (d *dialect) serve(w http.ResponseWriter, r *http.Request, cid storage.CID, ext string) error {
	c, err := d.s.Content(r.Context(), cid)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // read only: a fault that matters was seen by Read
	h := w.Header()
	name := cid.String()
	values := [...]string{`"` + name + `"`, c.ContentType, "public, max-age=" + strconv.FormatInt(int64(c.MaxAge/time.Second), 10) + ", immutable"}
	h["Etag"], h["Content-Type"], h["Cache-Control"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if ext != "" {
		h.Set("Content-Type", typeOf(ext))
		name += "." + ext
	}
	if r.URL.RawQuery != "" && r.URL.Query().Get("download") == "true" {
		h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	return web.ServeContent(w, r, c, time.Time{})
}

func (d *dialect) metadata(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	c, err := d.s.Metadata(r.Context(), cid)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, newItem(cid, c.Uploaded, c.Expires, c.ContentType))
}

// itemJSON is content, or one's own reference to it; what is not active is not shown.
type itemJSON struct {
	CID         string `json:"cid"`
	Size        int64  `json:"size"`
	Uploaded    string `json:"uploaded"`
	Expires     string `json:"expires"`
	Status      string `json:"status"`
	ContentType string `json:"content_type"`
}

func newItem(cid storage.CID, uploaded, expires int64, contentType string) itemJSON {
	return itemJSON{cid.String(), cid.Size(), stamp(uploaded), stamp(expires), "active", contentType}
}

func (d *dialect) exists(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	there := false
	if cid, err := storage.ParseCID(p.ByName("cid")); err == nil {
		if there, err = d.s.Exists(r.Context(), cid); err != nil {
			return err
		}
	}
	return answer(w, http.StatusOK, struct {
		Exists bool   `json:"exists"`
		CID    string `json:"cid"`
	}{there, p.ByName("cid")})
}

func (d *dialect) list(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	limit, at, err := web.Paging(r.URL.Query(), pageDefault, pageMost)
	if err != nil {
		return err
	}
	page, err := d.s.References(r.Context(), c, limit, at)
	if err != nil {
		return err
	}
	out := struct {
		Items []itemJSON `json:"items"`
		Next  *string    `json:"next_cursor"`
	}{Items: make([]itemJSON, 0, len(page.Items)), Next: cursor(page.Next)}
	for _, ref := range page.Items {
		out.Items = append(out.Items, newItem(ref.CID, ref.Uploaded, ref.Expires, ref.ContentType))
	}
	return answer(w, http.StatusOK, out)
}

func (d *dialect) extend(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	in, err := web.ReadObject(r)
	if err != nil {
		return err
	}
	days, err := addedDays(in)
	if err != nil {
		return err
	}
	idem, err := idempotency(r, in.Canonical())
	if err != nil {
		return err
	}
	got, again, err := d.s.Extend(r.Context(), c, cid, days, idem)
	if err != nil {
		if e, ok := errors.AsType[*storage.Error](err); ok && e.Field == "days" && !in.Has("days") {
			// The fault is named after the member that was sent.
			return storage.Invalid(e.Op, e.Code, "additional_months", fmt.Sprint(e.Details["days"]))
		}
		return err
	}
	replayed(w, again)
	expires := stamp(got.Expires)
	return answer(w, http.StatusOK, struct {
		CID         string `json:"cid"`
		Size        int64  `json:"size"`
		Cost        int64  `json:"cost_cents"`
		Expiration  string `json:"expiration"`
		ExpiresAt   string `json:"expires_at"`
		DaysAdded   int    `json:"days_added"`
		MonthsAdded int    `json:"months_added"`
		Balance     int64  `json:"new_balance_cents"`
	}{got.CID.String(), got.CID.Size(), got.CostCents, expires, expires, got.Days, got.Days / daysOfMonth, got.BalanceCents})
}

// addedDays reads how much longer: exactly one of days and additional_months.
func addedDays(in *web.Object) (int, error) {
	const op = "hashbin.extend"
	days, months := in.Int("days"), in.Int("additional_months")
	if err := in.Err(); err != nil {
		return 0, err
	}
	switch {
	case (days == nil) == (months == nil):
		return 0, storage.Invalid(op, "invalid_parameter", "days", "exactly one of days and additional_months is required")
	case days != nil && (*days < 1 || *days%daysOfMonth != 0 || *days > retentionMost):
		return 0, storage.Invalid(op, "invalid_parameter", "days", "a positive multiple of 30, at most 36480")
	case days != nil:
		return int(*days), nil
	case *months < 1 || *months > monthsMost:
		return 0, storage.Invalid(op, "invalid_parameter", "additional_months", "integer from 1 to 1216")
	}
	return int(*months) * daysOfMonth, nil
}

func (d *dialect) remove(w http.ResponseWriter, r *http.Request, p httprouter.Params, c node.Caller) error {
	cid, err := pathCID(p)
	if err != nil {
		return err
	}
	idem, err := idempotency(r, "")
	if err != nil {
		return err
	}
	got, again, err := d.s.Delete(r.Context(), c, cid, idem)
	if err != nil {
		return err
	}
	replayed(w, again)
	return answer(w, http.StatusOK, struct {
		Success bool   `json:"success"`
		CID     string `json:"cid"`
		Exists  bool   `json:"exists"`
	}{true, got.CID.String(), got.Exists})
}
