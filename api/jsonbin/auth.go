package jsonbin

import (
	"fmt"

	"ringbin/node"
	"ringbin/storage"
)

// Codes of node for keys that are no good.
const (
	codeMissing = "auth_missing"
	codeMaster  = "master_invalid"
	codeAccess  = "access_invalid"
)

// enter lets pass who shows a master key of an account.
func (c *call) enter() error {
	if err := c.identify(c.header("X-Master-Key"), ""); err != nil {
		return err
	}
	return c.admit()
}

// enterEither lets pass who shows a key of an account that has a right.
func (c *call) enterEither(right string) error {
	if err := c.identify(c.header("X-Master-Key"), c.header("X-Access-Key")); err != nil {
		return err
	}
	if err := c.admit(); err != nil {
		return err
	}
	return c.needRight(right)
}

// enterBin lets pass who shows a key with a right to a bin: its account's. With
// right "" only the master key is looked at.
func (c *call) enterBin(b node.Bin, right string) error {
	access := ""
	if right != "" {
		access = c.header("X-Access-Key")
	}
	if err := c.identify(c.header("X-Master-Key"), access); err != nil {
		return err
	}
	if !c.caller.OwnsBin(b) {
		return c.foreign()
	}
	if err := c.admit(); err != nil {
		return err
	}
	if right == "" {
		return nil
	}
	return c.needRight(right)
}

// enterPublic takes who shows a key with a right to a public bin for who they
// are. Any other key counts as none.
func (c *call) enterPublic(b node.Bin, right string) error {
	master, access := c.header("X-Master-Key"), c.header("X-Access-Key")
	if right == "" {
		access = ""
	}
	if err := c.identify(master, access); err != nil {
		if c.r.Method == put && storage.KindOf(err) != storage.KindUnauthenticated {
			return err // what the request means depends on the key
		}
		return nil // a key that is no good counts as none
	}
	if !c.caller.OwnsBin(b) || right != "" && !c.caller.CanBins(right) {
		c.caller = node.Caller{}
		return nil
	}
	return c.admit()
}

// identify finds whose keys these are.
func (c *call) identify(master, access string) error {
	caller, err := c.s.AuthenticateBin(c.r.Context(), master, access)
	if err != nil {
		return c.worded(err)
	}
	c.caller = caller
	return nil
}

// worded gives the refusal of a key the route's sentence.
func (c *call) worded(err error) error {
	if storage.KindOf(err) != storage.KindUnauthenticated || err == nil {
		return err
	}
	return &storage.Error{Op: "jsonbin.worded", Kind: storage.KindUnauthenticated, Text: c.keys.forCode(storage.CodeOf(err)), Err: err}
}

// foreign is for a good key of an account whose bin this is not.
func (c *call) foreign() error {
	code := codeAccess
	if c.caller.Master {
		code = codeMaster
	}
	return c.worded(&storage.Error{Op: "jsonbin.foreign", Kind: storage.KindUnauthenticated, Code: code})
}

// admit counts a request with a good key. It may turn out to be good no more.
func (c *call) admit() error { return c.worded(c.s.AdmitBins(c.r.Context(), c.caller)) }

func (c *call) needRight(right string) error {
	if c.caller.CanBins(right) {
		return nil
	}
	return &storage.Error{Op: "jsonbin.needRight", Kind: storage.KindForbidden, Text: fmt.Sprintf(lacksPermission, right)}
}
