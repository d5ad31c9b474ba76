package node

import (
	"encoding/base64"
	"strings"
	"testing"

	"ringbin/storage"
)

// TestMail: over each way to protect the connection, a mail in plain text with
// the link in one piece; and over none that is not protected as it has to be.
func TestMail(t *testing.T) {
	t.Parallel()
	const link = "https://p.example/base/keys/verify?token=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name     string
		tls      string
		mode     SMTPMode
		user     string
		stranger bool // the server's certificate is of nobody known
		fails    bool
	}{
		{name: "none", tls: "none"},
		{name: "starttls", tls: "starttls", mode: SMTPMode{StartTLS: true}},
		{name: "starttls by default", mode: SMTPMode{StartTLS: true}},
		{name: "tls", tls: "tls", mode: SMTPMode{TLS: true}},
		{name: "with a password", mode: SMTPMode{StartTLS: true, Auth: true}, user: "node"},
		{name: "starttls that the server has not", tls: "starttls", fails: true},
		{name: "starttls with a stranger", tls: "starttls", mode: SMTPMode{StartTLS: true}, stranger: true, fails: true},
		{name: "tls with a stranger", tls: "tls", mode: SMTPMode{TLS: true}, stranger: true, fails: true},
		{name: "recipient refused", tls: "none", mode: SMTPMode{Refuse: true}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := ServeSMTP(t, c.mode)
			m := newMailer(Config{Network: osNetwork{}, SMTP: SMTPConfig{
				Host: "127.0.0.1", Port: server.Addr.Port, From: "ringbin@p.example", TLS: c.tls, User: c.user, Password: "secret",
			}})
			if !c.stranger {
				m.tls.RootCAs = server.Roots
			}
			err := m.sendLink(t.Context(), "you@example.com", link)
			if c.fails {
				if storage.CodeOf(err) != "mail_failed" || strings.Contains(err.Error(), "0123456789abcdef") {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := <-server.Mails
			plain := strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(got)
			for _, want := range []string{
				"MAIL FROM:<ringbin@p.example>", "RCPT TO:<you@example.com>", "Subject: Your API key", "Content-Type: text/plain",
				link + "\r\n", "asked p.example for",
			} {
				if !strings.Contains(plain, want) {
					t.Errorf("%q is not in the mail:\n%s", want, got)
				}
			}
			login := base64.StdEncoding.EncodeToString([]byte("\x00node\x00secret"))
			if c.user != "" && !strings.Contains(got, login) {
				t.Errorf("no login in %s", got)
			}
		})
	}
}

func TestMailConfig(t *testing.T) {
	t.Parallel()
	good := Config{HTTP: "127.0.0.1:1", RPC: "127.0.0.1:2", Gossip: "127.0.0.1:3"}
	for _, c := range []struct {
		name  string
		with  func(c *Config)
		field string // at fault
	}{
		{"no mail", func(*Config) {}, ""},
		{"mail", func(c *Config) { c.PasteBaseURL, c.SMTP = "https://p.example/x", SMTPConfig{Host: "h", From: "a@b"} }, ""},
		{"mail without a base URL", func(c *Config) { c.SMTP = SMTPConfig{Host: "h", From: "a@b"} }, "paste-base-url"},
		{"mail from nobody", func(c *Config) { c.PasteBaseURL, c.SMTP = "https://p.example", SMTPConfig{Host: "h"} }, "smtp-from"},
		{"some other TLS", func(c *Config) {
			c.PasteBaseURL, c.SMTP = "https://p.example", SMTPConfig{Host: "h", From: "a@b", TLS: "ssl3"}
		}, "smtp-tls"},
		{"a relative base URL", func(c *Config) { c.PasteBaseURL = "/p" }, "paste-base-url"},
		{"a base URL with a query", func(c *Config) { c.PasteBaseURL = "https://p.example/?a" }, "paste-base-url"},
	} {
		cfg := good
		c.with(&cfg)
		err := cfg.validate()
		e, _ := err.(*storage.Error) //nolint:errorlint // it comes bare, or nil
		if (err == nil) != (c.field == "") || e != nil && e.Field != c.field {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
