package meta

import (
	"fmt"

	"ringbin/storage"
)

// cached are the records that nearly every command and read needs. A cached
// value is never changed: it is replaced after the batch that wrote one of them.
type cached struct {
	settings Settings
	ring     *storage.Ring // nil before the first one
	next     *storage.Ring // nil while no change is under way
	note     ringNote
	nodes    map[storage.NodeID]Node
	draining map[storage.NodeID]Drain
	replaced map[storage.NodeID]storage.NodeID // a dead member -> who comes in its place
	counters *counters
	time     int64

	graceSince int64 // FSM time when the grace of deletion last changed
}

// reload reads the cached records again after one of them was written.
func (t *tx) reload() error {
	t.cacheOld = true
	c := &cached{nodes: map[storage.NodeID]Node{}, draining: map[storage.NodeID]Drain{}, replaced: map[storage.NodeID]storage.NodeID{}}
	settings, ok, err := read[Settings](t, single(singleSettings))
	if err != nil {
		return err
	}
	if c.settings = settings; !ok {
		c.settings = DefaultSettings()
	}
	if c.settings.DeletionGraceSeconds == 0 { // stored before there was this setting
		c.settings.DeletionGraceSeconds = DefaultSettings().DeletionGraceSeconds
	}
	if c.settings.Paste69.FlushCount == 0 { // stored before there were these
		c.settings.Paste69 = DefaultPaste69()
	}
	if c.settings.JSONBin.PageSize == 0 { // and these
		c.settings.JSONBin = DefaultJSONBin()
	}
	if c.settings.PasteWizard.ContentMaxBytes == 0 {
		c.settings.PasteWizard = DefaultPasteWizard()
	}
	if c.graceSince, _, err = read[int64](t, single(singleGraceSince)); err != nil {
		return err
	}
	for name, at := range map[string]**storage.Ring{singleRing: &c.ring, singleNextRing: &c.next} {
		r, ok, err := read[storage.Ring](t, single(name))
		if err != nil {
			return err
		}
		if ok {
			*at = &r
		}
	}
	err = scan(t.rows(), []byte{tableNodes}, func(k, v []byte) (bool, error) {
		var n Node
		if err := decMode.Unmarshal(v, &n); err != nil {
			return false, fmt.Errorf("%w: key %x: %w", errCorruptState, k, err)
		}
		c.nodes[n.ID] = n
		return true, nil
	})
	if err != nil {
		return err
	}
	if c.note, _, err = read[ringNote](t, single(singleRingNote)); err != nil {
		return err
	}
	was := t.cache.counters
	t.cache = c
	if err := t.reloadLeaving(c); err != nil {
		return err
	}
	c.counters = c.appoint(was, t.index)
	return nil
}

func nodeKey(id storage.NodeID) []byte { return key(tableNodes).str(string(id)) }

func (t *tx) putNode(_ Header, c PutNode) (Node, error) {
	const op = "PutNode"
	n := c.Node
	if n.ID == "" || n.Incarnation == 0 {
		return Node{}, refuseField(op, "id", "a node has an id and an incarnation")
	}
	if _, gone, err := t.get(key(tableRemoved).str(string(n.ID))); err != nil || gone {
		return Node{}, orRefuse(err, refuse(op, storage.KindForbidden, "node_removed", nil))
	}
	old, known := t.cache.nodes[n.ID]
	if known && n.Incarnation < old.Incarnation {
		return Node{}, refuse(op, storage.KindConflict, "incarnation_reused", nil)
	}
	if known && n == old {
		return n, nil
	}
	if err := write(t, nodeKey(n.ID), n); err != nil {
		return Node{}, err
	}
	if !known || n.Incarnation != old.Incarnation || n.Zone != old.Zone || n.Capacity != old.Capacity {
		if err := t.releaseRing(); err != nil {
			return Node{}, err
		}
	}
	return n, t.reload()
}

