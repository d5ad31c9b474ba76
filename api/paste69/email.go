package paste69

import "strings"

// Limits of an address (RFC 5321).
const (
	emailMax     = 254
	localPartMax = 64
	labelMax     = 63
)

// isPlainAddress reports whether s is one address as people have them: no
// display name, no quotes, no comment, no address literal, ASCII.
func isPlainAddress(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && len(s) <= emailMax && len(local) <= localPartMax && isDotAtom(local) && isDomain(domain)
}

// isDotAtom reports whether s is words of RFC 5322's atext, parted by dots.
func isDotAtom(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, alphanumeric+"!#$%&'*+-/=?^_`{|}~") != "" {
			return false
		}
	}
	return true
}

func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > labelMax || strings.Trim(label, alphanumeric+"-") != "" ||
			label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}
