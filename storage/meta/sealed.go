package meta

import "github.com/cockroachdb/pebble/v2"

// SealedKeys goes over the keys that their owners may see again, of all
// accounts, until each reports false.
func (f *FSM) SealedKeys(each func(Key) bool) error {
	return f.view("SealedKeys", func(r pebble.Reader) error {
		return scan(r, []byte{tableKeys}, func(_, v []byte) (bool, error) {
			var k Key
			if err := decMode.Unmarshal(v, &k); err != nil {
				return false, err //nolint:wrapcheck // view wraps it
			}
			return len(k.Sealed) == 0 || each(k), nil
		})
	})
}
