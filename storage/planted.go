package storage

// Bug is a mistake that a build with the tag teeth can be told to make, so that
// the tests show that they would notice it. The code of a mistake stands where
// somebody would make it, behind [Planted].
type Bug string

// The mistakes.
const (
	BugNoRequestIDs    Bug = "no-request-ids"       // what was done under an id is done again, where it can be
	BugStaleLeaderRead Bug = "stale-leader-read"    // a node that believes it leads answers strong reads
	BugNoBarrier       Bug = "no-barrier"           // a new leader answers before it has its predecessors' entries
	BugReceiptUnsynced Bug = "receipt-before-fsync" // an owner's word goes before its fsync
	BugOneCopy         Bug = "w1"                   // the first copy is enough
	BugSkipUnknown     Bug = "skip-unknown-command" // a command that this program does not know is passed over
	BugRingFromGossip  Bug = "ring-from-gossip"     // who seems dead loses its place in the ring
	BugDeleteByAbsence Bug = "delete-by-absence"    // a copy that the own catalogue does not name is erased
	BugLogUnsynced     Bug = "nosync-log"           // an ack of Raft's goes before the fsync of its log
	BugChargeFirst     Bug = "charge-before-commit" // money is taken before it is clear what for
	BugExpiredServed   Bug = "expired-served"       // what has expired is served while it is still there
	BugBurnAfterSend   Bug = "burn-after-sending"   // what is to be read once is sent, and burned then
)
