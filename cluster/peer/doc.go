// Package peer is the RPC between nodes, both halves: blobs, forwarded packs
// of commands, the read index, joining, status.
//
// It is plain HTTP/1.1 over connections that have finished mutual TLS: who
// calls is proved before a byte is read. Control calls carry CBOR, blobs travel
// as bodies. Errors cross the wire with their Kind, so that a caller can tell
// "not done" from "unknown".
package peer
