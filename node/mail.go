package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	netmail "net/mail"
	"net/url"
	"slices"
	"time"

	"github.com/wneessen/go-mail"

	"ringbin/storage"
)

// Limits of mail.
const (
	mailTimeout  = 10 * time.Second // from the connection on to the server's word for the mail
	mailsMax     = 8                // on their way at the same time
	smtpPortMost = 65535
)

// How the connection to the mail server is protected.
const (
	tlsStart    = "starttls"
	tlsImplicit = "tls"
	tlsNone     = "none"
)

// SMTPConfig is the mail server that links to new keys are sent through.
type SMTPConfig struct {
	Host           string
	Port           int // 0: the usual one for TLS: 587, 465 or 25
	User, Password string
	From           string // the sender's address
	TLS            string // starttls (or ""), tls, none
}

// fault names the option that can't work, and what it has to be.
func (c SMTPConfig) fault() (field, want string) {
	_, err := netmail.ParseAddress(c.From)
	switch {
	case c.Host == "":
		return "", ""
	case err != nil:
		return "smtp-from", "the sender's address"
	case c.Port < 0 || c.Port > smtpPortMost:
		return "smtp-port", "0 to 65535"
	case !slices.Contains([]string{"", tlsStart, tlsImplicit, tlsNone}, c.TLS):
		return "smtp-tls", "starttls, tls or none"
	}
	return "", ""
}

// mailer sends the one kind of mail that a node sends.
type mailer struct {
	cfg   SMTPConfig
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	tls   *tls.Config
	under chan struct{} // one place for each mail on its way
}

func newMailer(cfg Config) *mailer {
	return &mailer{
		cfg: cfg.SMTP, dial: cfg.Network.DialContext, under: make(chan struct{}, mailsMax),
		tls: &tls.Config{ServerName: cfg.SMTP.Host, MinVersion: tls.VersionTLS12},
	}
}

func (m *mailer) configured() bool { return m.cfg.Host != "" }

// sendLink mails the link to a key. The error is KindUnavailable, mail_failed;
// it holds neither the link nor the password.
func (m *mailer) sendLink(ctx context.Context, to, link string) error {
	const op = "node.sendLink"
	failed := func(err error) error {
		return &storage.Error{Op: op, Kind: storage.KindUnavailable, Code: "mail_failed", Err: err}
	}
	select {
	case m.under <- struct{}{}:
		defer func() { <-m.under }()
	default:
		return failed(fmt.Errorf("%d mails are on their way", mailsMax))
	}
	msg, err := m.message(to, link)
	if err != nil {
		return failed(err)
	}
	client, err := m.client()
	if err != nil {
		return failed(err)
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return failed(err)
	}
	return nil
}

func (m *mailer) client() (*mail.Client, error) {
	options := []mail.Option{
		mail.WithTimeout(mailTimeout), mail.WithTLSConfig(m.tls), mail.WithDialContextFunc(m.dialer()),
	}
	port := m.cfg.Port
	usual := func(p int) {
		if port == 0 {
			port = p
		}
	}
	switch m.cfg.TLS {
	case tlsNone:
		usual(mail.DefaultPort)
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case tlsImplicit:
		usual(mail.DefaultPortSSL)
		options = append(options, mail.WithSSL())
	default:
		usual(mail.DefaultPortTLS)
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	options = append(options, mail.WithPort(port))
	if m.cfg.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.cfg.User), mail.WithPassword(m.cfg.Password))
	}
	return mail.NewClient(m.cfg.Host, options...) //nolint:wrapcheck // sendLink says what failed
}

// dialer opens connections the way that the node does, with TLS from the first
// byte where that is the mode.
func (m *mailer) dialer() mail.DialContextFunc {
	if m.cfg.TLS != tlsImplicit {
		return m.dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := m.dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return tls.Client(conn, m.tls), nil // the first byte that is read shakes hands, under the client's deadline
	}
}

// message is plain text: it has to be readable everywhere, and hides nothing.
func (m *mailer) message(to, link string) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := msg.From(m.cfg.From); err != nil {
		return nil, err //nolint:wrapcheck // sendLink says what failed
	}
	if err := msg.To(to); err != nil {
		return nil, err //nolint:wrapcheck // sendLink says what failed
	}
	msg.Subject("Your API key")
	msg.SetDate()
	msg.SetMessageID()
	host := link
	if u, err := url.Parse(link); err == nil {
		host = u.Host
	}
	msg.SetBodyString(mail.TypeTextPlain, fmt.Sprintf(`Somebody, hopefully you, has asked %s for an API key for this address.

Open this link to get it. It works once, within 24 hours:

%s

If it was not you, there is nothing to do: without the link no key is made.
`, host, link))
	return msg, nil
}
