package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Times that a script waits for something before it fails.
const (
	scriptWait      = 30 * time.Second
	scriptPollEvery = 20 * time.Millisecond
	slowPart        = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ringbin": main})
}

// TestScripts runs the command line as users do: each line of a script is a
// process of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"freeports":  freePorts,
			"freeblock":  freeBlock,
			"ready":      ready,
			"signal":     signalTo,
			"keep":       keep,
			"keepjson":   keepJSON,
			"isjson":     isJSON,
			"failure":    failure,
			"fakeserver": fakeServer,
			"certpair":   certPair,
			"served":     served,
			"admitted":   admitted,
			"waitlog":    waitLog,
			"random":     random,
			"onlyfiles":  onlyFiles,
		},
	})
}

// poll returns once holds does, or fails the script.
func poll(ts *testscript.TestScript, what string, holds func() bool) {
	for deadline := time.Now().Add(scriptWait); !holds(); {
		if time.Now().After(deadline) {
			ts.Fatalf("%s: not within %s", what, scriptWait)
		}
		time.Sleep(scriptPollEvery) // between two looks, not instead of one
	}
}

func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

// The ports of scripts lie below those that the system gives to connections,
// and no two scripts of this process get the same.
const portsFirst, portsEnd = 20_000, 32_000

var portsTaken atomic.Int32

// portBlock returns the first of n ports in a row that are free, TCP and UDP.
func portBlock(ts *testscript.TestScript, n int) int {
	for range portsEnd - portsFirst {
		end := int(portsTaken.Add(int32(n)))
		base := portsFirst + (os.Getpid()*97+end-n)%(portsEnd-portsFirst-n)
		free := true
		for p := base; free && p < base+n; p++ {
			free = isFree(p)
		}
		if free {
			return base
		}
	}
	ts.Fatalf("no %d free ports in a row", n)
	return 0
}

func isFree(port int) bool {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = ln.Close() }()
	pc, err := lc.ListenPacket(context.Background(), "udp", addr)
	if err != nil {
		return false
	}
	return pc.Close() == nil
}

// freePorts sets each variable to a loopback address that nobody listens on.
func freePorts(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "freeports VAR...")
	for _, v := range args {
		ts.Setenv(v, net.JoinHostPort("127.0.0.1", strconv.Itoa(portBlock(ts, 1))))
	}
}

// freeBlock sets a variable to the first of so many free ports in a row.
func freeBlock(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "freeblock VAR N")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Setenv(args[0], strconv.Itoa(portBlock(ts, n)))
}

// anyCertificate is for looking at servers with certificates of their own.
func anyCertificate() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// ready waits until the node at a URL takes requests.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "ready URL")
	c := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: anyCertificate(), DisableKeepAlives: true}}
	poll(ts, args[0]+" ready", func() bool {
		resp, err := c.Get(args[0] + "/readyz")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

// signalTo sends a signal to the background commands with an argument that
// contains a text.
func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": syscall.SIGINT}
	usage(ts, !neg && len(args) == 2 && signals[args[0]] != nil, "signal TERM|HUP|INT TEXT")
	sent := 0
	for _, cmd := range ts.BackgroundCmds() {
		if strings.Contains(strings.Join(cmd.Args, " "), args[1]) {
			ts.Check(cmd.Process.Signal(signals[args[0]]))
			sent++
		}
	}
	if sent == 0 {
		ts.Fatalf("no background command has %q", args[1])
	}
}

// keep sets a variable to what the last command printed.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "keep VAR")
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if text == "" {
		ts.Fatalf("the last command printed nothing")
	}
	ts.Setenv(args[0], text)
}

// keepJSON sets a variable to a field of the JSON that the last command
// printed; of a list, to that of its first element.
func keepJSON(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "keepjson VAR FIELD")
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	object, _ := v.(map[string]any)
	if object[args[1]] == nil {
		ts.Fatalf("no field %q in what the last command printed", args[1])
	}
	ts.Setenv(args[0], fmt.Sprint(object[args[1]]))
}

// isJSON checks that the last command printed JSON and nothing else.
func isJSON(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "isjson")
	if text := ts.ReadFile("stdout"); !json.Valid([]byte(text)) {
		ts.Fatalf("not JSON: %s", text)
	}
	if text := ts.ReadFile("stderr"); text != "" {
		ts.Fatalf("beside JSON: %s", text)
	}
}

// failure checks that the last command said one line, of the form that all
// failures have, with a match of a pattern.
func failure(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "failure PATTERN")
	text := ts.ReadFile("stderr")
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "ringbin: ") || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("not one line of an error: %q", text)
	}
	if !regexp.MustCompile("(?m)" + args[0]).MatchString(text) {
		ts.Fatalf("no match for %q in %q", args[0], text)
	}
}

// fakeServer sets a variable to the URL of a server that answers every request
// with the content of a file: in some wrong way, or right.
func fakeServer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "fakeserver VAR wrong|truncated|longer|right|slow|busy FILE")
	content := []byte(ts.ReadFile(args[2]))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch args[1] {
		case "wrong":
			other := bytes.Clone(content)
			other[len(other)/2] ^= 1
			_, _ = w.Write(other)
		case "truncated":
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:len(content)/2])
		case "longer":
			_, _ = w.Write(append(slices.Clone(content), "more"...))
		case "slow":
			for part := range slices.Chunk(content, len(content)/8+1) {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush() // the server of httptest can
				time.Sleep(slowPart)                      // as a slow network would
			}
		case "busy":
			http.Error(w, `{"error":"Not now","code":"unavailable"}`, http.StatusServiceUnavailable)
		default:
			_, _ = w.Write(content)
		}
	}))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}

// certPair writes a certificate that signs itself, and its key.
func certPair(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "certpair CERT KEY NAME")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: args[2]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
}

// served waits until an address shows the certificate of a name.
func served(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "served ADDR NAME")
	poll(ts, "certificate of "+args[1], func() bool {
		d := tls.Dialer{Config: anyCertificate()}
		conn, err := d.DialContext(context.Background(), "tcp", args[0])
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		tc, ok := conn.(*tls.Conn)
		return ok && tc.ConnectionState().PeerCertificates[0].Subject.CommonName == args[1]
	})
}

// admitted sends so many requests with a key at once, of which none is above a
// limit.
func admitted(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 3, "admitted URL KEY N")
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	req, err := http.NewRequest(http.MethodGet, args[0], http.NoBody)
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+args[1])
	c := &http.Client{Timeout: scriptWait}
	for i := range n {
		resp, err := c.Do(req)
		ts.Check(err)
		ts.Check(resp.Body.Close())
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusUnauthorized {
			ts.Fatalf("request %d of %d is answered with %d", i+1, n, resp.StatusCode)
		}
	}
}

// waitLog waits until a file that a background command writes has a match of
// a pattern.
func waitLog(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "waitlog FILE PATTERN")
	re := regexp.MustCompile(args[1])
	poll(ts, args[1], func() bool {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && re.Match(b)
	})
}

// random writes a file of so many random bytes.
func random(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 2, "random FILE SIZE")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// onlyFiles checks that a directory holds these names and nothing else, hidden
// ones included.
func onlyFiles(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) >= 1, "onlyfiles DIR [NAME...]")
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(names, want) {
		ts.Fatalf("%s holds %q, not %q", args[0], names, want)
	}
}
