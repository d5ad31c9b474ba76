package paste69

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of names.
const (
	nameMax      = 255 // bytes
	extensionMax = 16
)

// description is how a paste presents itself. None of it reaches a path of
// the node's.
type description struct {
	name, extension, mediaType string
}

// describe decides from what the request says, what counts most first, and
// from the first bytes of the content.
func describe(names, extensions []string, head []byte) description {
	found := sniff(head)
	d := description{mediaType: found.mediaType}
	for _, name := range names {
		if d.name == "" {
			d.name = cleanName(name)
		}
	}
	candidates := append(slices.Clip(extensions), extensionOf(d.name), found.extension)
	if found.text {
		candidates = append(candidates, "txt")
	}
	for _, extension := range candidates {
		if d.extension == "" {
			d.extension = cleanExtension(extension)
		}
	}
	if d.name == "" {
		d.name = strings.TrimSuffix("paste."+d.extension, ".")
	}
	if found.text && (d.extension == "md" || d.extension == "markdown") {
		d.mediaType = "text/markdown"
	}
	return d
}

// cleanName makes a file name of what a stranger calls one; "" if nothing
// usable is left.
func cleanName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = trimEnd(strings.Map(visible, strings.ToValidUTF8(name, "")))
	if len(name) > nameMax {
		suffix := suffixOf(name)
		name = cutText(name[:len(name)-len(suffix)], nameMax-len(suffix)) + suffix
		name = trimEnd(name)
	}
	if name == "-" {
		return ""
	}
	return name // . and .. are trimmed away
}

// visible drops what a reader of a name would not see, or be misled by:
// control, bidi control and zero-width characters.
func visible(r rune) rune {
	if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return -1
	}
	return r
}

func trimEnd(name string) string {
	return strings.TrimRightFunc(name, func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
}

// suffixOf is a name's extension with its dot, as far as one is worth keeping.
func suffixOf(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 1+extensionMax {
		return name[i:]
	}
	return ""
}

// cutText cuts at a limit of bytes, on a character's border.
func cutText(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// extensionOf is what follows the last dot of a name, unless it leads.
func extensionOf(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[i+1:]
	}
	return ""
}

// cleanExtension leaves a-z and 0-9.
func cleanExtension(extension string) string {
	kept := make([]byte, 0, extensionMax)
	for i := 0; i < len(extension) && len(kept) < extensionMax; i++ {
		c := extension[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			kept = append(kept, c)
		}
	}
	return string(kept) // a leading dot is gone, too
}

// cleanText is a title or a person's name: without control characters.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
