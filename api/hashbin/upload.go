package hashbin

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/julienschmidt/httprouter"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// retentionMost is the longest retention of an upload in days; it need be a
// multiple of 30, too.
const retentionMost = 36_500

const rawType = "application/octet-stream"

// upload takes content in one of two forms, told apart by the request: the
// documented one, and that of clients of HashBin's deployed service.
func (d *dialect) upload(w http.ResponseWriter, r *http.Request, _ httprouter.Params, c node.Caller) error {
	mediaType, _ := web.MediaType(r.Header.Get("Content-Type"))
	if r.URL.Query().Has("retention_months") || mediaType == formType {
		return d.uploadSecondForm(w, r, c, mediaType)
	}
	u, err := documentedForm(r)
	if err != nil {
		return err
	}
	got, again, err := d.s.Upload(r.Context(), c, u)
	if err != nil {
		return err
	}
	replayed(w, again)
	return answer(w, http.StatusOK, struct {
		CID        string `json:"cid"`
		Size       int64  `json:"size"`
		Cost       int64  `json:"cost_cents"`
		Expiration string `json:"expiration"`
		Balance    int64  `json:"new_balance_cents"`
		Existing   bool   `json:"existing"`
	}{got.CID.String(), got.CID.Size(), got.CostCents, stamp(got.Expires), got.BalanceCents, got.Existing})
}

// headerFaults gathers what is wrong with an upload's headers. Faults of the
// kind of the first one are answered together.
type headerFaults struct {
	code   string
	faults []web.Fault
}

func (f *headerFaults) add(code, header, want string) {
	if f.code == "" {
		f.code = code
	}
	if f.code == code {
		f.faults = append(f.faults, web.Fault{Field: header, Want: want})
	}
}

func (f *headerFaults) err() error { return web.Faults("hashbin.upload", f.code, f.faults...) }

func documentedForm(r *http.Request) (node.Upload, error) {
	var f headerFaults
	if t := r.Header.Values("Content-Type"); len(t) > 0 {
		if mediaType, ok := web.MediaType(t[0]); !ok || len(t) > 1 || mediaType != rawType {
			f.add("invalid_header", "Content-Type", "must be application/octet-stream")
		}
	}
	u := node.Upload{ContentLength: r.ContentLength, Body: r.Body}
	u.CID = contentHash(r.Header, true, &f)
	u.Days = retentionDays(r.Header, true, &f)
	identityOnly(r.Header, &f)
	u.Idem = uploadIdempotency(r, "raw", &f)
	return u, f.err()
}

// contentHash reads X-Content-Hash; nil without one.
func contentHash(h http.Header, required bool, f *headerFaults) *storage.CID {
	const name = "X-Content-Hash"
	value := h.Get(name)
	if value == "" {
		if required {
			f.add("missing_header", name, "required: the 256t CID of the body")
		}
		return nil
	}
	cid, err := storage.ParseCID(value)
	if err != nil || len(h.Values(name)) > 1 {
		f.add("invalid_header", name, "must be one 256t CID, without quotes")
		return nil
	}
	return &cid
}

// retentionDays reads X-Retention-Days; 0 without one.
func retentionDays(h http.Header, required bool, f *headerFaults) int {
	const name = "X-Retention-Days"
	value := h.Get(name)
	if value == "" {
		if required {
			f.add("missing_header", name, "required: a positive multiple of 30")
		}
		return 0
	}
	days, ok := web.ParseUint(value, retentionMost)
	if !ok || days == 0 || days%daysOfMonth != 0 || len(h.Values(name)) > 1 {
		f.add("invalid_header", name, "must be a positive multiple of 30, at most 36480")
		return 0
	}
	return int(days)
}

// identityOnly refuses encoded bodies: the CID names the bytes as sent.
func identityOnly(h http.Header, f *headerFaults) {
	for _, v := range h.Values("Content-Encoding") {
		if !strings.EqualFold(v, "identity") {
			f.add("invalid_header", "Content-Encoding", "must be absent or identity: the CID names the bytes as sent")
			return
		}
	}
}

