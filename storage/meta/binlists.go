package meta

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

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
func (f *FSM) BinsOf(l BinList) (bins []Bin, err error) {
	err = f.viewAtOnce("BinsOf", func(r pebble.Reader) error {
		bins, err = binsAt(r, l)
		return err
	})
	return bins, err
}

// binsAt reads the list of a collection. That of bins in none is the rows
// without a collection together with those of collections that are gone.
func binsAt(r pebble.Reader, l BinList) (bins []Bin, err error) {
	prefixes := [][]byte{binsOf(l.Account, l.Collection)}
	if l.Collection == "" {
		a, _, err := lookUp[binAccount](r, binAccountKey(l.Account))
		if err != nil {
			return nil, err
		}
		for _, gone := range a.Leaving {
			prefixes = append(prefixes, binsOf(l.Account, gone))
		}
	}
	ids, err := mergedIDs(r, prefixes, l)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		b, ok, err := binAt(r, id)
		if err != nil || !ok {
			return nil, orFatal(err, "list of a bin that is not there")
		}
		bins = append(bins, b)
	}
	return bins, nil
}

// mergedIDs returns the part of several lists, each in order, that a BinList asks for.
func mergedIDs(r pebble.Reader, prefixes [][]byte, l BinList) (ids []string, err error) {
	var all []*idList
	defer func() {
		for _, one := range all {
			err = errors.Join(err, one.it.Close())
		}
	}()
	for _, p := range prefixes {
		one, err := openIDs(r, p, l)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	for skip := l.Skip; len(ids) < l.Limit; {
		var next *idList
		for _, one := range all {
			if one.ok && (next == nil || one.id < next.id == l.Ascending) {
				next = one
			}
		}
		if next == nil {
			break
		}
		if skip > 0 {
			skip--
		} else {
			ids = append(ids, next.id)
		}
		next.advance()
	}
	return ids, nil
}

// idList goes over the rows of one list of bins.
type idList struct {
	it        *pebble.Iterator
	prefix    int // bytes before the id
	ascending bool
	ok        bool
	id        string
}

// openIDs stands on the first row after the id that a list begins after.
func openIDs(r pebble.Reader, prefix []byte, l BinList) (*idList, error) {
	o := &pebble.IterOptions{LowerBound: prefix, UpperBound: past(prefix)}
	if l.After != "" {
		at := keyBuilder(slices.Clip(prefix)).str(l.After)
		if l.Ascending {
			o.LowerBound = past(at)
		} else {
			o.UpperBound = at
		}
	}
	it, err := r.NewIter(o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCorruptState, err)
	}
	one := &idList{it: it, prefix: len(prefix), ascending: l.Ascending}
	if l.Ascending {
		one.stand(it.First())
	} else {
		one.stand(it.Last())
	}
	return one, nil
}

func (l *idList) advance() {
	if l.ascending {
		l.stand(l.it.Next())
	} else {
		l.stand(l.it.Prev())
	}
}

// stand reads the id of the row that the iterator is on, if it is on one.
func (l *idList) stand(ok bool) {
	if l.ok = ok; ok {
		k := l.it.Key()
		l.id = string(k[l.prefix : len(k)-1])
	}
}
