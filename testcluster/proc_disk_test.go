package testcluster_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ringbin/testcluster"
)

// Numbers of the full disk.
const (
	smallDiskBytes = 1 << 30  // each database keeps up to 70 MiB of log ready
	smallFloor     = 64 << 20 // kept free for consensus
	fillStep       = 1 << 20
)

// smallDisk mounts a file system of a few bytes, or skips where that is not
// allowed.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("ringbin-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", smallDiskBytes)); err != nil {
		t.Skipf("no small file system on this machine (mount needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes a file into dir until so many bytes are free; the function
// removes it. It stands for whatever else writes to the volume.
func fill(t *testing.T, dir string, leave int64) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "somebody-else")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, fillStep)
	for room := freeBytes(t, dir); room > leave; room = freeBytes(t, dir) {
		if _, err := f.Write(block[:min(fillStep, room-leave)]); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// smallDisksCluster is three nodes of which the first ones have small disks.
func smallDisksCluster(t *testing.T, bin string, small int) (p *testcluster.Processes, disks []string) {
	t.Helper()
	for range small {
		disks = append(disks, smallDisk(t))
	}
	p = testcluster.StartProcessesWith(t, bin, 3, testcluster.ProcessOptions{
		DataDir: func(i int) string {
			if i < small {
				return filepath.Join(disks[i], "data")
			}
			return filepath.Join(t.TempDir(), "data")
		},
		Args: func(i int) []string {
			if i < small {
				return []string{fmt.Sprintf("--free-floor-bytes=%d", smallFloor)}
			}
			return nil
		},
	})
	return p, disks
}

// diskFillsUp: below the floor the node keeps no more copies and says so; reads
// and consensus go on, uploads are acknowledged by the other two, and room that
// comes back is used without help.
func diskFillsUp(t *testing.T, bin string) {
	t.Helper()
	p, disks := smallDisksCluster(t, bin, 2)
	key := p.Account(100_000_000)
	w := p.StartWriters(testcluster.WritersOptions{N: 4, Size: 64 << 10, Key: key})
	waitWrites(t, w, 20)
	free := fill(t, disks[0], smallFloor/2)
	full := time.Now()
	waitReason(t, p, "disk_low", true)
	waitWrites(t, w, 100)
	all, _ := w.Gaps(full, time.Now())
	before := p.Acked()
	reader := readSteadily(t, p, 0, before)
	waitWrites(t, w, 50)
	reader.end()
	if ended, err := p.EndedWithin(0, 0); ended {
		t.Fatalf("the node with the full disk ended: %v\n%s", err, tail(p.LogText(0)))
	}
	if err := w.End(); err != nil {
		t.Error(err)
	}
	if n, texts := w.Refused(); n > 0 {
		t.Errorf("%d uploads were refused while two owners had room: %v", n, texts)
	}
	t.Logf("disk full on one node: longest write gap %s, 0 refused", all.Round(time.Millisecond))
	// With two of three full there is no room for a quorum: 507, nothing charged.
	free1 := fill(t, disks[1], smallFloor/2)
	p.WaitFor("507 with two disks full", func() bool { return uploadOnce(t, p, 0, key).Status == http.StatusInsufficientStorage })
	free1()
	free()
	waitReason(t, p, "disk_low", false)
	p.WaitFor("uploads again", func() bool { return uploadOnce(t, p, 0, key).Status == http.StatusOK })
	p.Check() // all copies are where they belong again, on the small disks too
	stopProcesses(p)
}

// uploadOnce uploads something new through a node, outside the journal.
func uploadOnce(t *testing.T, p *testcluster.Processes, node int, key string) testcluster.Answer {
	t.Helper()
	_, a, err := p.Client(node, key).Put(content(uint64(time.Now().UnixNano()), 40<<10), 30)
	if err != nil && a.Status == 0 {
		t.Fatal(err)
	}
	if a.Status != http.StatusOK {
		p.Forget(key)
	}
	return a
}

// waitReason waits until a node of the cluster names a reason, or does no more.
func waitReason(t *testing.T, p *testcluster.Processes, code string, named bool) {
	t.Helper()
	p.WaitFor("reason "+code, func() bool {
		reasons, err := p.Reasons(0)
		if err != nil {
			return false
		}
		_, ok := reasons[code]
		return ok == named
	})
}

// diskIsFull: the volume is full to the last byte, by somebody else's doing.
// The node may end, since its databases can't write; started again by its
// supervisor once there is room, it has lost nothing.
func diskIsFull(t *testing.T, bin string) {
	t.Helper()
	p, disks := smallDisksCluster(t, bin, 1)
	key := p.Account(100_000_000)
	w := p.StartWriters(testcluster.WritersOptions{N: 4, Size: 700 << 10, Key: key, Patience: 2 * time.Second})
	waitWrites(t, w, 30)
	stop := p.Supervise(0, 200*time.Millisecond)
	full := time.Now()
	free := fill(t, disks[0], 0)
	waitWrites(t, w, 60)
	all, _ := w.Gaps(full, time.Now())
	time.Sleep(2 * time.Second) // full for a while: what is started meanwhile meets it
	free()
	p.WaitReady()
	restarts := stop()
	waitWrites(t, w, 30)
	if err := w.End(); err != nil {
		t.Error(err)
	}
	t.Logf("disk full to the last byte: longest write gap %s, the node was started again %d times", all.Round(time.Millisecond), restarts)
	p.Check()
	stopProcesses(p)
}
