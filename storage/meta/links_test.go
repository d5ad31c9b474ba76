package meta

import (
	"testing"

	"ringbin/storage"
)

// link is the command of a short link for a day.
func (w *world) link(id, account string) CreateLink {
	now := w.now / 1000 * 1000
	return CreateLink{
		ID: id, Account: account, Target: "https://example.org/" + id, Title: "An example", Created: now, Expires: now + dayMillis,
		DeleteKey: [32]byte{9},
	}
}

func (w *world) linkNow(id string) (Link, bool) {
	w.t.Helper()
	l, found, err := w.f.Link(id, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return l, found
}

func TestLinks(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	want := Link{
		ID: "l1", Target: "https://example.org/l1", Title: "An example", Account: "ann", Created: testStart, Expires: testStart + dayMillis,
		DeleteKey: [32]byte{9},
	}
	equal(t, "value", w.must(w.link("l1", "ann")), want)
	got, found := w.linkNow("l1")
	equal(t, "found", found, true)
	equal(t, "read", got, want)
	w.now += 1000
	w.must(w.link("l2", "ann"))
	w.must(CreateAccount{ID: "bob", Email: "bob@example.org"})
	w.must(w.link("l3", "bob"))
	w.must(testKey("key", 1))
	equal(t, "links", []int64{w.account("ann").Links, w.f.Counts().Links}, []int64{2, 3})
	none, ann := Header{}, Header{Actor: Actor{Account: "ann", Key: "key"}}
	for name, c := range map[string]struct {
		header Header
		change func(*CreateLink)
		kind   storage.Kind
		code   string
	}{
		"another's":  {ann, func(c *CreateLink) { c.Account = "bob" }, storage.KindForbidden, "not_own_account"},
		"nobody's":   {none, func(c *CreateLink) { c.Account = "" }, storage.KindNotFound, "not_found"},
		"no account": {none, func(c *CreateLink) { c.Account = "eve" }, storage.KindNotFound, "not_found"},
		"no id":      {none, func(c *CreateLink) { c.ID = "" }, storage.KindInvalid, "invalid_parameter"},
		"id taken":   {none, func(c *CreateLink) { c.ID = "l3" }, storage.KindConflict, "id_taken"},
		"expired":    {none, func(c *CreateLink) { c.Expires = testStart }, storage.KindInvalid, "expiry_not_future"},
		"year 10000": {none, func(c *CreateLink) { c.Expires = endMax + 1 }, storage.KindInvalid, "expiry_not_future"},
	} {
		l := w.link("new", "ann")
		c.change(&l)
		t.Log(name)
		w.refused(c.header, l, c.kind, c.code)
	}
	var ids []string
	err := w.f.LinksOf("ann", w.now, func(l Link) error {
		ids = append(ids, l.ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "ann's", ids, []string{"l2", "l1"})
	equal(t, "deleted", w.must(DeleteLink{ID: "l1"}), want)
	w.refused(none, DeleteLink{ID: "l1"}, storage.KindNotFound, "not_found")
	w.refused(none, SetLinkExpiry{ID: "l1"}, storage.KindNotFound, "not_found")
	equal(t, "links", []int64{w.account("ann").Links, w.f.Counts().Links}, []int64{1, 2})
	w.sound(t)
}

// A short link is not found from the moment it ends, swept or not.
func TestLinkExpiry(t *testing.T) {
	t.Parallel()
	w := newCluster(t)
	w.must(w.link("l1", "ann"))
	w.must(w.link("l2", "ann"))
	forever := w.link("l3", "ann")
	forever.Expires = 0
	w.must(forever)
	none := Header{}
	w.refused(none, SetLinkExpiry{ID: "l1", Expires: testStart}, storage.KindInvalid, "expiry_not_future")
	l, ok := w.must(SetLinkExpiry{ID: "l1", Expires: testStart + minute}).(Link)
	if !ok || l.Expires != testStart+minute {
		t.Errorf("value %+v", l)
	}
	w.must(SetLinkExpiry{ID: "l2"})
	w.wait(minute - 1)
	if _, found := w.linkNow("l1"); !found || w.f.SweepDue(w.now) {
		t.Error("it ends too soon")
	}
	w.wait(1)
	if _, found := w.linkNow("l1"); found || !w.f.SweepDue(w.now) {
		t.Error("it does not end")
	}
	w.refused(none, SetLinkExpiry{ID: "l1"}, storage.KindNotFound, "not_found")
	w.refused(none, DeleteLink{ID: "l1"}, storage.KindNotFound, "not_found")
	equal(t, "swept", w.must(Sweep{Limit: 10}), SweepResult{Removed: 1})
	w.sound(t)
	w.must(SetLinkExpiry{ID: "l3", Expires: w.now + minute})
	w.wait(50_000 * dayMillis)
	equal(t, "swept", w.sweepAll(), 1)
	if l, found := w.linkNow("l2"); !found || l.Expires != 0 {
		t.Errorf("%+v, found %t", l, found)
	}
	equal(t, "links", w.account("ann").Links, int64(1))
	w.sound(t)
}
