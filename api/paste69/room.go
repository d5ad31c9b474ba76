package paste69

import "ringbin/node"

// room takes room in memory for up to limit bytes of a paste's text; whoever
// shows it holds that until the answer is sent. The error is KindUnavailable
// (overloaded).
func (c *call) room(p node.Paste, limit int64) (release func(), err error) {
	if !p.UTF8 {
		return func() {}, nil
	}
	return c.d.shown.Take(c.r.Context(), min(p.CID.Size(), limit))
}
