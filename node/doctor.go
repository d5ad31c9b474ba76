package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ringbin/storage"
)

// Advice is what a reason of health means, in plain words, and what to do.
type Advice struct {
	Meaning string `json:"meaning"`
	Do      string `json:"do"`
}

// advice has an entry for every reason; a test holds it to that.
var advice = map[string]Advice{
	reasonNoLeader: {
		"No majority of the voters can be reached from this node. Content that it has is still served; nothing can be written, and balances and keys can't be checked.",
		"See which members are down (\"ringbin cluster status\" on another node) and start them, or mend the network. If a majority is lost for ever: \"ringbin cluster recover\" on a survivor.",
	},
	reasonNotMember: {
		"The node has not become a member yet: it waits for the other founders, or for the cluster that it joins.",
		"Its log says whom it can't reach. Check --join, --bootstrap-expect, the secret file and the RPC ports of all founders.",
	},
	reasonClosing: {
		"The node is shutting down.",
		"Nothing, if it was told to.",
	},
	reasonSingleCopy: {
		"There is one copy of each content: a lost disk is lost content.",
		"Let one more node join, better two. Until then make backups (\"ringbin backup create\").",
	},
	reasonNodeDown: {
		"Members do not answer. Their copies are missing until they are back.",
		"Start them. If one never comes back: \"ringbin cluster remove ID\", and let a new node join.",
	},
	reasonNoTolerance: {
		"One more voter lost and nothing can be written.",
		"Bring the voters back that are down, or let a node join. Restart nothing before that.",
	},
	reasonCopies: {
		"Owners do not hold all their copies yet: after a node was away, or while content moves. They fetch them by themselves.",
		"Wait, and watch that the number falls. If it stands still: see which node misses them in \"ringbin cluster status\", its log, and its disk.",
	},
	reasonCorrupt: {
		"Copies failed their check. They are not served, and are replaced from good ones.",
		"Nothing, if the number falls to zero. If it comes back on the same node, its disk or memory is failing: replace it.",
	},
	reasonDisk: {
		"Nodes have less free space than their floor, and take no content.",
		"Make room on the volume, add a larger one, or let more nodes join.",
	},
	reasonSkew: {
		"This node's clock is off from the others' by more than two seconds. It does not lead, and gets no requests.",
		"Mend its time service (chrony, ntpd, systemd-timesyncd).",
	},
	reasonRingChange: {
		"Copies are on their way to new owners: members came, went, or changed.",
		"Wait. It ends by itself; \"ringbin cluster status\" shows what is missing.",
	},
	reasonDiverged: {
		"Nodes at the same point of the log disagree about the state, and none has a majority. Nothing is written.",
		"Stop all nodes and run \"ringbin fsck\" on each. Those that are clean go on; wipe the others and let them join anew. Keep the directories, and report it: this is a bug or bad memory.",
	},
	reasonVoters: {
		"Fewer members vote than should: a new one is catching up, or one was removed.",
		"Wait a minute. If it stays: let another node join, or see why the new one does not catch up (its log, its disk).",
	},
	reasonDiskSlow: {
		"Operations of a disk took seconds. Writes wait for the slowest disk of a majority.",
		"See what else uses the disk; check it (smartctl, the kernel's log). If it is the leader's, it is better restarted elsewhere first.",
	},
	reasonBallast: {
		"A disk was full. The node has thrown out its ballast to go on, and takes no content.",
		"Make room on its volume, for twice the ballast above the floor. It is laid in again by itself.",
	},
	reasonLogLong: {
		"A node's Raft log grows without end: it can't make snapshots.",
		"See its log for \"snapshot\", and its disk's space.",
	},
	reasonLost: {
		"Content has no good copy on any of its owners, and all of them were asked. It is answered as unavailable, never as unknown. What is left of it is kept.",
		"Bring back members that are down or were removed: they may have copies. Otherwise upload it again, or restore it from a backup: either ends the alarm.",
	},
	reasonRebuild: {
		"A node's database of blobs has rotten files and is being replaced while the node serves: good copies are taken over, the others are fetched from other nodes.",
		"Wait. A lasting \"lost\" or \"copies_missing\" holds it up. Check the disk (smartctl, the kernel's log) and the memory: it will happen again.",
	},
	reasonRequestLog: {
		"A node's log of API requests could not be written, or a former one had rotten files and was moved aside. Requests are served as ever, but not all of them are logged.",
		"See its log for \"log of requests\", and its disk's space and health. A directory logs.bad-N in its data directory is the one that was moved aside: remove it once you have seen it.",
	},
	reasonScrub: {
		"A node has not read all its copies again in the time that it has for that, so that rot in them may not be known yet.",
		"See whether its disk is slow or full of other work, or whether it was down for long. With more content than the disk can read in that time: raise --scrub-every.",
	},
}

// Advise returns what a reason's code means.
func Advise(code string) (Advice, bool) {
	a, ok := advice[code]
	return a, ok
}

// Codes of what an examination of a directory finds.
const (
	findNoDir      = "no_data_dir"
	findOpenFiles  = "open_files"
	findFull       = "disk_low"
	findPermission = "permissions"
	findNoBallast  = "no_ballast"
)

// openFilesLeast is what a node may need: databases keep their tables open,
// and each client is one.
const openFilesLeast = 8192

// Finding is something about this machine that a node will suffer from.
type Finding struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Advice Advice `json:"advice"`
}

// Examine looks at a data directory and the machine that it is on, whether a
// node runs there or not. It changes nothing.
func Examine(dir string) []Finding {
	var all []Finding
	add := func(code, text, meaning, do string) {
		all = append(all, Finding{code, text, Advice{meaning, do}})
	}
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() {
		add(findNoDir, fmt.Sprintf("%s: %v", dir, err), "There is no such directory.", "Give the one that the node runs on.")
		return all
	}
	if perm := st.Mode().Perm(); perm&0o077 != 0 {
		add(findPermission, fmt.Sprintf("%s is open to others (%s)", dir, perm), "Others on this machine may read content and secrets.", "chmod 700 "+dir)
	}
	if most, known := openFilesMax(); known && most < openFilesLeast {
		add(findOpenFiles, fmt.Sprintf("%d open files are allowed", most), "The databases and clients of a node need more.", fmt.Sprintf("Raise the limit to %d or more (LimitNOFILE=, ulimit -n).", openFilesLeast))
	}
	if use, err := vfs.Default.GetDiskUsage(dir); err == nil {
		free, floor := int64(use.AvailBytes), storage.DefaultFloor(int64(use.TotalBytes))
		if free < floor {
			add(findFull, fmt.Sprintf("%d bytes are free, the floor is %d by default", free, floor), advice[reasonDisk].Meaning, advice[reasonDisk].Do)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err == nil {
		if _, err := os.Stat(filepath.Join(dir, ballastFile)); errors.Is(err, os.ErrNotExist) {
			add(findNoBallast, "there is no ballast", "The disk was full, or the node runs without one: there is no reserve for the next time.", "Make room; see --ballast-bytes.")
		}
	}
	return all
}
