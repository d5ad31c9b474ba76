package jsonbin

import (
	"fmt"
	"strconv"
	"strings"

	"ringbin/api/web"
	"ringbin/node"
	"ringbin/storage"
)

// binMeta is what is told of a bin. The routes differ in which members there
// are and, unluckily, in their order.
type binCreated struct {
	ID           string `json:"id"`
	CreatedAt    string `json:"createdAt"`
	Private      bool   `json:"private"`
	Name         string `json:"name,omitempty"`
	CollectionID string `json:"collectionId,omitempty"`
}

type binMeta struct {
	ID           string `json:"id"`
	Private      bool   `json:"private"`
	CreatedAt    string `json:"createdAt"`
	CollectionID string `json:"collectionId,omitempty"`
	Name         string `json:"name,omitempty"`
}

type binUpdated struct {
	ParentID string `json:"parentId"`
	Private  bool   `json:"private"`
	Version  int64  `json:"version,omitempty"`
}

type binGone struct {
	Metadata struct {
		ID              string `json:"id"`
		VersionsDeleted int64  `json:"versionsDeleted"`
	} `json:"metadata"`
	Message string `json:"message"`
}

// changed is the answer of routes that change one thing of a bin or collection.
type changed struct {
	Record   string `json:"record"`
	Metadata any    `json:"metadata"`
}

type onlyName struct {
	Name string `json:"name"`
}

type onlyPrivate struct {
	Private bool `json:"private"`
}

// cacheable says how answers about bins may be kept: they depend on the headers
// that choose their form, and have to be asked about each time.
func (c *call) cacheable() {
	h := c.w.Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "X-Bin-Meta, X-JSON-Path, X-Master-Key, X-Access-Key")
}

// tagged names the state of a bin that the answer is of.
func (c *call) tagged(b node.Bin) {
	c.w.Header().Set("ETag", `"`+strconv.FormatUint(b.Revision, 10)+`"`)
}

func (c *call) createBin() error {
	c.cacheable()
	if err := c.needJSON(); err != nil {
		return err
	}
	if err := c.enterEither(node.RightCreate); err != nil {
		return err
	}
	record, release, err := c.record("Record", c.settings.RecordMaxBytes, blankBin, c.settings.AllowBlank)
	defer release()
	if err != nil {
		return err
	}
	b := node.NewBin{Record: record, Private: true, Collection: strings.ToLower(c.header("X-Collection-Id"))}
	if private := c.flag("X-Bin-Private"); private != nil {
		b.Private = *private
	}
	name, sent := c.name("X-Bin-Name")
	switch {
	case sent && (isBlankName(name) || isLonger(name, c.settings.BinNameMax)):
		return c.wrongBinName()
	case b.Collection != "" && !isID(b.Collection):
		return invalid(invalidCollectionHeader)
	}
	b.Name = name
	made, err := withSchema(c, b.Collection, c.caller.Account, record, func(used *node.SchemaUsed) (node.Bin, error) {
		b.Schema = used
		return c.s.CreateBin(c.r.Context(), c.caller, b)
	})
	if storage.CodeOf(err) == "collection_not_found" {
		return &storage.Error{Op: "jsonbin.createBin", Kind: storage.KindInvalid, Text: noCollectionForBin, Err: err}
	}
	if err != nil {
		return c.worded(err)
	}
	c.tagged(made)
	return c.withRecord(record, binCreated{made.ID, date(made.Created), made.Private, made.Name, made.Collection})
}

func (c *call) wrongBinName() error {
	return invalid(fmt.Sprintf("X-Bin-Name cannot be blank or over %d characters", c.settings.BinNameMax))
}

// readBin reads the base, or the version that the path names.
func (c *call) readBin() error {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return err
	}
	version := node.BinBase
	if text := c.params.ByName("version"); text != "" {
		if version, err = parseVersion(text); err != nil {
			return err
		}
	}
	return c.read(id, version)
}

func (c *call) readLatest() error {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return err
	}
	return c.read(id, node.BinLatest)
}

// versionMost is a version that no bin has.
const versionMost = 1 << 62

// parseVersion reads digits; leading zeros say nothing.
func parseVersion(text string) (int64, error) {
	if strings.Trim(text, "0123456789") != "" {
		return 0, invalid(invalidVersion)
	}
	if n, ok := web.ParseUint(text, versionMost); ok {
		return n, nil
	}
	return versionMost, nil // too large to be a number of ours
}

func (c *call) read(id string, version int64) error {
	v, err := c.s.BinVersion(c.r.Context(), id, version)
	if err != nil {
		return err
	}
	if err := c.mayRead(v.Bin); err != nil {
		return err
	}
	c.tagged(v.Bin)
	if !v.Found {
		return &storage.Error{Op: "jsonbin.read", Kind: storage.KindNotFound, Text: noVersion}
	}
	path := headerText(c.header("X-JSON-Path"))
	if path != "" {
		if _, err := parsePath(path); err != nil {
			return invalid(invalidPath)
		}
	}
	if c.unchanged(v.Bin) {
		return nil
	}
	release, err := c.s.HoldRecord(c.r.Context(), v.Size())
	if err != nil {
		return err
	}
	defer release()
	record, err := c.s.BinRecord(c.r.Context(), v)
	if err != nil {
		return err
	}
	return c.render(v.Bin, record, path)
}

func (c *call) mayRead(b node.Bin) error {
	if b.Private {
		return c.enterBin(b, node.RightRead)
	}
	return c.enterPublic(b, node.RightRead)
}

