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
	smallDiskBytes = 96 << 20
	smallFloor     = 32 << 20 // kept free for consensus
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

// smallDiskCluster is three nodes of which node 0 has a small disk.
func smallDiskCluster(t *testing.T, bin string) (p *testcluster.Processes, disk string) {
	t.Helper()
	disk = smallDisk(t)
	p = testcluster.StartProcessesWith(t, bin, 3, testcluster.ProcessOptions{
		DataDir: func(i int) string {
			if i == 0 {
				return filepath.Join(disk, "data")
			}
			return filepath.Join(t.TempDir(), "data")
		},
		Args: func(i int) []string {
			if i == 0 {
				return []string{fmt.Sprintf("--free-floor-bytes=%d", smallFloor)}
			}
			return nil
		},
	})
	return p, disk
}

// diskFillsUp: below the floor the node keeps no more copies and says so; reads
// and consensus go on, uploads are acknowledged by the other two, and room that
// comes back is used without help.
func diskFillsUp(t *testing.T, bin string) {
	t.Helper()
	p, disk := smallDiskCluster(t, bin)
	key := p.Account(100_000_000)
	w := p.StartWriters(testcluster.WritersOptions{N: 4, Size: 64 << 10, Key: key})
	waitWrites(t, w, 20)
	free := fill(t, disk, smallFloor/2)
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
	// With another owner away its refusal decides: 507, and nothing is charged.
	if err := w.End(); err != nil {
		t.Error(err)
	}
	if n, texts := w.Refused(); n > 0 {
		t.Errorf("%d uploads were refused while two owners had room: %v", n, texts)
	}
	p.Kill(1)
	balance, err := p.Client(2, key).Balance()
	if err != nil {
		t.Fatal(err)
	}
	a := uploadOnce(t, p, 2, key)
	t.Logf("disk full on one node: longest write gap %s; with one of the other two away an upload gets %d %s", all.Round(time.Millisecond), a.Status, a.Body)
	if a.Status != http.StatusInsufficientStorage && a.Status != http.StatusServiceUnavailable {
		t.Errorf("an upload that finds room on one of two owners: %d %s", a.Status, a.Body)
	}
	if now, err := p.Client(2, key).Balance(); err != nil || now != balance {
		t.Errorf("I7: balance %d after a refused upload, %d before: %v", now, balance, err)
	}
	p.Start(1)
	free()
	waitReason(t, p, "disk_low", false)
	p.WaitReady()
	if a := uploadOnce(t, p, 0, key); a.Status != http.StatusOK {
		t.Errorf("room is back, and an upload gets %d %s", a.Status, a.Body)
	}
	p.Check() // all copies are where they belong again, on the small disk too
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
	p, disk := smallDiskCluster(t, bin)
	key := p.Account(100_000_000)
	w := p.StartWriters(testcluster.WritersOptions{N: 4, Size: 4 << 10, Key: key, Patience: 2 * time.Second})
	waitWrites(t, w, 30)
	stop := p.Supervise(0, 200*time.Millisecond)
	full := time.Now()
	free := fill(t, disk, 0)
	waitWrites(t, w, 300)
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