// uploadIdempotency reads the Idempotency-Key; form is what, with method, path,
// query, CID and days, makes two uploads the same request.
func uploadIdempotency(r *http.Request, form string, f *headerFaults) *node.Idempotency {
	idem, err := idempotency(r, form)
	if err != nil {
		f.add("invalid_header", "Idempotency-Key", "1 to 255 printable ASCII characters")
	}
	return idem
}

// uploadSecondForm takes content with any type, raw or in a form, and with
// retention in months; its CID may be left to the node.
func (d *dialect) uploadSecondForm(w http.ResponseWriter, r *http.Request, c node.Caller, mediaType string) error {
	var f headerFaults
	u := node.Upload{ContentLength: r.ContentLength, Body: r.Body, ContentType: declaredType(r.Header.Get("Content-Type"))}
	u.CID = contentHash(r.Header, false, &f)
	keep := retentionWishes{}
	keep.add(retentionDays(r.Header, false, &f))
	identityOnly(r.Header, &f)
	form := "second " + mediaType
	if mediaType == formType {
		form = "second" // a form's boundary differs each time; the content's own type is added after the body
	}
	u.Idem = uploadIdempotency(r, form, &f)
	if err := f.err(); err != nil {
		return err
	}
	for _, months := range r.URL.Query()["retention_months"] {
		if err := keep.addMonths(months); err != nil {
			return err
		}
	}
	if mediaType == formType {
		form, err := readForm(r, &keep)
		if err != nil {
			return err
		}
		u.ContentLength, u.Body, u.AfterBody = -1, form, form.after
	} else {
		var err error
		if u.Days, err = keep.days(); err != nil {
			return err
		}
	}
	got, again, err := d.s.Upload(r.Context(), c, u)
	if err != nil {
		return err
	}
	replayed(w, again)
	status := http.StatusCreated
	if got.Existing {
		status = http.StatusOK
	}
	expires := stamp(got.Expires)
	return answer(w, status, struct {
		CID        string `json:"cid"`
		Size       int64  `json:"size"`
		SizeBytes  int64  `json:"size_bytes"`
		Cost       int64  `json:"cost_cents"`
		Balance    int64  `json:"new_balance_cents"`
		Existing   bool   `json:"existing"`
		Expiration string `json:"expiration"`
		ExpiresAt  string `json:"expires_at"`
		URL        string `json:"url"`
	}{
		got.CID.String(), got.CID.Size(), got.CID.Size(), got.CostCents, got.BalanceCents, got.Existing,
		expires, expires, d.contentURL(r, got.CID),
	})
}

// declaredType is the type to store with content; what is none says nothing.
// It is replicated and sent with every read: hence no more than a type.
func declaredType(contentType string) string {
	mediaType, ok := web.MediaType(contentType)
	if !ok {
		return ""
	}
	return mediaType
}

// contentURL is where content is served: on a host of its own where the
// operator gave it one, else where the request came to.
func (d *dialect) contentURL(r *http.Request, cid storage.CID) string {
	cfg := d.s.Config()
	base := strings.TrimRight(cfg.ContentBaseURL, "/")
	if base == "" {
		base = "http://" + r.Host
		if r.TLS != nil || cfg.BehindTLS {
			base = "https://" + r.Host
		}
	}
	return base + "/" + cid.String()
}

// retentionWishes gathers how long content is to be kept, from the places that
// may say so; they have to agree.
type retentionWishes struct {
	wished  int
	differs bool
}

func (k *retentionWishes) add(days int) {
	if days == 0 {
		return
	}
	k.differs = k.differs || k.wished != 0 && k.wished != days
	k.wished = days
}

func (k *retentionWishes) addMonths(text string) error {
	months, err := strconv.Atoi(text)
	if err != nil || months < 1 || months > monthsMost {
		return storage.Invalid("hashbin.upload", "invalid_parameter", "retention_months", "integer from 1 to 1216")
	}
	k.add(months * daysOfMonth)
	return nil
}

// days is what all agree on; a month when nobody said anything.
func (k *retentionWishes) days() (int, error) {
	switch {
	case k.differs:
		return 0, storage.Invalid("hashbin.upload", "invalid_parameter", "retention_months", "given more than once, and not the same")
	case k.wished == 0:
		return daysOfMonth, nil
	}
	return k.wished, nil
}
