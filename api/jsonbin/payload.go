package jsonbin

import (
	"encoding/json"
	"strings"

	"ringbin/node"
)

// parseRights reads what an access key is to be for: an object with the one
// member bins, an object of exactly four booleans. Besides JSON it takes what
// the reference prints as its sample: names without quotes, and a comma after
// the last member.
func parseRights(body []byte) (rights []string, ok bool) {
	p := &payload{rest: string(body)}
	p.blanks()
	seen := map[string]bool{}
	ok = p.object(func(name string) bool {
		return name == "bins" && !seen[name] && note(seen, name) && p.object(func(name string) bool {
			value, ok := p.boolean()
			if !ok || seen[name] || !isRight(name) {
				return false
			}
			if value {
				rights = append(rights, name)
			}
			return note(seen, name)
		})
	})
	p.blanks()
	return rights, ok && p.rest == "" && len(seen) == payloadMembers
}

// payloadMembers are bins and the four rights.
const payloadMembers = 5

func note(seen map[string]bool, name string) bool {
	seen[name] = true
	return true
}

func isRight(name string) bool {
	switch name {
	case node.RightRead, node.RightUpdate, node.RightDelete, node.RightCreate:
		return true
	}
	return false
}

// payload is what of the text is not read yet.
type payload struct{ rest string }

func (p *payload) blanks() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// skip goes over a token and the blanks behind it.
func (p *payload) skip(token string) bool {
	var ok bool
	if p.rest, ok = strings.CutPrefix(p.rest, token); ok {
		p.blanks()
	}
	return ok
}

// object reads an object; value reads the value of each member.
func (p *payload) object(value func(name string) bool) bool {
	if !p.skip("{") {
		return false
	}
	for first := true; !p.skip("}"); first = false {
		if !first && !p.skip(",") {
			return false
		}
		if !first && p.skip("}") {
			return true
		}
		name, ok := p.name()
		if !ok || !p.skip(":") || !value(name) {
			return false
		}
	}
	return true
}

// name reads a member's name, with or without quotes.
func (p *payload) name() (string, bool) {
	if !strings.HasPrefix(p.rest, `"`) {
		end := len(p.rest) - len(strings.TrimLeft(p.rest, "abcdefghijklmnopqrstuvwxyz"))
		name := p.rest[:end]
		p.rest = p.rest[end:]
		p.blanks()
		return name, name != ""
	}
	dec := json.NewDecoder(strings.NewReader(p.rest))
	token, err := dec.Token()
	name, ok := token.(string)
	if err != nil || !ok {
		return "", false
	}
	p.rest = p.rest[dec.InputOffset():]
	p.blanks()
	return name, true
}

func (p *payload) boolean() (value, ok bool) {
	switch {
	case p.skip("true"):
		return true, true
	case p.skip("false"):
		return false, true
	}
	return false, false
}
