package jsonbin_test

import "testing"

// messages are the contract's own words that one node can be brought to.
var messages = []string{
	"You need to pass X-Master-Key in the header to fetch a list of Access Keys.",
	"You need to pass X-Master-Key in the header to generate Access Key",
	"You need to pass X-Master-Key in the header to delete the access key.",
	"You need to pass X-Master-Key or X-Access-Key in the header to create a bin",
	"You need to pass X-Master-Key or X-Access-Key in the header to read a private bin",
	"You need to pass X-Master-Key or X-Access-Key in the header to update a private bin",
	"You need to pass X-Master-Key or X-Access-Key in the header to delete a bin",
	"You need to pass X-Master-Key in the header to get version count for the private bin",
	"You need to pass X-Master-Key in the header",
	"Invalid X-Master-Key provided",
	"X-Master-Key is invalid or the bin doesn't belong to your account",
	"Invalid X-Master-Key provided or the bin does not belong to your account",
	"Invalid X-Access-Key provided",
	"X-Access-Key is invalid or the bin doesn't belong to your account",
	"X-Access-Key does not have the permission to create bins", "X-Access-Key does not have the permission to read bins",
	"X-Access-Key does not have the permission to update bins", "X-Access-Key does not have the permission to delete bins",
	"Route not found!",
	"X-Key-Name cannot be blank", "Name of the Key name cannot be above 32 characters",
	"You need to pass Content-Type set to application/json", "Validation failed, please try again", "Invalid Access Key Id provided",
	"Access Key not found", "You cannot create more than 3 access keys.",
	"Invalid JSON. Please try again", "Bin cannot be blank", "Record cannot be larger than 10485760 bytes",
	"X-Bin-Name cannot be blank or over 128 characters", "You need to pass X-Bin-Name header to Update the Bin Name",
	"You need to provide X-Bin-Private header to change the Bin privacy", "Invalid Bin Id provided", "Bin version is invalid",
	"Bin version not found", "Invalid X-Collection-Id provided",
	"Collection not found or the Collection does not belong to the X-Master-Key provided",
	"Bin not found or it doesn't belong to your account", "Bin not found", "Precondition failed: the bin was changed",
	"Versioning is not available for the Free users. Upgrade to Pro plan http://api.jsonbin.io/pricing to avail this feature",
	"Invalid X-JSON-Path expression passed",
	"You need to pass X-Collection-Name header to set a name for the Collection", "X-Collection-Name cannot be blank",
	"Name of the Collection cannot be above 32 characters", "Name of the Schema Doc cannot be above 32 characters",
	"Invalid Collection Id provided", "Collection not found", "You need to pass X-Schema-Doc-Id in the header", "Invalid Schema Id provided",
	"Schema Doc not found", "You need to pass X-Schema-Doc-Name header to set a name for the Schema Doc", "Schema Doc cannot be blank",
	"Invalid Schema Doc provided", "Remote $ref is not allowed in a Schema Doc", "Schema Doc cannot be larger than 262144 bytes",
	"Schema Doc Validation Mismatch:  Should have required property 'username'",
	"Requests exhausted. Buy additional requests at https://jsonbin.io/pricing", "Too many requests, please try again later",
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	dialect.Run(t, func(t *testing.T) {
		t.Helper()
		dialect.CheckCoverage(t, []string{"deleteNoAccessKey"}, messages)
	})
}
