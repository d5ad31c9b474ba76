// Package apilog keeps the log of requests that this node served, on its own
// disk: nothing of it is replicated, and what is lost with a node is lost.
//
// It is a [Log] in Pebble whose keys are the ids of entries. An id is a ULID
// made of time, node and a number that rises, so that the order of ids is the
// order of all nodes' logs together, newest last, and any id is a place to go
// on from on any node. [Merge] puts the answers of several nodes together.
package apilog
