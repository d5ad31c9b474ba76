// Package storage is ringbin's vocabulary and its local disk.
//
// The vocabulary: [CID], the name of content; [Kind] and [Error], how things
// fail; [Ring], [Receipt] and [NodeID], the words that placement, replication
// and the replicated metadata share. Everybody may import it; it imports
// nothing of ours.
//
// The disk: [Store] keeps the bytes of content under its CID on this one node,
// in Pebble. It verifies what comes in, checks what goes out, and hides how a
// blob lies in the database.
package storage
