package jsonbin

type versionCount struct {
	ID           string `json:"id"`
	VersionCount int64  `json:"versionCount"`
	Private      bool   `json:"private"`
}

// twice is an answer that has the same object under both spellings: clients ask
// for either.
type twice struct {
	Metadata any    `json:"metadata"`
	MetaData any    `json:"metaData"`
	Message  string `json:"message,omitempty"`
}

type versionsGone struct {
	ID              string `json:"id"`
	VersionsDeleted int64  `json:"versionsDeleted"`
}

type onlyMessage struct {
	Message string `json:"message"`
}

func (c *call) countVersions() error {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return err
	}
	b, err := c.s.Bin(c.r.Context(), id)
	if err != nil {
		return err
	}
	if b.Private {
		err = c.enterBin(b, "")
	} else {
		err = c.enterPublic(b, "")
	}
	if err != nil {
		return err
	}
	c.tagged(b)
	if c.unchanged(b) {
		return nil
	}
	count := versionCount{b.ID, b.Versions, b.Private}
	return c.reply(twice{Metadata: count, MetaData: count})
}

func (c *call) deleteVersions() error {
	b, err := c.enterOwn()
	if err != nil {
		return err
	}
	keep := c.isTrue("X-Preserve-Latest")
	cleared, err := c.s.ClearVersions(c.r.Context(), c.caller, b.ID, keep, c.ifMatch())
	if err != nil {
		return c.worded(err)
	}
	c.tagged(cleared.Bin)
	if cleared.Versions == 0 {
		return c.reply(onlyMessage{noVersions})
	}
	gone := versionsGone{b.ID, cleared.Deleted}
	message := versionsDeleted
	if keep {
		message = versionsDeletedKept
	}
	return c.reply(twice{gone, gone, message})
}
