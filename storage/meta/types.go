package meta

// commandType is the first byte of a command. Types are only added; a number
// is never given to another command.
type commandType uint8

const (
	typeTick            commandType = 1
	typeCreateAccount   commandType = 2
	typeUpdateAccount   commandType = 3
	typeDeposit         commandType = 4
	typeCreateKey       commandType = 5
	typeRevokeKey       commandType = 6
	typeTouchKeys       commandType = 7
	typeCommitUpload    commandType = 8
	typeExtend          commandType = 9
	typeDeleteReference commandType = 10
	typeBlockContent    commandType = 11
	typeSweep           commandType = 12
	typePutNode         commandType = 13
	typeRemoveNode      commandType = 14
	typeSetRing         commandType = 15
	typeRingSynced      commandType = 16
	typeAbortRing       commandType = 17
	typeSetSettings     commandType = 18

	typePartitionsSynced commandType = 19
	typeHoldRing         commandType = 20
	typeDrainNode        commandType = 21
	typeReplaceNode      commandType = 22
	typeCondemn          commandType = 25
	typeDropTombstones   commandType = 26
	typeNewEpoch         commandType = 30

	typeCreatePaste    commandType = 40
	typeDeletePaste    commandType = 41
	typeSetPasteExpiry commandType = 42
	typeCreateLink     commandType = 43
	typeDeleteLink     commandType = 44
	typeSetLinkExpiry  commandType = 45
	typeAddCounts      commandType = 46
	typeSetSalt        commandType = 47
	typeRequestKey     commandType = 48
	typeRedeemToken    commandType = 49
	typeOpenKey        commandType = 50

	typeSetMasterKey     commandType = 60
	typeCreateAccessKey  commandType = 61
	typeUpdateAccessKey  commandType = 62
	typeDeleteAccessKey  commandType = 63
	typeCreateBin        commandType = 64
	typeUpdateBin        commandType = 65
	typeDeleteBin        commandType = 66
	typeSetBinPrivacy    commandType = 67
	typeRenameBin        commandType = 68
	typeClearVersions    commandType = 69
	typeCreateCollection commandType = 70
	typeRenameCollection commandType = 71
	typeDeleteCollection commandType = 72
	typeAttachSchema     commandType = 73
	typeCreateSchemaDoc  commandType = 74
	typeUpdateSchemaDoc  commandType = 75
	typeReserveRequests  commandType = 76

	typeCreateNote   commandType = 80
	typeEditNote     commandType = 81
	typeDeleteNote   commandType = 82
	typeBurnNote     commandType = 83
	typeResealNote   commandType = 84
	typeCreateToken  commandType = 85
	typeUpdateToken  commandType = 86
	typeRevokeToken  commandType = 87
	typeOpenSession  commandType = 88
	typeCloseSession commandType = 89
)

// specs are the commands that this program knows.
var specs = index(
	define(typeTick, (*tx).tick),
	define(typeCreateAccount, (*tx).createAccount),
	define(typeUpdateAccount, (*tx).updateAccount),
	define(typeDeposit, (*tx).deposit),
	define(typeCreateKey, (*tx).createKey),
	define(typeRevokeKey, (*tx).revokeKey),
	define(typeTouchKeys, (*tx).touchKeys),
	define(typeCommitUpload, (*tx).commitUpload),
	define(typeExtend, (*tx).extend),
	define(typeDeleteReference, (*tx).deleteReference),
	define(typeBlockContent, (*tx).blockContent),
	define(typeSweep, (*tx).sweep),
	define(typePutNode, (*tx).putNode),
	define(typeRemoveNode, (*tx).removeNode),
	define(typeSetRing, (*tx).setRing),
	define(typeRingSynced, (*tx).ringSynced),
	define(typeAbortRing, (*tx).abortRing),
	define(typeSetSettings, (*tx).setSettings),

	define(typePartitionsSynced, (*tx).partitionsSynced),
	define(typeHoldRing, (*tx).holdRing),
	define(typeDrainNode, (*tx).drainNode),
	define(typeReplaceNode, (*tx).replaceNode),
	define(typeCondemn, (*tx).condemn),
	define(typeDropTombstones, (*tx).dropTombstones),
	define(typeNewEpoch, (*tx).newEpoch),

	define(typeCreatePaste, (*tx).createPaste),
	define(typeDeletePaste, (*tx).deletePaste),
	define(typeSetPasteExpiry, (*tx).setPasteExpiry),
	define(typeCreateLink, (*tx).createLink),
	define(typeDeleteLink, (*tx).deleteLink),
	define(typeSetLinkExpiry, (*tx).setLinkExpiry),
	define(typeAddCounts, (*tx).addCounts),
	define(typeSetSalt, (*tx).setSalt),
	define(typeRequestKey, (*tx).requestKey),
	define(typeRedeemToken, (*tx).redeemToken),
	define(typeOpenKey, (*tx).openKey),

	define(typeSetMasterKey, (*tx).setMasterKey),
	define(typeCreateAccessKey, (*tx).createAccessKey),
	define(typeUpdateAccessKey, (*tx).updateAccessKey),
	define(typeDeleteAccessKey, (*tx).deleteAccessKey),
	define(typeCreateBin, (*tx).createBin),
	define(typeUpdateBin, (*tx).updateBin),
	define(typeDeleteBin, (*tx).deleteBin),
	define(typeSetBinPrivacy, (*tx).setBinPrivacy),
	define(typeRenameBin, (*tx).renameBin),
	define(typeClearVersions, (*tx).clearVersions),
	define(typeCreateCollection, (*tx).createCollection),
	define(typeRenameCollection, (*tx).renameCollection),
	define(typeDeleteCollection, (*tx).deleteCollection),
	define(typeAttachSchema, (*tx).attachSchema),
	define(typeCreateSchemaDoc, (*tx).createSchemaDoc),
	define(typeUpdateSchemaDoc, (*tx).updateSchemaDoc),
	define(typeReserveRequests, (*tx).reserveRequests),

	define(typeCreateNote, (*tx).createNote),
	define(typeEditNote, (*tx).editNote),
	define(typeDeleteNote, (*tx).deleteNote),
	define(typeBurnNote, (*tx).burnNote),
	define(typeResealNote, (*tx).resealNote),
	define(typeCreateToken, (*tx).createToken),
	define(typeUpdateToken, (*tx).updateToken),
	define(typeRevokeToken, (*tx).revokeToken),
	define(typeOpenSession, (*tx).openSession),
	define(typeCloseSession, (*tx).closeSession),
)

