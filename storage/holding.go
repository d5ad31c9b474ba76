package storage

// Holding is what a node says of its copy of a blob.
type Holding uint8

// The values are part of the RPC between nodes: they never change.
const (
	HoldsNone    Holding = 0
	HoldsGood    Holding = 1 // as far as it knows: nothing was read to say so
	HoldsCorrupt Holding = 2 // a copy that failed a check
)

// HoldingsMax is how many blobs a node is asked about in one call.
const HoldingsMax = 1024

// Holding returns what is known of a copy without reading its bytes.
func (s *Store) Holding(cid CID) (Holding, error) {
	info, ok, err := s.Stat(cid)
	switch {
	case err != nil:
		return HoldsNone, err
	case !ok:
		return HoldsNone, nil
	case info.Corrupt:
		return HoldsCorrupt, nil
	}
	return HoldsGood, nil
}