func (t *tx) removeNode(_ Header, c RemoveNode) (none, error) {
	if _, known := t.cache.nodes[c.ID]; !known {
		return none{}, refuseMissing("RemoveNode")
	}
	if err := t.del(nodeKey(c.ID)); err != nil {
		return none{}, err
	}
	if err := write(t, key(tableRemoved).str(string(c.ID)), t.time); err != nil {
		return none{}, err
	}
	if err := t.forgetLeaving(c.ID); err != nil {
		return none{}, err
	}
	if err := t.releaseRing(); err != nil {
		return none{}, err
	}
	return none{}, t.reload()
}

func (t *tx) setSettings(_ Header, c SetSettings) (Settings, error) {
	s := t.cache.settings
	patch(&s.MaxUploadBytes, c.Patch.MaxUploadBytes)
	patch(&s.PriceCentsPerGiB, c.Patch.PriceCentsPerGiB)
	patch(&s.RateKeyPerMinute, c.Patch.RateKeyPerMinute)
	patch(&s.RateIPPerMinute, c.Patch.RateIPPerMinute)
	patch(&s.CORSOrigins, c.Patch.CORSOrigins)
	patch(&s.AdminAPI, c.Patch.AdminAPI)
	patch(&s.QuotaBytes, c.Patch.QuotaBytes)
	patch(&s.AnonymousQuotaBytes, c.Patch.AnonymousQuotaBytes)
	patch(&s.Copies, c.Patch.Copies)
	patch(&s.VoterTarget, c.Patch.VoterTarget)
	grace := s.DeletionGraceSeconds
	patch(&s.DeletionGraceSeconds, c.Patch.DeletionGraceSeconds)
	s.Paste69.patch(c.Patch.Paste69)
	s.JSONBin.patch(c.Patch.JSONBin)
	s.PasteWizard.patch(c.Patch.PasteWizard)
	if err := s.check(); err != nil {
		return Settings{}, err
	}
	if s.DeletionGraceSeconds != grace {
		if err := write(t, single(singleGraceSince), t.time); err != nil {
			return Settings{}, err
		}
	}
	if err := write(t, single(singleSettings), s); err != nil {
		return Settings{}, err
	}
	return s, t.reload()
}

func patch[T any](at, v *T) {
	if v != nil {
		*at = *v
	}
}

// Limits of settings.
const (
	priceMax   = 1_000_000_000 // cents for each GiB and month
	rateMax    = 1_000_000_000
	quotaMax   = 1<<62 - 1
	originsMax = 100
	graceMax   = 10 * 365 * 24 * 60 * 60 // seconds
)

// limit is what a setting must keep to.
type limit struct {
	field         string
	v, least, max int64
}

func within(op string, limits []limit) error {
	for _, l := range limits {
		if l.v < l.least || l.v > l.max {
			return refuseField(op, l.field, fmt.Sprintf("%d to %d", l.least, l.max))
		}
	}
	return nil
}

func (s Settings) check() error {
	err := within("SetSettings", []limit{
		{"max_upload_bytes", s.MaxUploadBytes, 0, storage.ContentMax},
		{"price_cents_per_gib_month", s.PriceCentsPerGiB, 0, priceMax},
		{"rate_limit_key_per_minute", s.RateKeyPerMinute, 0, rateMax},
		{"rate_limit_ip_per_minute", s.RateIPPerMinute, 0, rateMax},
		{"quota_bytes", s.QuotaBytes, 0, quotaMax},
		{"anonymous_quota_bytes", s.AnonymousQuotaBytes, 0, quotaMax},
		{"copies", int64(s.Copies), 1, storage.OwnersMax},
		{"voter_target", int64(s.VoterTarget), 0, storage.OwnersMax},
		{"cors_origins", int64(len(s.CORSOrigins)), 0, originsMax},
		{"deletion_grace_seconds", s.DeletionGraceSeconds, 1, graceMax},
	})
	if err != nil {
		return err
	}
	if err := s.JSONBin.check(); err != nil {
		return err
	}
	if err := s.PasteWizard.check(); err != nil {
		return err
	}
	return s.Paste69.check()
}
