package paste69

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/mileusna/useragent"
)

// Limits of what a click says of itself.
const (
	userAgentMax = 1 << 10 // bytes that are looked at
	hostMax      = 253
)

// otherBrowser is what is none of the families. They are a closed list: each is
// counted per link and day.
const otherBrowser = "Other"

var families = map[string]string{
	useragent.Chrome: "Chrome", useragent.Firefox: "Firefox",
	useragent.Safari: "Safari", useragent.Edge: "Edge",
	useragent.Opera: "Opera", useragent.OperaMini: "Opera", useragent.OperaTouch: "Opera",
	useragent.SamsungBrowser: "Samsung Internet", useragent.Vivaldi: "Vivaldi",
	useragent.InternetExplorer: "Internet Explorer",
	"curl":                     "curl", "Wget": "Wget",
	useragent.Bingbot: "Bot",
}

// classify tells where a click came from: the referrer's host, "" for none, and
// the browser's family.
func classify(r *http.Request) (referrer, browser string) {
	return referrerHost(r.Header.Get("Referer")), browserFamily(r.Header.Get("User-Agent"))
}

func referrerHost(referrer string) string {
	u, err := url.Parse(referrer)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	if len(host) > hostMax || cleanText(host) != host {
		return ""
	}
	return host
}

func browserFamily(agent string) string {
	ua := useragent.Parse(cutText(agent, userAgentMax))
	if ua.Bot {
		return "Bot"
	}
	if family, known := families[ua.Name]; known {
		return family
	}
	return otherBrowser
}

// isPrefetch reports whether a browser asks in advance: that is no click.
func isPrefetch(r *http.Request) bool {
	return strings.Contains(lower(r.Header.Get("Sec-Purpose")), "prefetch")
}
