package meta

// BinList asks for a part of an account's bins.
type BinList struct {
	Account    string
	Collection string // empty: the bins that are in no collection
	Ascending  bool   // oldest first
	After      string // id that the list begins strictly after, whether or not there is such a bin; empty: at the beginning
	Skip       int    // so many are passed over
	Limit      int
}

// BinsOf lists bins in the order of their ids, which is that of their creation.
func (f *FSM) BinsOf(l BinList) (bins []Bin, err error) { return nil, nil }
