package testcluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// OpenBurn is a paste of PasteWizard's that its first reader burns, and what
// all of its readers were told.
type OpenBurn struct {
	Hash  string
	token string // of a key that owns it

	mu     sync.Mutex // protects the fields below
	texts  []string   // what it may hold: the text of its making, and those of edits
	edited string     // the text of the newest edit that was acknowledged
	got    []string   // who was shown a text, and which
	shown  string     // the text that was shown
	open   int        // tries that may have burned it for nobody: cut off, or their outcome unknown
	wrong  []error    // answers that must not be
}

// newBurnText is a text of so many bytes, in which nothing has to be escaped. No
// two begin alike: who has read the beginning has read the paste.
func newBurnText(size int) string {
	mark := "burn-" + randomName()
	return mark + strings.Repeat(".", max(0, size-len(mark)))
}

// markOf is what a text begins with.
func markOf(text string) []byte {
	mark, _, _ := strings.Cut(text, ".")
	return []byte(mark)
}

// createBurn is the request that makes such a paste.
func createBurn(c *Client, text string) (Answer, error) {
	b, err := json.Marshal(map[string]any{"content": text, "language": "plaintext", "burn_after_read": 1})
	if err != nil {
		return Answer{}, err
	}
	return c.Do(http.MethodPost, "/api/v1/paste_create.php", map[string]string{"Content-Type": "application/json"}, bytes.NewReader(b))
}

// burnOf is what was made of a text, by the answer.
func burnOf(a Answer, token, text string) (*OpenBurn, error) {
	var made struct {
		OK   bool
		Hash string
	}
	if err := a.JSON(&made); err != nil || a.Status != http.StatusOK || !made.OK || made.Hash == "" {
		return nil, fmt.Errorf("make a paste that burns: %d %s", a.Status, a.Body)
	}
	return &OpenBurn{Hash: made.Hash, token: token, texts: []string{text}}, nil
}

// NewBurn makes such a paste through a client whose key may write.
func NewBurn(c *Client, size int) (*OpenBurn, error) {
	text := newBurnText(size)
	a, err := createBurn(c, text)
	if err != nil {
		return nil, err
	}
	return burnOf(a, c.Key, text)
}

// form sends form fields.
func (cl *Client) form(path string, fields url.Values) (Answer, error) {
	return cl.Do(http.MethodPost, path, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, strings.NewReader(fields.Encode()))
}

// burnWays are the ways to read a paste: each burns it.
var burnWays = []struct {
	name string
	read func(c *Client, hash string) (Answer, error)
}{
	{"paste.php", func(c *Client, hash string) (Answer, error) {
		return c.Do(http.MethodGet, "/api/v1/paste.php?hash="+hash, nil, nil)
	}},
	{"raw.php", func(c *Client, hash string) (Answer, error) {
		return c.form("/api/v1/raw.php", url.Values{"hash": {hash}})
	}},
	{"the page", func(c *Client, hash string) (Answer, error) {
		c.Key = "" // nobody in particular
		return c.form("/p/"+hash, url.Values{"confirm": {"1"}})
	}},
}

// BurnRace is how readers of one paste go about it.
type BurnRace struct {
	Readers int
	// HangUp is the share of first tries that are given up once they are sent.
	HangUp float64
	// Nodes is how many there are, and Client a client of one of them.
	Nodes  int
	Client func(i int, key string) *Client
}

// Run lets all readers begin at the same moment, through all nodes. Each goes on, with
// the next node, until it is told what became of the paste.
func (race BurnRace) Run(b *OpenBurn, r *rand.Rand) error {
	var g errgroup.Group
	start := make(chan struct{})
	for k := range race.Readers {
		own := rand.New(rand.NewPCG(r.Uint64(), uint64(k)))
		g.Go(func() error {
			<-start
			return race.read(b, k, own)
		})
	}
	close(start)
	return g.Wait()
}

func (race BurnRace) read(b *OpenBurn, k int, r *rand.Rand) error {
	way := burnWays[k/race.Nodes%len(burnWays)]
	for until, try := time.Now().Add(giveUpAfter), 0; time.Now().Before(until); try++ {
		i := (k + try) % race.Nodes
		c := race.Client(i, b.token)
		c.Patience = patience
		if try == 0 && r.Float64() < race.HangUp {
			c.HangUp = drawn(r, hangUpMost) + 1
		}
		a, err := way.read(c, b.Hash)
		if b.told(fmt.Sprintf("reader %d through %s of node %d", k, way.name, i), a, err) {
			return nil
		}
		time.Sleep(againAfter)
	}
	return fmt.Errorf("a paste that burns: %w", errNobody)
}

// told notes what a reader was told, and reports whether that was final.
func (b *OpenBurn) told(who string, a Answer, err error) (final bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.texts {
		if !bytes.Contains(a.Body, markOf(text)) {
			continue
		}
		b.got, b.shown = append(b.got, fmt.Sprintf("%s (%d)", who, a.Status)), text
		if err == nil && !bytes.Contains(a.Body, []byte(text)) {
			b.wrong = append(b.wrong, fmt.Errorf("I2: %s was shown a part of the paste: %d bytes, whole", who, len(a.Body)))
		}
		return true
	}
	switch {
	case err != nil && neverSent(err):
	case err != nil, a.Status == http.StatusServiceUnavailable:
		b.open++
	case a.Status == http.StatusGone:
		return true
	default:
		b.wrong = append(b.wrong, fmt.Errorf("%s is told %d %.200s", who, a.Status, a.Body))
		return true
	}
	return false
}

// Edit gives the paste another text, unless it is burned.
func (b *OpenBurn) Edit(c *Client, size int) {
	text := newBurnText(size)
	b.mu.Lock()
	b.texts = append(b.texts, text)
	b.mu.Unlock()
	a, err := c.form("/api/v1/paste_edit.php", url.Values{"hash": {b.Hash}, "content": {text}})
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil, a.Status == http.StatusServiceUnavailable, a.Status == http.StatusGone:
	case a.Status == http.StatusOK:
		b.edited = text
	default:
		b.wrong = append(b.wrong, fmt.Errorf("an edit is told %d %.200s", a.Status, a.Body))
	}
}

// Winners is how many readers got the text.
func (b *OpenBurn) Winners() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

// Judge holds what all readers were told to I9, once each of them was told
// something: one of them got the text, or none when one was cut off.
func (b *OpenBurn) Judge() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := b.wrong
	switch {
	case len(b.got) > 1:
		errs = append(errs, fmt.Errorf("I9: %d readers got the bytes of a paste that burns: %s", len(b.got), strings.Join(b.got, ", ")))
	case len(b.got) == 0 && b.open == 0:
		errs = append(errs, errors.New("I9: a paste is burned, nobody got it, and nobody was cut off"))
	case len(b.got) == 1 && b.edited != "" && b.shown != b.edited:
		errs = append(errs, errors.New("I4: a paste was shown as it was before an edit that was acknowledged, and did not find it burned"))
	}
	return errors.Join(errs...)
}
