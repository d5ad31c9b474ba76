package paste69

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"ringbin/node"
)

// createOptions are what create needs to know of its node.
type createOptions struct {
	Limit int64            // bytes of content: PasteUploadLimit of the caller
	Spool *spooler         // one per node: newSpooler(DataDir/spool)
	Now   func() time.Time // for the expiry
}

// spooler keeps bodies on disk until it is known what they are.
type spooler struct{}

func newSpooler(dir string) *spooler { panic(dir) }

// create is a create request on its way in: an io.Reader of the content.
type create struct{}

// readCreate decides what the body is, and reads it up to the content.
func readCreate(r *http.Request, o createOptions) (*create, error) { panic(o) }

func (c *create) Read(p []byte) (int, error) { panic(p) }

// URL is what is to be fetched; "" where the request has content of its own.
func (c *create) URL() string { panic(c) }

// fetched gives a create by URL its content, which close closes.
func (c *create) fetched(body io.ReadCloser, name string) { panic(name) }

// size is the content's declared size, -1 when it has none: NewPaste.ContentLength.
func (c *create) size() int64 { panic(c) }

// finish is NewPaste.AfterBody.
func (c *create) finish(p *node.NewPaste) error { panic(p) }

// close gives back disk and connections. Call it always.
func (c *create) close() { panic(c) }

// shortenForm is what POST /u takes. Title is clean, "" for none.
type shortenForm struct {
	URL, Title string
	Expiry     node.Expiry
}

// readShorten checks the URL, too, but not whether it is a short link: see shortLinkOf.
func readShorten(r *http.Request, now time.Time) (shortenForm, error) { panic(now) }

func readExpiry(r *http.Request, now time.Time) (node.Expiry, error) { panic(now) }

func readKeyRequest(r *http.Request) (name, email string, err error) { panic(r) }

// readToken reads the field or query parameter; "" for none.
func readToken(r *http.Request) (string, error) { panic(r) }

// checkOwn refuses a target that is a short link under one of the bases.
func checkOwn(target string, bases ...string) error { panic(target) }

func parsePaging(q url.Values) (node.ListOrder, error) { panic(q) }

// parseDayRange returns days since 1970, both inclusive.
func parseDayRange(q url.Values, now time.Time) (from, to int32, err error) { panic(now) }

// classify tells where a click came from: the referrer's host, "" for none, and
// the browser's family.
func classify(r *http.Request) (referrer, browser string) { panic(r) }

// isPrefetch reports whether a browser asks in advance: that is no click.
func isPrefetch(r *http.Request) bool { panic(r) }

// FetchRules are what the operator allows.
type FetchRules struct {
	Ports []int64        // 80 and 443 when empty
	Deny  []netip.Prefix // refused besides what always is
	Nodes []string       // addresses or host names of the cluster's nodes, with or without port
}

// FetchOptions are what a Fetcher works with. Only Rules is required.
type FetchOptions struct {
	Rules func() FetchRules // asked anew for each fetch
}

// Fetcher makes requests to strangers' servers.
type Fetcher struct{}

// NewFetcher returns a Fetcher.
func NewFetcher(opts FetchOptions) *Fetcher { panic(opts) }

// Get fetches at most limit bytes; name is the last segment of the path.
func (f *Fetcher) Get(ctx context.Context, rawURL string, limit int64) (body io.ReadCloser, name string, err error) {
	panic(rawURL)
}

// Title returns the title of an HTML page, "" if there is none to be had.
func (f *Fetcher) Title(ctx context.Context, rawURL string) string { panic(rawURL) }
