package jsonbin

import (
	"slices"

	"ringbin/api/web"
	"ringbin/node"
)

type permissions struct {
	Bins struct {
		Update bool `json:"update"`
		Delete bool `json:"delete"`
		Create bool `json:"create"`
		Read   bool `json:"read"`
	} `json:"bins"`
}

func permissionsOf(rights []string) (p permissions) {
	p.Bins.Update = slices.Contains(rights, node.RightUpdate)
	p.Bins.Delete = slices.Contains(rights, node.RightDelete)
	p.Bins.Create = slices.Contains(rights, node.RightCreate)
	p.Bins.Read = slices.Contains(rights, node.RightRead)
	return p
}

type accessKeyItem struct {
	KeyPermissions permissions `json:"keyPermissions"`
	AccessKeyID    string      `json:"accessKeyId"`
	AccessKey      string      `json:"accessKey"`
	Metadata       onlyName    `json:"metadata"`
}

type accessKeyMade struct {
	AccessKey      string      `json:"accessKey"`
	KeyPermissions permissions `json:"keyPermissions"`
	AccessKeyID    string      `json:"accessKeyId"`
	Metadata       onlyName    `json:"metadata"`
}

func madeOf(k node.AccessKey) accessKeyMade {
	return accessKeyMade{k.Key, permissionsOf(k.Rights), k.ID, onlyName{k.Name}}
}

func (c *call) listAccessKeys() error {
	if err := c.enter(); err != nil {
		return err
	}
	keys, err := c.s.AccessKeys(c.r.Context(), c.caller)
	if err != nil {
		return err
	}
	items := make([]accessKeyItem, len(keys))
	for i, k := range keys {
		items[i] = accessKeyItem{permissionsOf(k.Rights), k.ID, k.Key, onlyName{k.Name}}
	}
	return c.reply(items)
}

// keyName checks a name for an access key.
func (c *call) keyName(name string) error {
	switch {
	case isBlankName(name):
		return invalid(blankKeyName)
	case isLonger(name, c.settings.NameMax):
		return tooLong("Key name", c.settings.NameMax)
	}
	return nil
}

// rights reads the payload that says what an access key may do.
func (c *call) rights() ([]string, error) {
	if err := c.needJSON(); err != nil {
		return nil, err
	}
	body, release, err := c.body("Payload", web.JSONMax)
	defer release()
	if err != nil {
		return nil, invalid(invalidPayload)
	}
	rights, ok := parseRights(body)
	if !ok {
		return nil, invalid(invalidPayload)
	}
	return rights, nil
}

func (c *call) createAccessKey() error {
	if err := c.enter(); err != nil {
		return err
	}
	name, _ := c.name("X-Key-Name")
	if err := c.keyName(name); err != nil {
		return err
	}
	rights, err := c.rights()
	if err != nil {
		return err
	}
	k, err := c.s.CreateAccessKey(c.r.Context(), c.caller, name, rights)
	if err != nil {
		return c.worded(err)
	}
	return c.reply(madeOf(k))
}

// enterAccessKey lets pass who shows the master key of an access key's account.
func (c *call) enterAccessKey() (node.AccessKey, error) {
	if err := c.enter(); err != nil {
		return node.AccessKey{}, err
	}
	id, err := c.id(invalidAccessID)
	if err != nil {
		return node.AccessKey{}, err
	}
	return c.s.AccessKey(c.r.Context(), c.caller, id)
}

func (c *call) updateAccessKey() error {
	k, err := c.enterAccessKey()
	if err != nil {
		return err
	}
	var rename *string
	if name, sent := c.name("X-Key-Name"); sent {
		if err := c.keyName(name); err != nil {
			return err
		}
		rename = &name
	}
	rights, err := c.rights()
	if err != nil {
		return err
	}
	if k, err = c.s.UpdateAccessKey(c.r.Context(), c.caller, k.ID, rights, rename); err != nil {
		return c.worded(err)
	}
	return c.reply(madeOf(k))
}

type accessKeyGone struct {
	Metadata struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"metadata"`
	Message string `json:"message"`
}

func (c *call) deleteAccessKey() error {
	k, err := c.enterAccessKey()
	if err != nil {
		return err
	}
	if k, err = c.s.DeleteAccessKey(c.r.Context(), c.caller, k.ID); err != nil {
		return c.worded(err)
	}
	var gone accessKeyGone
	gone.Metadata.ID, gone.Metadata.Name, gone.Message = k.ID, k.Name, accessKeyDeleted
	return c.reply(gone)
}

type masterKey struct {
	MasterKey string `json:"masterKey"`
}

func (c *call) rotateMasterKey() error {
	if err := c.enter(); err != nil {
		return err
	}
	secret, err := c.s.RotateMasterKey(c.r.Context(), c.caller)
	if err != nil {
		return c.worded(err)
	}
	return c.reply(masterKey{secret})
}
