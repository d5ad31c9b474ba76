package paste69

import (
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"ringbin/node"
)

func query(t *testing.T, s string) url.Values {
	t.Helper()
	q, err := url.ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestPaging(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]node.ListOrder{
		"":                                {Page: 1, Limit: 10, Sort: "created_at"},
		"page=2&limit=100":                {Page: 2, Limit: 100, Sort: "created_at"},
		"limit=101":                       {Page: 1, Limit: 100, Sort: "created_at"},
		"per_page=7":                      {Page: 1, Limit: 7, Sort: "created_at"},
		"per_page=7&limit=8":              {Page: 1, Limit: 8, Sort: "created_at"},
		"limit=99999999999999999999999":   {Page: 1, Limit: 100, Sort: "created_at"},
		"page=99999999999999999999999":    {Page: pagesMax, Limit: 10, Sort: "created_at"},
		"sort=-size":                      {Page: 1, Limit: 10, Sort: "size", Reverse: true},
		"sort=filename":                   {Page: 1, Limit: 10, Sort: "filename"},
		"sort=-created_at":                {Page: 1, Limit: 10, Sort: "created_at", Reverse: true},
		"sort=-bogus":                     {Page: 1, Limit: 10, Sort: "created_at"},
		"sort=--size":                     {Page: 1, Limit: 10, Sort: "created_at"},
		"sort=views&sort=clicks&unknown=": {Page: 1, Limit: 10, Sort: "views"},
	} {
		if got, err := parsePaging(query(t, q)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", q, got, err, want)
		}
	}
	for _, q := range []string{"page=0", "page=-1", "page=", "page=x", "page=1.0", "limit=0", "limit=", "limit=%2B5", "per_page=0", "limit=1e1", "page=0x1", "page=1_0"} {
		if got, err := parsePaging(query(t, q)); textOf(err) != "Invalid page or limit" {
			t.Errorf("%s: %+v, %v", q, got, err)
		}
	}
}

func TestDayRange(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 3, 30, 23, 59, 59, 0, time.UTC)
	day := func(n int32) string { return time.Unix(int64(n)*86400, 0).UTC().Format(time.DateOnly) }
	for q, want := range map[string][2]string{
		"": {"2024-03-01", "2024-03-30"},

		"start_date=&end_date=":                     {"2024-03-01", "2024-03-30"},
		"start_date=2024-02-01":                     {"2024-02-01", "2024-03-01"},
		"start_date=2024-03-20":                     {"2024-03-20", "2024-03-30"},
		"start_date=2024-03-30":                     {"2024-03-30", "2024-03-30"},
		"end_date=2024-02-29":                       {"2024-01-31", "2024-02-29"},
		"end_date=1970-01-01":                       {"1969-12-03", "1970-01-01"},
		"start_date=1969-12-31&end_date=":           {"1969-12-31", "1970-01-29"},
		"start_date=2024-01-01&end_date=2024-12-31": {"2024-01-01", "2024-12-31"},
		"start_date=0001-01-01&end_date=9999-12-31": {"0001-01-01", "9999-12-31"},
	} {
		from, to, err := parseDayRange(query(t, q), now)
		if err != nil || day(from) != want[0] || day(to) != want[1] {
			t.Errorf("%s: %s to %s, %v, want %v", q, day(from), day(to), err, want)
		}
	}
	for _, q := range []string{
		"start_date=2024-03-31", "start_date=2024-02-02&end_date=2024-02-01", "start_date=2024-02-30", "end_date=x", "start_date=2024-2-1",
		"start_date=2024-02-01T00:00:00Z", "end_date=20240201",
	} {
		if from, to, err := parseDayRange(query(t, q), now); textOf(err) != "Invalid date range" {
			t.Errorf("%s: %s to %s, %v", q, day(from), day(to), err)
		}
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/"
	for agent, want := range map[string]string{
		mac + "537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36":                                           "Chrome",
		mac + "537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0":                             "Edge",
		mac + "537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 OPR/111.0.0.0":                             "Opera",
		mac + "605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15":                                           "Safari",
		"Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0":                                    "Firefox",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 CriOS/126 Mobile Safari/604.1": "Chrome",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)":                                  "Bot",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)":                                   "Bot",
		"curl/8.5.0": "curl", "Wget/1.21.4": "Wget", "python-requests/2.31": "Other", "": "Other", "x\xff\x00": "Other",
	} {
		r := httptest.NewRequest("GET", "/u/abc123", nil)
		r.Header.Set("User-Agent", agent)
		if _, got := classify(r); got != want {
			t.Errorf("%q is %q, want %q", agent, got, want)
		}
	}
	for referrer, want := range map[string]string{
		"": "", "https://News.Example:8443/item?id=1": "news.example", "http://[2001:DB8::1]/": "2001:db8::1", "android-app://com.x": "",
		"about:blank": "", "x": "", "https://": "", "https://a b/": "", "%zz": "",
	} {
		r := httptest.NewRequest("GET", "/u/abc123", nil)
		r.Header.Set("Referer", referrer)
		if got, _ := classify(r); got != want {
			t.Errorf("%q is %q, want %q", referrer, got, want)
		}
	}
	for purpose, want := range map[string]bool{"": false, "prefetch": true, "prefetch;prerender": true, "Prefetch;anonymous-client-ip": true, "other": false} {
		r := httptest.NewRequest("GET", "/u/abc123", nil)
		r.Header.Set("Sec-Purpose", purpose)
		if isPrefetch(r) != want {
			t.Errorf("%q is a prefetch: %v", purpose, !want)
		}
	}
}

func FuzzBrowserFamily(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64) (((")
	f.Add("curl/8")
	f.Fuzz(func(t *testing.T, agent string) {
		family := browserFamily(agent)
		if family == "Bot" || family == otherBrowser {
			return
		}
		for _, known := range families {
			if family == known {
				return
			}
		}
		t.Fatalf("%q is %q", agent, family)
	})
}
