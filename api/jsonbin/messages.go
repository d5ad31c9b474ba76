package jsonbin

import (
	"fmt"

	"ringbin/node"
	"ringbin/storage"
)

// The contract's sentences, odd wording included.
const (
	invalidJSON     = "Invalid JSON. Please try again"
	needContentType = "You need to pass Content-Type set to application/json"
	blankBin        = "Bin cannot be blank"

	invalidBinID        = "Invalid Bin Id provided"
	invalidVersion      = "Bin version is invalid"
	noVersion           = "Bin version not found"
	noVersions          = "No versions found"
	foreignOrNoBin      = "Bin not found or it doesn't belong to your account"
	noBin               = "Bin not found"
	needBinName         = "You need to pass X-Bin-Name header to Update the Bin Name"
	needPrivacy         = "You need to provide X-Bin-Private header to change the Bin privacy"
	invalidPath         = "Invalid X-JSON-Path expression passed"
	changedBin          = "Precondition failed: the bin was changed"
	binDeleted          = "Bin deleted successfully"
	versionsDeleted     = "Versions for the Bin are deleted successfully"
	versionsDeletedKept = "Versions for the Bin are deleted successfully and latest version preserved on the base record."

	invalidCollectionID     = "Invalid Collection Id provided"
	invalidCollectionHeader = "Invalid X-Collection-Id provided"
	noCollection            = "Collection not found"
	noCollectionForBin      = "Collection not found or the Collection does not belong to the X-Master-Key provided"
	needCollectionName      = "You need to pass X-Collection-Name header to set a name for the Collection"
	blankCollectionName     = "X-Collection-Name cannot be blank"
	collectionDeleted       = "Collection deleted successfully"

	invalidSchemaID  = "Invalid Schema Id provided"
	noSchemaDoc      = "Schema Doc not found"
	needSchemaDocID  = "You need to pass X-Schema-Doc-Id in the header"
	needSchemaName   = "You need to pass X-Schema-Doc-Name header to set a name for the Schema Doc"
	blankSchema      = "Schema Doc cannot be blank"
	invalidAccessID  = "Invalid Access Key Id provided"
	noAccessKey      = "Access Key not found"
	blankKeyName     = "X-Key-Name cannot be blank"
	invalidPayload   = "Validation failed, please try again"
	accessKeyDeleted = "Access Key deleted successfully"

	noRoute     = "Route not found!"
	internal    = "Internal Server Error"
	unavailable = "Service unavailable, please try again"
	tooMany     = "Too many requests, please try again later"
	refused     = "This content is refused"
)

// keyTexts are a route's sentences about keys.
type keyTexts struct {
	none, master, access string
}

// forCode returns the sentence for a code of node.
func (t keyTexts) forCode(code string) string {
	switch code {
	case codeMaster:
		return t.master
	case codeAccess:
		return t.access
	}
	return t.none
}

const (
	needMaster      = "You need to pass X-Master-Key in the header"
	needEither      = "You need to pass X-Master-Key or X-Access-Key in the header to "
	wrongMaster     = "Invalid X-Master-Key provided"
	wrongMasterBin  = "X-Master-Key is invalid or the bin doesn't belong to your account"
	wrongMasterPut  = "Invalid X-Master-Key provided or the bin does not belong to your account"
	wrongAccess     = "Invalid X-Access-Key provided"
	wrongAccessBin  = "X-Access-Key is invalid or the bin doesn't belong to your account"
	lacksPermission = "X-Access-Key does not have the permission to %s bins"
)

// What the routes say of keys. An access key alone counts as none where a
// master key is needed.
var (
	keysList   = keyTexts{none: needMaster + " to fetch a list of Access Keys.", master: wrongMaster}
	keysMake   = keyTexts{none: needMaster + " to generate Access Key", master: wrongMaster}
	keysDelete = keyTexts{none: needMaster + " to delete the access key.", master: wrongMaster}
	binCreate  = keyTexts{none: needEither + "create a bin", master: wrongMaster, access: wrongAccess}
	binRead    = keyTexts{none: needEither + "read a private bin", master: wrongMasterBin, access: wrongAccessBin}
	binUpdate  = keyTexts{none: needEither + "update a private bin", master: wrongMasterPut, access: wrongAccessBin}
	binDelete  = keyTexts{none: needEither + "delete a bin", master: wrongMasterBin, access: wrongAccessBin}
	binCount   = keyTexts{none: needMaster + " to get version count for the private bin", master: wrongMasterBin}
	masterOnly = keyTexts{none: needMaster, master: wrongMaster}
)

// invalid is a 400 with a sentence.
func invalid(text string) error {
	return &storage.Error{Op: "jsonbin", Kind: storage.KindInvalid, Text: text}
}

// tooLong is for a name of too many characters; of is what it names.
func tooLong(of string, most int64) error {
	return invalid(fmt.Sprintf("Name of the %s cannot be above %d characters", of, most))
}

// sentence is what a code of node says where a route has no words of its own;
// "" for none.
func sentence(e *storage.Error, settings node.JSONBinSettings) string {
	switch e.Code {
	case "bin_not_found":
		return foreignOrNoBin
	case "collection_not_found":
		return noCollection
	case "schema_not_found":
		return noSchemaDoc
	case "key_not_found":
		return noAccessKey
	case "access_key_limit":
		return fmt.Sprintf("You cannot create more than %d access keys.", settings.AccessKeysMax)
	case "versioning_off":
		return "Versioning is not available for the Free users. Upgrade to Pro plan " + settings.UpgradeURL + " to avail this feature"
	case "quota_exhausted":
		return "Requests exhausted. Buy additional requests at " + settings.PricingURL
	case "revision_mismatch":
		return changedBin
	case "content_blocked":
		return refused
	}
	return ""
}
