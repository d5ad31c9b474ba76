package paste69_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"

	"ringbin/node"
	"ringbin/testcluster/dialogue"
)

// What is too large costs the connection: nobody reads the rest.
func TestTooLargeClosesTheConnection(t *testing.T) {
	t.Parallel()
	r := dialect.NewRig(t, nil)
	r.Call(t, http.MethodPatch, "/api/admin/settings", r.Node.AdminToken(), `{"paste69": {"max_upload": 10}}`)
	for body, want := range map[string]int{"0123456789": http.StatusOK, "0123456789a": http.StatusRequestEntityTooLarge} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Node.Addresses().HTTP+"/p", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "text/plain")
		client := &http.Client{Transport: &http.Transport{}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if closing := resp.StatusCode == http.StatusRequestEntityTooLarge; err != nil || resp.StatusCode != want || resp.Close != closing {
			t.Errorf("%q: %d, closing %t, %v", body, resp.StatusCode, resp.Close, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
	}
}

// mailbox is a mail server that keeps what it is given.
func mailbox(t *testing.T) (port int, mails <-chan string) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := make(chan string, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			takeMail(conn, box)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(l.Addr())
	}
	return at.Port, box
}

// takeMail speaks as much SMTP as a client needs.
func takeMail(conn net.Conn, box chan<- string) {
	defer func() { _ = conn.Close() }()
	c := textproto.NewReader(bufio.NewReader(conn))
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 mail.example")
	for {
		line, err := c.ReadLine()
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch {
		case err != nil:
			return
		case verb == "QUIT":
			say("221 bye")
			return
		case verb == "DATA":
			say("354 go on")
			mail, err := c.ReadDotBytes()
			if err != nil {
				return
			}
			box <- string(mail)
		}
		say("250 well")
	}
}

// With a mail server, the link to a key goes by mail, below the base URL that
// was configured and whatever Host a request names.
func TestKeyByMail(t *testing.T) {
	t.Parallel()
	port, mails := mailbox(t)
	r := dialect.NewRig(t, func(c *node.Config) {
		c.PasteBaseURL = "https://paste.example/p"
		c.SMTP = node.SMTPConfig{Host: "127.0.0.1", Port: port, From: "ringbin@paste.example", TLS: "none"}
	})
	a := r.Send(t, dialogue.Request{
		Method: http.MethodPost, Target: "/keys/request", Header: []string{"Host: evil.example", "Content-Type: application/json"},
		Body: `{"name": "Your Name", "email": "your@email.com"}`,
	})
	const want = `{"success":true,"message":"Please check your email to verify your API key",` +
		`"data":{"email":"your@email.com","delivery":"email"},"email":"your@email.com","delivery":"email"}`
	if a.Status != http.StatusOK || string(a.Body) != want {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	mail := strings.ReplaceAll(<-mails, "=\n", "") // quoted-printable lines joined
	mail = strings.ReplaceAll(mail, "=3D", "=")
	const link = "https://paste.example/p/keys/verify?token="
	at := strings.Index(mail, link)
	if at < 0 || strings.Contains(mail, "evil.example") || strings.Contains(mail, "text/html") {
		t.Fatalf("the mail is\n%s", mail)
	}
	token := mail[at+len(link):][:64]
	if strings.Contains(r.Log.String(), token) {
		t.Error("the token is in the log")
	}
	a = r.Send(t, dialogue.Request{Method: http.MethodGet, Target: "/keys/verify?token=" + token})
	if a.Status != http.StatusOK || a.Member(t, "email") != "your@email.com" || a.Member(t, "message") != "API key verified" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestMailThatFails(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil || !ok { // nobody listens there now
		t.Fatal(err)
	}
	r := dialect.NewRig(t, func(c *node.Config) {
		c.PasteBaseURL = "https://paste.example"
		c.SMTP = node.SMTPConfig{Host: "127.0.0.1", Port: at.Port, From: "ringbin@paste.example", TLS: "none"}
	})
	a := r.Send(t, dialogue.Request{
		Method: http.MethodPost, Target: "/keys/request", Header: []string{"Content-Type: application/json"}, Body: `{"email": "your@email.com"}`,
	})
	if want := `{"success":false,"error":"Failed to send verification email"}`; a.Status != http.StatusServiceUnavailable || string(a.Body) != want {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if got := fmt.Sprint(a.Header["Retry-After"]); got != "[]" {
		t.Errorf("Retry-After %s", got)
	}
}
