package hashbin

import "strings"

// extensionMax is the length of an extension at the root.
const extensionMax = 16

// typeLists are the types that an extension stands for: first the type, then
// its extensions.
var typeLists = []string{
	"text/plain txt log", "text/html html htm", "text/css css", "text/csv csv", "text/markdown md", "text/javascript js mjs",
	"application/json json map", "application/xml xml", "application/yaml yaml yml", "application/toml toml",
	"application/wasm wasm", "application/pdf pdf", "application/epub+zip epub", "application/rtf rtf",
	"application/octet-stream bin",
	"application/zip zip", "application/gzip gz tgz", "application/zstd zst", "application/x-tar tar",
	"application/x-xz xz", "application/x-bzip2 bz2", "application/x-7z-compressed 7z",
	"image/png png", "image/jpeg jpg jpeg", "image/gif gif", "image/webp webp", "image/avif avif",
	"image/svg+xml svg", "image/bmp bmp", "image/tiff tif tiff", "image/vnd.microsoft.icon ico",
	"audio/mpeg mp3", "audio/wav wav", "audio/ogg ogg oga opus", "audio/flac flac", "audio/mp4 m4a",
	"video/mp4 mp4 m4v", "video/webm webm", "video/ogg ogv", "video/quicktime mov", "video/x-matroska mkv",
	"font/woff woff", "font/woff2 woff2", "font/ttf ttf", "font/otf otf",
}

var typesByExtension = func() map[string]string {
	m := map[string]string{}
	for _, list := range typeLists {
		words := strings.Fields(list)
		contentType := words[0]
		if strings.HasPrefix(contentType, "text/") {
			contentType += "; charset=utf-8"
		}
		for _, ext := range words[1:] {
			m[ext] = contentType
		}
	}
	return m
}()

// typeOf returns the type that an extension stands for, in any case.
func typeOf(ext string) string {
	if t, ok := typesByExtension[strings.ToLower(ext)]; ok {
		return t
	}
	return rawType
}

// isExtension reports whether a name may end so: 1 to 16 letters and digits.
func isExtension(s string) bool {
	if s == "" || len(s) > extensionMax {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
