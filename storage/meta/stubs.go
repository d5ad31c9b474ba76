package meta

func (t *tx) createPaste(Header, CreatePaste) (Paste, error) { return Paste{}, refuseMissing("stub") }
func (t *tx) deletePaste(Header, DeletePaste) (Paste, error) { return Paste{}, refuseMissing("stub") }
func (t *tx) setPasteExpiry(Header, SetPasteExpiry) (Paste, error) {
	return Paste{}, refuseMissing("stub")
}
func (t *tx) createLink(Header, CreateLink) (Link, error)       { return Link{}, refuseMissing("stub") }
func (t *tx) deleteLink(Header, DeleteLink) (Link, error)       { return Link{}, refuseMissing("stub") }
func (t *tx) setLinkExpiry(Header, SetLinkExpiry) (Link, error) { return Link{}, refuseMissing("stub") }
func (t *tx) addCounts(Header, AddCounts) (none, error)         { return none{}, nil }
func (t *tx) setSalt(Header, SetSalt) (Salt, error)             { return Salt{}, refuseMissing("stub") }
func (t *tx) requestKey(Header, RequestKey) (none, error)       { return none{}, nil }
func (t *tx) redeemToken(Header, RedeemToken) (Redeemed, error) {
	return Redeemed{}, refuseMissing("stub")
}
func (t *tx) openKey(Header, OpenKey) (Key, error) { return Key{}, refuseMissing("stub") }
