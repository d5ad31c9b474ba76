package node

import "context"

// AdmitToken counts one request with a valid token against the token's limit
// of a minute, cluster-wide. KindRateLimited (rate_limited) with details
// limit_per_minute and retry_after_seconds, both int64.
func (s *Service) AdmitToken(ctx context.Context, c Caller) error { return nil }
