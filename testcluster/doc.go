// Package testcluster runs whole clusters in tests: the same node.Open that
// main uses, N times in one process on loopback, behind a network that can be
// cut one way or both, with the verbs of a chaos test (Kill, PowerLoss, Restart,
// Partition, Heal) and its oracles.
//
// [Simulate] runs the same tests in virtual time, on a network and on disks in
// memory, where power can be lost. [StartProcesses] starts real processes.
//
// The oracles run when the test ends. They heal the network, restart who is
// down, and then hold the cluster to what it promised: every acknowledged blob
// is readable, byte for byte, from every node (I1, I2, I17); equal indexes have
// equal state hashes (I10); the ledger adds up and says what the clients'
// journal says (I5-I8); and no goroutine is left.
package testcluster
