package testcluster

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// The ports of nodes lie below those that the system gives to outgoing
// connections: one of a killed node has to be free when it is started again.
const portsFirst, portsEnd = 10_000, 20_000

var portsTaken atomic.Int32

// freeAddr returns a loopback address whose port is free now, for TCP and UDP.
func freeAddr(tb testing.TB) string {
	tb.Helper()
	var lc net.ListenConfig
	for range portsEnd - portsFirst {
		port := portsFirst + (os.Getpid()*31+int(portsTaken.Add(1)))%(portsEnd-portsFirst)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := lc.Listen(context.Background(), "tcp", addr)
		if err != nil {
			continue
		}
		pc, err := lc.ListenPacket(context.Background(), "udp", addr)
		if err = errors.Join(err, ln.Close()); err != nil {
			continue
		}
		if err := pc.Close(); err == nil {
			return addr
		}
	}
	tb.Fatal("no free port")
	return ""
}
