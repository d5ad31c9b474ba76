package meta

import "ringbin/storage"

const (
	goldenBinID        = "018bcfe568000102030405ff"
	goldenCollectionID = "018bcfe56801010203040506"
	goldenSchemaID     = "018bcfe56802010203040506"
	goldenAccessID     = "018bcfe56803010203040506"
)

// goldenBinCommands are the commands of JSONBin with all their members set.
func goldenBinCommands() []Command {
	cid := sized(1<<20, 0xab)
	hash := [32]byte{31: 0xcd}
	random := RandomID{1, 2, 3, 4, 5, 0xff}
	match := &Match{Any: true, Revisions: []uint64{7, 70_000}}
	receipts := []storage.Receipt{{Node: "n1", Incarnation: 300, CID: cid, Generation: 70_000, Time: testStart, RingVersion: 8}}
	return []Command{
		SetMasterKey{Account: "acc_1", Random: random, Hash: hash, Name: "Änn"},
		CreateAccessKey{Account: "acc_1", Random: random, Name: "web", Hash: hash, Sealed: []byte{1, 2, 3}, Scopes: []string{ScopeRead, ScopeUpdate}},
		UpdateAccessKey{Account: "acc_1", ID: goldenAccessID, Name: new("app"), Scopes: new([]string{ScopeDelete}), Sealed: new([]byte{4, 5})},
		DeleteAccessKey{Account: "acc_1", ID: goldenAccessID},
		CreateBin{
			Account: "acc_1", Random: random, CID: cid, Name: "Änn's", Private: true, Collection: goldenCollectionID,
			SchemaDoc: goldenSchemaID, SchemaRevision: 300, Receipts: receipts,
		},
		UpdateBin{
			ID: goldenBinID, CID: cid, Versioning: new(true), Master: true, Keyless: true, SchemaDoc: goldenSchemaID, SchemaRevision: 300,
			IfMatch: match, Receipts: receipts,
		},
		DeleteBin{ID: goldenBinID, IfMatch: match},
		SetBinPrivacy{ID: goldenBinID, Private: true, IfMatch: match},
		RenameBin{ID: goldenBinID, Name: "ä", IfMatch: match},
		ClearVersions{ID: goldenBinID, PreserveLatest: true, IfMatch: match},
		CreateCollection{Account: "acc_1", Random: random, Name: "ä"},
		RenameCollection{Account: "acc_1", ID: goldenCollectionID, Name: "ö"},
		DeleteCollection{Account: "acc_1", ID: goldenCollectionID},
		AttachSchema{Account: "acc_1", Collection: goldenCollectionID, SchemaDoc: goldenSchemaID},
		CreateSchemaDoc{Account: "acc_1", Random: random, Name: "User", CID: cid, Receipts: receipts},
		UpdateSchemaDoc{Account: "acc_1", ID: goldenSchemaID, Name: new("User"), CID: &cid, Receipts: receipts},
		ReserveRequests{Account: "acc_1", Requests: 70_000},
	}
}

// goldenBinValues are the values of commands of JSONBin.
func goldenBinValues() []any {
	cid := sized(1<<20, 0xab)
	b := Bin{
		ID: goldenBinID, Account: "acc_1", Name: "ä", Private: true, Collection: goldenCollectionID, Revision: 300, Versions: 7,
		Created: testStart, Base: cid, BaseTaken: true, Clearings: 3,
	}
	c := Collection{ID: goldenCollectionID, Account: "acc_1", Name: "ä", SchemaDoc: goldenSchemaID, Created: testStart + 1}
	d := SchemaDoc{ID: goldenSchemaID, Account: "acc_1", Name: "User", Created: testStart + 2, CID: cid, Revision: 300, Taken: true}
	k := Key{
		ID: goldenAccessID, Account: "acc_1", API: APIJSONBin, Name: "web", Hash: [32]byte{1}, Created: testStart + 3, Expires: testStart + minute,
		Revoked: testStart + 4, LastUsed: testStart + 5, Scopes: []string{ScopeRead}, RatePerMinute: 600, Sealed: []byte{1, 2, 3},
	}
	return []any{
		k, b,
		BinUpdate{Bin: b, Version: 7},
		Cleared{Bin: b, Versions: 8, Deleted: 7},
		c,
		Attached{Collection: c, SchemaDoc: d},
		d,
		RequestBlock{Requests: 100, Until: testStart + dayMillis},
	}
}

var goldenBinReaders = map[string]commandType{
	"Key": typeUpdateAccessKey, "Bin": typeDeleteBin, "BinUpdate": typeUpdateBin, "Cleared": typeClearVersions, "Collection": typeRenameCollection,
	"Attached": typeAttachSchema, "SchemaDoc": typeUpdateSchemaDoc, "RequestBlock": typeReserveRequests,
}

// goldenJSONBin changes each setting of the dialect.
func goldenJSONBin() *JSONBinPatch {
	n := func(v int64) *int64 { return &v }
	return &JSONBinPatch{
		AccessKeysMax: n(1), NameMax: n(2), BinNameMax: n(3), VersionsMax: n(4), RecordMaxBytes: n(5), XLMaxBytes: n(6), SchemaMaxBytes: n(7),
		PageSize: n(8), Versioning: new(true), PublicUpdate: new(true), AllowBlank: new(true), RequestsPerMonth: n(9), RequestsPerMinute: n(10),
		PricingURL: new("https://example.org/pricing"), UpgradeURL: new("https://example.org/upgrade"), LogRetentionDays: n(11),
	}
}
