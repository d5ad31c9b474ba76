// Package paste69 is the Paste69 dialect (the API of 0x45.st): credentials,
// parse, call, render. Rights, caps, ids and rates are node's.
//
// routes.go is the table of routes: who may call, what the call counts as, and
// whether it is an alias. A handler is a method of call; it answers with a
// union (answer.go), whose members stand once in data and once flat beside it,
// or with a page. All errors are written in one place, errors.go.
//
// A request body is a stream of fields whatever its form (fields.go): create
// reads it up to the content, hands that on as it comes, and takes in the rest
// afterwards (create.go). Whatever names a file, a type or an end was written
// by a stranger, and is cleaned in one place each: names.go, sniff.go,
// expiry.go. Requests of ours to strangers go through fetch.go only.
package paste69
