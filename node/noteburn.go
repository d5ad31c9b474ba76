package node

import (
	"context"
	"time"

	"ringbin/storage"
	"ringbin/storage/meta"
)

// burnKnownWithin is how long it is asked again what became of a burn, once
// proposing it has not told.
const burnKnownWithin = 5 * time.Second

// burn burns a note whose content is here, whole and checked, and returns its
// views. Without an error the content is the caller's, and nobody else's (I9):
//
//   - A burn wins in the log, where it is carried out: when the note is open,
//     unexpired and of the revision whose content is here. It burns the note in
//     the same step, so that of all burns of a note one wins.
//   - It is asked for under one request id, however often. The metadata carries
//     an id out once and gives each later try the answer of the first; the
//     record names the id that won as well, for good.
//   - The answer counts once this node has applied it. Whoever does not learn
//     it has no content: a lost answer loses the view and gives it to nobody.
//
// errNoteChanged: another burn won, or the note was edited or has ended.
func (s *Service) burn(ctx context.Context, c Caller, n Note) (views int64, err error) {
	h := s.n.proposer.named(meta.Header{Actor: c.actor()})
	cmd := meta.BurnNote{Hash: n.Hash, Revision: n.Revision}
	if storage.Planted(storage.BugBurnAfterSend) {
		s.n.wg.Go(func() { _, _ = s.n.proposer.propose(s.n.ctx, h, cmd) })
		return n.Views + 1, nil
	}
	res, err := s.n.proposer.propose(ctx, h, cmd)
	if storage.KindOf(err) == storage.KindUnknown {
		res, err = s.burnAgain(ctx, h, cmd, err)
	}
	if err == nil && res.Err != nil {
		err = res.Err
	}
	if err != nil {
		return 0, err
	}
	b, _, err := valueOf[meta.Burn](res)
	switch {
	case err != nil:
		return 0, err
	case !b.Won:
		return 0, errNoteChanged
	}
	s.counts.notesBurned.Add(1)
	return b.Note.Views, nil
}

// burnAgain asks again, under the same id, what became of a burn whose outcome
// is unknown. The record tells, too: the entry may have been applied here
// between two tries, and the leader be out of reach.
func (s *Service) burnAgain(ctx context.Context, h meta.Header, cmd meta.BurnNote, unknown error) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, burnKnownWithin)
	defer cancel()
	if res, won := s.burnedBy(h.ID, cmd.Hash); won {
		return res, nil
	}
	if res, err := s.n.proposer.propose(ctx, h, cmd); err == nil {
		return res, nil
	}
	if res, won := s.burnedBy(h.ID, cmd.Hash); won {
		return res, nil
	}
	return meta.Result{}, unknown // also when this try was certainly in vain: the first may not have been
}

// burnedBy returns the answer to a burn that the record says has won.
func (s *Service) burnedBy(id meta.RequestID, hash string) (meta.Result, bool) {
	n, found, err := s.n.fsm.Note(hash)
	if err != nil || !found || n.Burned == 0 || n.BurnedBy != id {
		return meta.Result{}, false
	}
	return meta.Result{Value: meta.Burn{Note: n, Won: true}}, true
}
