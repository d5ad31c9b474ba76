package jsonbin

import (
	"strconv"
	"strings"

	"ringbin/node"
)

type collectionMade struct {
	Record   string `json:"record"`
	Metadata struct {
		CreatedAt string `json:"createdAt"`
		Name      string `json:"name"`
	} `json:"metadata"`
}

func asMade(l node.Collection) (m collectionMade) {
	m.Record, m.Metadata.CreatedAt, m.Metadata.Name = l.ID, date(l.Created), l.Name
	return m
}

type collectionItem struct {
	Record         string   `json:"record"`
	CollectionMeta onlyName `json:"collectionMeta"`
	SchemaDocID    string   `json:"schemaDocId,omitempty"`
	CreatedAt      string   `json:"createdAt"`
}

type collectionGone struct {
	Metadata struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"metadata"`
	Message string `json:"message"`
}

type binItem struct {
	SnippetMeta struct {
		Name string `json:"name,omitempty"`
	} `json:"snippetMeta"`
	Private   bool   `json:"private"`
	Record    string `json:"record"`
	CreatedAt string `json:"createdAt"`
}

// collectionName reads the name for a collection.
func (c *call) collectionName() (string, error) {
	name, sent := c.name("X-Collection-Name")
	switch {
	case !sent:
		return "", invalid(needCollectionName)
	case isBlankName(name):
		return "", invalid(blankCollectionName)
	case isLonger(name, c.settings.NameMax):
		return "", tooLong("Collection", c.settings.NameMax)
	}
	return name, nil
}

func (c *call) createCollection() error {
	if err := c.enter(); err != nil {
		return err
	}
	name, err := c.collectionName()
	if err != nil {
		return err
	}
	l, err := c.s.CreateCollection(c.r.Context(), c.caller, name)
	if err != nil {
		return c.worded(err)
	}
	return c.reply(asMade(l))
}

func (c *call) listCollections() error {
	if err := c.enter(); err != nil {
		return err
	}
	all, err := c.s.Collections(c.r.Context(), c.caller)
	if err != nil {
		return err
	}
	items := make([]collectionItem, len(all))
	for i, l := range all {
		items[i] = collectionItem{l.ID, onlyName{l.Name}, l.SchemaDoc, date(l.Created)}
	}
	return c.reply(items)
}

// enterCollection lets pass who shows the master key of a collection's account.
func (c *call) enterCollection() (node.Collection, error) {
	if err := c.enter(); err != nil {
		return node.Collection{}, err
	}
	id, err := c.id(invalidCollectionID)
	if err != nil {
		return node.Collection{}, err
	}
	return c.s.Collection(c.r.Context(), c.caller, id)
}

func (c *call) readCollection() error {
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	return c.reply(asMade(l))
}

func (c *call) deleteCollection() error {
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	if l, err = c.s.DeleteCollection(c.r.Context(), c.caller, l.ID); err != nil {
		return c.worded(err)
	}
	var gone collectionGone
	gone.Metadata.ID, gone.Metadata.Name, gone.Message = l.ID, l.Name, collectionDeleted
	return c.reply(gone)
}

func (c *call) renameCollection() error {
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	name, err := c.collectionName()
	if err != nil {
		return err
	}
	if l, err = c.s.RenameCollection(c.r.Context(), c.caller, l.ID, name); err != nil {
		return c.worded(err)
	}
	return c.reply(changed{l.ID, onlyName{l.Name}})
}

// uncategorized stands where the id of a collection would, for the bins that
// are in none.
const uncategorized = "uncategorized"

func (c *call) listBins() error {
	if c.params.ByName("id") == uncategorized {
		if err := c.enter(); err != nil {
			return err
		}
		return c.binsOf("")
	}
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	return c.binsOf(l.ID)
}

// pageDigits is how many digits a page number may have.
const pageDigits = 6

func (c *call) binsOf(collection string) error {
	list := node.CollectionBins{Collection: collection, Ascending: c.header("X-Sort-Order") == "ascending"}
	switch last := c.params.ByName("last"); {
	case last == "":
	case isID(last):
		list.After = last
	default:
		page, err := strconv.Atoi(last)
		if err != nil || page < 1 || len(last) > pageDigits || strings.Trim(last, "0123456789") != "" {
			return invalid(invalidBinID)
		}
		list.Page = page
	}
	bins, err := c.s.BinsOfCollection(c.r.Context(), c.caller, list)
	if err != nil {
		return err
	}
	items := make([]binItem, len(bins))
	for i, b := range bins {
		items[i] = binItem{Private: b.Private, Record: b.ID, CreatedAt: date(b.Created)}
		items[i].SnippetMeta.Name = b.Name
	}
	return c.reply(items)
}
