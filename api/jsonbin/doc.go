// Package jsonbin is the JSONBin v3 dialect: bins with versions, collections,
// schema docs and access keys under /v3. Like the other dialects it is
// credentials, parse, call, render; but it reads JSON itself, since a record
// stays as it was spelled: numbers are never anything but text, names may be
// there twice, and members keep their order. Hence a compaction, JSONPath and
// schema validation of its own, all over the text.
package jsonbin
