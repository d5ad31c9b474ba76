// Package meta is the replicated metadata: accounts, keys, references, pastes,
// short links and what is counted of them, the ledger, the address book and the
// ring, as a state machine that Raft drives.
//
// State lives in Pebble. Each entry of the log is an envelope of commands
// ([Pack], [Encode]); [FSM.ApplyBatch] carries a batch of entries out in one
// database batch that also holds the applied index, so that after a crash the
// log is replayed from exactly where the state stands. The batch is not
// synced: the Raft log is the durable copy.
//
// Apply is a pure function of state, command and FSM time. This package reads
// no clock, draws no random number, knows no node and does no I/O but to its
// database: ids, hashes and wishes come in the command, and all that depends
// on state (prices, expiry, limits) is computed here, the same on every node.
//
// A command that may not be carried out is refused: that is a result, not an
// error, and changes nothing. A command that cannot be read (an unknown type,
// a wrong checksum) halts this node, since to skip it would be to diverge.
package meta
