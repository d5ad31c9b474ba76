package meta

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// clicks checks what was counted of each short link: its days against each
// other, the link, and the visitors that are not erased yet.
func (c *check) clicks() error {
	now, _, err := lookUp[int64](c.r, single(singleTime))
	if err != nil {
		return c.say("time: %v", err)
	}
	var rows int64
	err = each(c, tableLinks, func(_ []byte, l Link) error {
		n, err := c.daysOf(l, now)
		rows += n
		return err
	})
	// What is left of links that are gone, and waits to go.
	err = errors.Join(err, scan(c.r, []byte{tableDue}, func(k, _ []byte) (bool, error) {
		_, end, id, err := splitDueKey(k)
		if err != nil || end != endOfClicks {
			return true, nil //nolint:nilerr // ends tells of it
		}
		n, err := c.below(key(tableClicks).str(string(id)))
		rows += n
		return true, err
	}))
	return errors.Join(err, c.rowsAre(tableClicks, rows, "the table of clicks"), c.visitors(), c.salts())
}

// daysOf checks the days of a link and returns how many rows they have.
func (c *check) daysOf(l Link, now int64) (rows int64, err error) {
	days, err := countedDays(c.r, l.ID, 0, math.MaxInt32)
	if err != nil {
		return 0, c.say("short link %s: %v", l.ID, err)
	}
	var clicks int64
	for _, d := range days {
		clicks += d.Clicks
		rows++
		for i, names := range d.names {
			rows += int64(len(names))
			if int64(len(names)) != d.Names[i] {
				err = errors.Join(err, c.say("day %d of short link %s counts %d names of sort %c and has %d", d.day, l.ID, d.Names[i], nameSorts[i], len(names)))
			}
		}
		if now >= eraseAt(d.day) {
			continue
		}
		n, readErr := c.below(key(tableVisitors).day(d.day).str(l.ID))
		if err = errors.Join(err, readErr); n != d.Visitors {
			err = errors.Join(err, c.say("day %d of short link %s counts %d visitors and has %d", d.day, l.ID, d.Visitors, n))
		}
	}
	if clicks != l.Clicks {
		err = errors.Join(err, c.say("short link %s counts %d clicks, its days %d", l.ID, l.Clicks, clicks))
	}
	return rows, err
}

// below counts the rows under a prefix.
func (c *check) below(prefix []byte) (n int64, err error) {
	err = scan(c.r, prefix, func(_, _ []byte) (bool, error) {
		n++
		return true, nil
	})
	return n, err
}

// visitors checks that each will be erased, and that its link knows the day.
func (c *check) visitors() error {
	var last []byte
	return scan(c.r, []byte{tableVisitors}, func(k, _ []byte) (bool, error) {
		if len(k) < 1+4+1+1 || len(last) > 0 && bytes.HasPrefix(k, last) {
			return true, nil
		}
		n := bytes.IndexByte(k[1+4:], 0)
		if n < 0 {
			return true, c.say("key %x", k)
		}
		last = append(last[:0], k[:1+4+n+1]...)
		day, link := int32(binary.BigEndian.Uint32(k[1:])), string(k[1+4:1+4+n])
		err := c.mustEnd(eraseAt(day), endOfDay, dayID(day), "a day with visitors")
		if _, there, readErr := lookUp[Link](c.r, linkKey(link)); readErr != nil || there {
			err = errors.Join(err, readErr, c.must(dayKey(link, day), nil, "day %d of short link %s, which has visitors", day, link))
		}
		return true, err
	})
}

// salts checks that each will be erased.
func (c *check) salts() error {
	return each(c, tableSalts, func(_ []byte, s Salt) error {
		return c.mustEnd(eraseAt(s.Day), endOfDay, dayID(s.Day), "a day with a salt")
	})
}
