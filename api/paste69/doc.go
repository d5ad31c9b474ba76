// Package paste69 is the Paste69 dialect (the API of 0x45.st): credentials,
// parse, call, render. Rights, caps, ids and rates are node's.
//
// A request body is a stream of fields whatever its form (fields.go): create
// reads it up to the content, hands that on as it comes, and takes in the rest
// afterwards (create.go). Whatever names a file, a type or an end was written
// by a stranger, and is cleaned in one place each: names.go, sniff.go,
// expiry.go. Requests of ours to strangers go through fetch.go only.
package paste69
