package meta

func (t *tx) setMasterKey(Header, SetMasterKey) (Key, error) { return Key{}, refuseMissing("stub") }
func (t *tx) createAccessKey(Header, CreateAccessKey) (Key, error) {
	return Key{}, refuseMissing("stub")
}
func (t *tx) updateAccessKey(Header, UpdateAccessKey) (Key, error) {
	return Key{}, refuseMissing("stub")
}
func (t *tx) deleteAccessKey(Header, DeleteAccessKey) (Key, error) {
	return Key{}, refuseMissing("stub")
}
func (t *tx) createBin(Header, CreateBin) (Bin, error) { return Bin{}, refuseMissing("stub") }
func (t *tx) updateBin(Header, UpdateBin) (BinUpdate, error) {
	return BinUpdate{}, refuseMissing("stub")
}
func (t *tx) deleteBin(Header, DeleteBin) (Bin, error)         { return Bin{}, refuseMissing("stub") }
func (t *tx) setBinPrivacy(Header, SetBinPrivacy) (Bin, error) { return Bin{}, refuseMissing("stub") }
func (t *tx) renameBin(Header, RenameBin) (Bin, error)         { return Bin{}, refuseMissing("stub") }
func (t *tx) clearVersions(Header, ClearVersions) (Cleared, error) {
	return Cleared{}, refuseMissing("stub")
}
func (t *tx) createCollection(Header, CreateCollection) (Collection, error) {
	return Collection{}, refuseMissing("stub")
}
func (t *tx) renameCollection(Header, RenameCollection) (Collection, error) {
	return Collection{}, refuseMissing("stub")
}
func (t *tx) deleteCollection(Header, DeleteCollection) (Collection, error) {
	return Collection{}, refuseMissing("stub")
}
func (t *tx) attachSchema(Header, AttachSchema) (Attached, error) {
	return Attached{}, refuseMissing("stub")
}
func (t *tx) createSchemaDoc(Header, CreateSchemaDoc) (SchemaDoc, error) {
	return SchemaDoc{}, refuseMissing("stub")
}
func (t *tx) updateSchemaDoc(Header, UpdateSchemaDoc) (SchemaDoc, error) {
	return SchemaDoc{}, refuseMissing("stub")
}
func (t *tx) reserveRequests(Header, ReserveRequests) (RequestBlock, error) {
	return RequestBlock{}, refuseMissing("stub")
}
