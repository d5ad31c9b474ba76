package meta

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

func accountNumberKey(n int64) []byte { return key(tableAccountNumbers).u64(uint64(n)) }

// number gives an account its number, unless it has one. The caller writes the account.
func (t *tx) number(a *Account) (err error) {
	if a.Number != 0 {
		return nil
	}
	if a.Number, err = t.nextNumber(singleAccountNumber); err != nil {
		return err
	}
	return t.set(accountNumberKey(a.Number), []byte(a.ID))
}

// AccountByNumber returns the account that has a number.
func (f *FSM) AccountByNumber(n int64) (a Account, found bool, err error) {
	err = f.view("AccountByNumber", func(r pebble.Reader) error {
		id, ok, err := lookUpID(r, accountNumberKey(n))
		if err != nil || !ok {
			return err
		}
		a, found, err = lookUp[Account](r, key(tableAccounts).str(id))
		return err
	})
	return a, found, err
}

// numbers checks the numbers of accounts, against those that were given out.
func (c *check) numbers() error {
	last, _, err := lookUp[int64](c.r, single(singleAccountNumber))
	if err != nil {
		return c.say("%s: %v", singleAccountNumber, err)
	}
	var n int64
	err = each(c, tableAccounts, func(_ []byte, a Account) error {
		if a.Number == 0 {
			return nil
		}
		n++
		if a.Number > last {
			return c.say("account %s has number %d, the last one given is %d", a.ID, a.Number, last)
		}
		return c.must(accountNumberKey(a.Number), []byte(a.ID), "the number of account %s", a.ID)
	})
	return errors.Join(err, c.rowsAre(tableAccountNumbers, n, "the index of accounts by number"))
}
