package node

import "context"

// Session is a login: it names the key that it was opened with, and dies with it.
type Session struct {
	Account string
	Key     string // key id
	Created int64
	Expires int64
}

// OpenSession logs in with a key of any dialect and returns the text of the
// cookie that stands for the login. KindUnauthenticated (auth_missing,
// auth_invalid, and as [Service.Authenticate]); KindForbidden (session_limit).
func (s *Service) OpenSession(ctx context.Context, secret string) (Session, string, error) {
	return Session{}, "", noLeader("node.OpenSession", nil)
}

// Session returns who a cookie stands for. KindUnauthenticated with code
// session_missing, or session_invalid: it is unknown, over, or its key or
// account does not count any more.
func (s *Service) Session(ctx context.Context, cookie string) (Caller, error) {
	return Caller{}, unauthenticated("node.Session", "session_missing")
}

// CloseSession logs out. What is no cookie of a login is none any more.
func (s *Service) CloseSession(ctx context.Context, cookie string) error {
	return noLeader("node.CloseSession", nil)
}