func index(all ...*spec) map[commandType]*spec {
	m := make(map[commandType]*spec, len(all))
	for _, s := range all {
		m[s.typ] = s
	}
	return m
}

func (Tick) commandType() commandType            { return typeTick }
func (CreateAccount) commandType() commandType   { return typeCreateAccount }
func (UpdateAccount) commandType() commandType   { return typeUpdateAccount }
func (Deposit) commandType() commandType         { return typeDeposit }
func (CreateKey) commandType() commandType       { return typeCreateKey }
func (RevokeKey) commandType() commandType       { return typeRevokeKey }
func (TouchKeys) commandType() commandType       { return typeTouchKeys }
func (CommitUpload) commandType() commandType    { return typeCommitUpload }
func (Extend) commandType() commandType          { return typeExtend }
func (DeleteReference) commandType() commandType { return typeDeleteReference }
func (BlockContent) commandType() commandType    { return typeBlockContent }
func (Sweep) commandType() commandType           { return typeSweep }
func (PutNode) commandType() commandType         { return typePutNode }
func (RemoveNode) commandType() commandType      { return typeRemoveNode }
func (SetRing) commandType() commandType         { return typeSetRing }
func (RingSynced) commandType() commandType      { return typeRingSynced }
func (AbortRing) commandType() commandType       { return typeAbortRing }
func (SetSettings) commandType() commandType     { return typeSetSettings }

func (PartitionsSynced) commandType() commandType { return typePartitionsSynced }
func (HoldRing) commandType() commandType         { return typeHoldRing }
func (DrainNode) commandType() commandType        { return typeDrainNode }
func (ReplaceNode) commandType() commandType      { return typeReplaceNode }
func (Condemn) commandType() commandType          { return typeCondemn }
func (DropTombstones) commandType() commandType   { return typeDropTombstones }
func (NewEpoch) commandType() commandType         { return typeNewEpoch }

func (CreatePaste) commandType() commandType    { return typeCreatePaste }
func (DeletePaste) commandType() commandType    { return typeDeletePaste }
func (SetPasteExpiry) commandType() commandType { return typeSetPasteExpiry }
func (CreateLink) commandType() commandType     { return typeCreateLink }
func (DeleteLink) commandType() commandType     { return typeDeleteLink }
func (SetLinkExpiry) commandType() commandType  { return typeSetLinkExpiry }
func (AddCounts) commandType() commandType      { return typeAddCounts }
func (SetSalt) commandType() commandType        { return typeSetSalt }
func (RequestKey) commandType() commandType     { return typeRequestKey }
func (RedeemToken) commandType() commandType    { return typeRedeemToken }
func (OpenKey) commandType() commandType        { return typeOpenKey }

func (SetMasterKey) commandType() commandType     { return typeSetMasterKey }
func (CreateAccessKey) commandType() commandType  { return typeCreateAccessKey }
func (UpdateAccessKey) commandType() commandType  { return typeUpdateAccessKey }
func (DeleteAccessKey) commandType() commandType  { return typeDeleteAccessKey }
func (CreateBin) commandType() commandType        { return typeCreateBin }
func (UpdateBin) commandType() commandType        { return typeUpdateBin }
func (DeleteBin) commandType() commandType        { return typeDeleteBin }
func (SetBinPrivacy) commandType() commandType    { return typeSetBinPrivacy }
func (RenameBin) commandType() commandType        { return typeRenameBin }
func (ClearVersions) commandType() commandType    { return typeClearVersions }
func (CreateCollection) commandType() commandType { return typeCreateCollection }
func (RenameCollection) commandType() commandType { return typeRenameCollection }
func (DeleteCollection) commandType() commandType { return typeDeleteCollection }
func (AttachSchema) commandType() commandType     { return typeAttachSchema }
func (CreateSchemaDoc) commandType() commandType  { return typeCreateSchemaDoc }
func (UpdateSchemaDoc) commandType() commandType  { return typeUpdateSchemaDoc }
func (ReserveRequests) commandType() commandType  { return typeReserveRequests }

func (CreateNote) commandType() commandType   { return typeCreateNote }
func (EditNote) commandType() commandType     { return typeEditNote }
func (DeleteNote) commandType() commandType   { return typeDeleteNote }
func (BurnNote) commandType() commandType     { return typeBurnNote }
func (ResealNote) commandType() commandType   { return typeResealNote }
func (CreateToken) commandType() commandType  { return typeCreateToken }
func (UpdateToken) commandType() commandType  { return typeUpdateToken }
func (RevokeToken) commandType() commandType  { return typeRevokeToken }
func (OpenSession) commandType() commandType  { return typeOpenSession }
func (CloseSession) commandType() commandType { return typeCloseSession }
