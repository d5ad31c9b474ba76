// Package cluster is consensus, membership and placement. It moves bytes and
// knows no command.
//
// [Raft] wraps hashicorp/raft on raft-boltdb: one log that all members agree
// on, over mTLS, with node ids for addresses. [Gossip] wraps memberlist: hints
// about who is alive, which order dials and never move, place or delete
// anything. [Former] makes a cluster of exactly the nodes that were promised.
// [Place] computes the ring. [Trust] turns the cluster's secret into keys and
// certificates.
package cluster