// render answers with a record, or what a path finds in it, with or without
// what is known of the bin.
func (c *call) render(b node.Bin, record []byte, path string) error {
	meta := c.flag("X-Bin-Meta")
	bare := meta != nil && !*meta || strings.EqualFold(c.r.URL.Query().Get("meta"), "false")
	label, parts := `{"record":`, [][]byte{record}
	if path != "" {
		values, err := matches(c.r.Context(), record, path)
		if err != nil {
			return invalid(invalidPath)
		}
		label, parts = `{"records":`, asList(values)
	}
	if bare {
		return c.replyText(parts...)
	}
	known := binMeta{b.ID, b.Private, date(b.Created), b.Collection, b.Name}
	parts = append([][]byte{[]byte(label)}, parts...)
	return c.replyText(append(parts, []byte(`,"metadata":`), asText(known), []byte("}"))...)
}

// asList puts values between brackets.
func asList(values [][]byte) [][]byte {
	parts := [][]byte{[]byte("[")}
	for i, v := range values {
		if i > 0 {
			parts = append(parts, []byte(","))
		}
		parts = append(parts, v)
	}
	return append(parts, []byte("]"))
}

func (c *call) updateBin() error {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return err
	}
	if err := c.needJSON(); err != nil {
		return err
	}
	record, release, err := c.record("Record", c.settings.RecordMaxBytes, blankBin, c.settings.AllowBlank)
	defer release()
	if err != nil {
		return err
	}
	b, err := c.s.Bin(c.r.Context(), id)
	if err != nil {
		return c.shorter(err)
	}
	if b.Private || !c.settings.PublicUpdate {
		err = c.enterBin(b, node.RightUpdate)
	} else {
		err = c.enterPublic(b, node.RightUpdate)
	}
	if err != nil {
		return err
	}
	c.tagged(b)
	u := node.BinUpdate{Record: record, Versioning: c.flag("X-Bin-Versioning"), IfMatch: c.ifMatch()}
	made, err := withSchema(c, b.Collection, b.Account, record, func(used *node.SchemaUsed) (node.UpdatedBin, error) {
		u.Schema = used
		return c.s.UpdateBin(c.r.Context(), c.caller, id, u)
	})
	if storage.CodeOf(err) == "not_authorized" { // it was public a moment ago
		err = &storage.Error{Op: "jsonbin.updateBin", Kind: storage.KindUnauthenticated, Code: codeMissing, Err: err}
	}
	if err != nil {
		return c.worded(c.shorter(err))
	}
	c.tagged(made.Bin)
	return c.withRecord(record, binUpdated{made.Bin.ID, made.Bin.Private, made.Version})
}

// shorter is the shorter sentence that one route has for a bin that is not there.
func (c *call) shorter(err error) error {
	if storage.CodeOf(err) != "bin_not_found" {
		return err
	}
	return &storage.Error{Op: "jsonbin.updateBin", Kind: storage.KindNotFound, Text: noBin, Err: err}
}

func (c *call) deleteBin() error {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return err
	}
	if err := c.enterEither(node.RightDelete); err != nil {
		return err
	}
	b, err := c.s.Bin(c.r.Context(), id)
	if err != nil {
		return err
	}
	if !c.caller.OwnsBin(b) {
		return c.foreign()
	}
	b, err = c.s.DeleteBin(c.r.Context(), c.caller, id, c.ifMatch())
	if err != nil {
		return c.worded(err)
	}
	var gone binGone
	gone.Metadata.ID, gone.Metadata.VersionsDeleted, gone.Message = b.ID, b.Versions, binDeleted
	return c.reply(gone)
}

// enterOwn lets pass who shows the master key of a bin's account. To all others
// the bin is not there.
func (c *call) enterOwn() (node.Bin, error) {
	c.cacheable()
	id, err := c.id(invalidBinID)
	if err != nil {
		return node.Bin{}, err
	}
	if err := c.enter(); err != nil {
		return node.Bin{}, err
	}
	b, err := c.s.Bin(c.r.Context(), id)
	if err == nil && !c.caller.OwnsBin(b) {
		err = &storage.Error{Op: "jsonbin.enterOwn", Kind: storage.KindNotFound, Code: "bin_not_found"}
	}
	if err == nil {
		c.tagged(b)
	}
	return b, err
}

func (c *call) setPrivacy() error {
	b, err := c.enterOwn()
	if err != nil {
		return err
	}
	private := c.flag("X-Bin-Private")
	if private == nil {
		return invalid(needPrivacy)
	}
	if b, err = c.s.SetBinPrivacy(c.r.Context(), c.caller, b.ID, *private, c.ifMatch()); err != nil {
		return c.worded(err)
	}
	c.tagged(b)
	return c.reply(changed{b.ID, onlyPrivate{b.Private}})
}

func (c *call) renameBin() error {
	b, err := c.enterOwn()
	if err != nil {
		return err
	}
	name, sent := c.name("X-Bin-Name")
	switch {
	case !sent:
		return invalid(needBinName)
	case isBlankName(name) || isLonger(name, c.settings.BinNameMax):
		return c.wrongBinName()
	}
	if b, err = c.s.RenameBin(c.r.Context(), c.caller, b.ID, name, c.ifMatch()); err != nil {
		return c.worded(err)
	}
	c.tagged(b)
	return c.reply(changed{b.ID, onlyName{b.Name}})
}
