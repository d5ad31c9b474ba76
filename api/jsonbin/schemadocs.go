package jsonbin

import (
	"strings"

	"ringbin/node"
	"ringbin/storage"
)

type schemaDocMeta struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt string `json:"createdAt"`
}

type schemaDocRenamed struct {
	Metadata struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"metadata"`
}

func (c *call) withSchemaDoc(d node.SchemaDoc, text []byte) error {
	return c.withRecord(text, schemaDocMeta{d.ID, d.Name, date(d.Created)})
}

// schemaName checks a name for a schema doc.
func (c *call) schemaName(name string) error {
	switch {
	case isBlankName(name):
		return invalid(needSchemaName)
	case isLonger(name, c.settings.NameMax):
		return tooLong("Schema Doc", c.settings.NameMax)
	}
	return nil
}

// schemaText checks a body as a schema.
func schemaText(body []byte) ([]byte, error) {
	text, err := asRecord(body, blankSchema, false)
	if err != nil {
		return nil, err
	}
	_, err = compileSchema(text)
	return text, err
}

func (c *call) createSchemaDoc() error {
	if err := c.enter(); err != nil {
		return err
	}
	name, _ := c.name("X-Schema-Doc-Name")
	if err := c.schemaName(name); err != nil {
		return err
	}
	if err := c.needJSON(); err != nil {
		return err
	}
	body, release, err := c.body("Schema Doc", c.settings.SchemaMaxBytes)
	defer release()
	if err != nil {
		return err
	}
	text, err := schemaText(body)
	if err != nil {
		return err
	}
	d, err := c.s.CreateSchemaDoc(c.r.Context(), c.caller, name, text)
	if err != nil {
		return c.worded(err)
	}
	return c.withSchemaDoc(d, text)
}

// enterSchemaDoc lets pass who shows the master key of a schema doc's account.
func (c *call) enterSchemaDoc() (node.SchemaDoc, error) {
	if err := c.enter(); err != nil {
		return node.SchemaDoc{}, err
	}
	id, err := c.id(invalidSchemaID)
	if err != nil {
		return node.SchemaDoc{}, err
	}
	return c.s.SchemaDoc(c.r.Context(), c.caller, id)
}

func (c *call) readSchemaDoc() error {
	d, err := c.enterSchemaDoc()
	if err != nil {
		return err
	}
	text, err := c.s.Schema(c.r.Context(), d)
	if err != nil {
		return err
	}
	return c.withSchemaDoc(d, text)
}

// updateSchemaDoc replaces the schema, and renames where there is a name. With
// a name a blank body only renames, whatever it is called.
func (c *call) updateSchemaDoc() error {
	d, err := c.enterSchemaDoc()
	if err != nil {
		return err
	}
	var rename *string
	if name, sent := c.name("X-Schema-Doc-Name"); sent {
		if err := c.schemaName(name); err != nil {
			return err
		}
		rename = &name
	}
	body, release, tooLarge := c.body("Schema Doc", c.settings.SchemaMaxBytes)
	defer release()
	if rename != nil && tooLarge == nil && isEmptySchema(body) {
		return c.onlyRename(d, *rename)
	}
	if err := c.needJSON(); err != nil {
		return err
	}
	if tooLarge != nil {
		return tooLarge
	}
	text, err := schemaText(body)
	if err != nil {
		return err
	}
	if d, err = c.s.UpdateSchemaDoc(c.r.Context(), c.caller, d.ID, text, rename); err != nil {
		return c.worded(err)
	}
	return c.withSchemaDoc(d, text)
}

func isEmptySchema(body []byte) bool {
	text, ok := compact(body)
	return isBlank(body) || ok && string(text) == "{}"
}

func (c *call) onlyRename(d node.SchemaDoc, name string) error {
	d, err := c.s.RenameSchemaDoc(c.r.Context(), c.caller, d.ID, name)
	if err != nil {
		return c.worded(err)
	}
	text, err := c.s.Schema(c.r.Context(), d)
	if err != nil {
		return err
	}
	return c.withSchemaDoc(d, text)
}

func (c *call) renameSchemaDoc() error {
	d, err := c.enterSchemaDoc()
	if err != nil {
		return err
	}
	name, _ := c.name("X-Schema-Doc-Name")
	if err := c.schemaName(name); err != nil {
		return err
	}
	if d, err = c.s.RenameSchemaDoc(c.r.Context(), c.caller, d.ID, name); err != nil {
		return c.worded(err)
	}
	var renamed schemaDocRenamed
	renamed.Metadata.ID, renamed.Metadata.Name = d.ID, d.Name
	return c.reply(renamed)
}

func (c *call) attachSchema() error {
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	if len(c.r.Header.Values("X-Schema-Doc-Id")) == 0 {
		return invalid(needSchemaDocID)
	}
	doc := strings.ToLower(c.header("X-Schema-Doc-Id"))
	if !isID(doc) {
		return invalid(invalidSchemaID)
	}
	return c.attach(l, doc)
}

func (c *call) detachSchema() error {
	l, err := c.enterCollection()
	if err != nil {
		return err
	}
	return c.attach(l, "")
}

type attached struct {
	CollectionName string `json:"collectionName"`
	SchemaDocID    string `json:"schemaDocId"`
	Metadata       struct {
		ID        string `json:"id"`
		CreatedAt string `json:"createdAt"`
	} `json:"metadata"`
}

func (c *call) attach(l node.Collection, doc string) error {
	l, d, err := c.s.AttachSchema(c.r.Context(), c.caller, l.ID, doc)
	if err != nil {
		return c.worded(err)
	}
	a := attached{CollectionName: l.Name, SchemaDocID: d.ID}
	a.Metadata.ID, a.Metadata.CreatedAt = l.ID, date(l.Created)
	return c.reply(a)
}

// schemaTries is how often a record is validated anew because the schema was
// changed meanwhile.
const schemaTries = 5

// withSchema validates a record for a collection of an account, and then
// proposes it under the schema that it was found to match.
func withSchema[T any](c *call, collection, account string, record []byte, propose func(*node.SchemaUsed) (T, error)) (T, error) {
	var none T
	for range schemaTries {
		used, err := c.validate(collection, account, record)
		if err != nil {
			return none, err
		}
		v, err := propose(used)
		if storage.CodeOf(err) != "schema_changed" {
			return v, err
		}
	}
	return none, &storage.Error{Op: "jsonbin.withSchema", Kind: storage.KindUnavailable, Code: "schema_changed"}
}

// validate holds a record against the schema doc of a collection, if there is
// one. Of another account's collection nothing is told.
func (c *call) validate(collection, account string, record []byte) (*node.SchemaUsed, error) {
	const op = "jsonbin.validate"
	doc, text, found, err := c.s.SchemaFor(c.r.Context(), collection)
	if err != nil || !found {
		return nil, err
	}
	if doc.Account != account {
		return nil, &storage.Error{Op: op, Kind: storage.KindNotFound, Code: "collection_not_found"}
	}
	s, err := compileSchema(text)
	if err != nil {
		return nil, &storage.Error{Op: op, Kind: storage.KindInternal, Err: err} // it was checked when it came
	}
	m, err := s.validate(c.r.Context(), record)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return nil, &storage.Error{
			Op: op, Kind: storage.KindInvalid, Code: codeMismatch, Text: m.String(),
			Details: map[string]any{"schemaDocID": doc.ID, "schemaDocName": doc.Name},
		}
	}
	return &node.SchemaUsed{Doc: doc.ID, Revision: doc.Revision}, nil
}
