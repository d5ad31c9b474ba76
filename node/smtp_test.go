package node

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// SMTPServer is a small mail server that keeps what it is given.
type SMTPServer struct {
	Addr  *net.TCPAddr
	Mails chan string // each with its envelope before it
	Roots *x509.CertPool

	ln       net.Listener
	cert     tls.Certificate
	startTLS bool
	refuse   bool // the recipients
	auth     bool // asks for a password
	wg       sync.WaitGroup
}

// SMTPMode is how a server protects its connections, and what it refuses.
type SMTPMode struct{ TLS, StartTLS, Refuse, Auth bool }

// ServeSMTP runs a mail server until the test ends.
func ServeSMTP(t *testing.T, mode SMTPMode) *SMTPServer {
	t.Helper()
	s := &SMTPServer{Mails: make(chan string, 10), startTLS: mode.StartTLS, refuse: mode.Refuse, auth: mode.Auth}
	s.cert, s.Roots = certificateFor(t, "127.0.0.1")
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr, _ = ln.Addr().(*net.TCPAddr)
	if mode.TLS {
		ln = tls.NewListener(ln, s.tls())
	}
	s.ln = ln
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		s.wg.Wait()
	})
	return s
}

func (s *SMTPServer) tls() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{s.cert}, MinVersion: tls.VersionTLS12}
}

func (s *SMTPServer) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			s.talk(conn, !s.startTLS)
		})
	}
}

// talk is one connection's dialogue; safe is after STARTTLS, or without it.
func (s *SMTPServer) talk(conn net.Conn, safe bool) {
	say := func(line string) { _, _ = fmt.Fprint(conn, line+"\r\n") }
	in := bufio.NewReader(conn)
	say("220 test ESMTP")
	var envelope strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO", "HELO":
			say("250-test")
			if !safe {
				say("250-STARTTLS")
			}
			if s.auth {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go ahead")
			secure := tls.Server(conn, s.tls())
			conn, in, safe = secure, bufio.NewReader(secure), true
		case "AUTH":
			envelope.WriteString(line + "\n")
			say("235 welcome")
		case "MAIL", "RCPT":
			envelope.WriteString(line + "\n")
			if s.refuse && verb == "RCPT" {
				say("550 nobody of that name")
				continue
			}
			say("250 fine")
		case "DATA":
			say("354 go ahead")
			for {
				text, err := in.ReadString('\n')
				if err != nil || text == ".\r\n" {
					break
				}
				envelope.WriteString(text)
			}
			s.Mails <- envelope.String()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func certificateFor(t *testing.T, ip string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
