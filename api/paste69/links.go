package paste69

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringbin/api/web"
	"ringbin/node"
)

// putLink adds the members of a short link: in data url is the target, flat it
// is the short URL, as flat url is always the link to hand out.
func putLink(u *union, l node.Link, deleteKey string) {
	short := "/u/" + l.ID
	u.put("id", l.ID)
	u.split("url", l.Target, u.base+short)
	putLinkRest(u, l)
	u.link("stats_url", short+"/stats")
	u.link("delete_url", deletePath(l.ID, deleteKey))
}

func putLinkRest(u *union, l node.Link) {
	u.put("original_url", l.Target)
	u.link("short_url", "/u/"+l.ID)
	u.put("title", l.Title)
	u.put("clicks", l.Clicks)
	u.put("last_click", stampOrNull(l.LastClick))
	u.put("created_at", stamp(l.Created))
	u.put("expires_at", stampOrNull(l.Expires))
}

func (c *call) shorten() error {
	in, err := readShorten(c.r, c.now())
	if err != nil {
		return err
	}
	if err := checkOwn(in.URL, c.base(), ownOrigin(c.r, c.service().Config())); err != nil {
		return err
	}
	if in.Title == "" && c.service().Settings().Paste69.FetchTitles {
		in.Title = c.d.fetcher.Title(c.r.Context(), in.URL)
	}
	l, deleteKey, err := c.service().CreateLink(c.r.Context(), c.caller, node.NewLink{
		Target: in.URL, Title: in.Title, Expiry: in.Expiry, Reserved: c.d.isReserved,
	})
	if err != nil {
		return err
	}
	u := c.union()
	putLink(u, l, deleteKey)
	return c.send(u, "")
}

// follow redirects to the target, and counts the click without waiting for it.
func (c *call) follow() error {
	l, err := c.service().Link(c.r.Context(), c.params.ByName("id"))
	if err := c.named(err, noLink); err != nil {
		return err
	}
	if c.r.Method == http.MethodGet && !isPrefetch(c.r) {
		referrer, browser := classify(c.r)
		c.service().CountClick(l.ID, node.Click{
			Addr: web.ClientAddr(c.r, c.service().Config().TrustedProxies), Referrer: referrer, Browser: browser,
		})
	}
	h := c.w.Header()
	h.Set("Location", asciiURL(l.Target))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// asciiURL is a URL as a header may hold it; all that is ASCII stays as it is.
func asciiURL(target string) string {
	var b strings.Builder
	for i := range len(target) {
		if ch := target[i]; ch > ' ' && ch < 0x7f {
			b.WriteByte(ch)
		} else {
			b.WriteString(url.QueryEscape(string(ch)))
		}
	}
	return b.String()
}

func (c *call) setLinkExpiry() error {
	e, err := c.wishedExpiry()
	if err != nil {
		return err
	}
	l, err := c.service().SetLinkExpiry(c.r.Context(), c.caller, c.params.ByName("id"), c.deleteKey(), e)
	if err := c.byDeleteKey(c.named(err, noLink)); err != nil {
		return err
	}
	u := c.union()
	putLink(u, l, "")
	return c.send(u, "")
}

func (c *call) listLinks() error {
	order, err := parsePaging(c.r.URL.Query())
	if err != nil {
		return err
	}
	page, total, err := c.service().Links(c.r.Context(), c.caller, order)
	if err != nil {
		return err
	}
	u := c.union()
	data, flat := items(u, page, putListed)
	return c.sendList(u, data, flat, total, order)
}

// putListed adds the members of a short link in a list: url is the target in
// both forms, as there is no other link to hand out beside each item's short_url.
func putListed(u *union, l node.Link) {
	u.put("id", l.ID)
	u.put("url", l.Target)
	putLinkRest(u, l)
	u.link("stats_url", "/u/"+l.ID+"/stats")
	u.link("delete_url", deletePath(l.ID, ""))
}

// topMax is how many names a list of clicks has.
const topMax = 10

func (c *call) linkStats() error {
	from, to, err := parseDayRange(c.r.URL.Query(), c.now())
	if err != nil {
		return err
	}
	stats, err := c.service().LinkStats(c.r.Context(), c.caller, c.params.ByName("id"), from, to)
	if err := c.named(err, noLink); err != nil {
		return err
	}
	type day struct {
		Date  string `json:"date"`
		Value int64  `json:"value"`
	}
	days := []day{}
	var views, visitors int64
	for _, d := range stats.Days {
		days = append(days, day{dayTime(d.Day).Format(time.RFC3339), d.Clicks})
		views += d.Clicks
		visitors += d.Visitors
	}
	u := c.union()
	putLink(u, stats.Link, "")
	u.put("start_date", dayTime(from).Format(time.DateOnly))
	u.put("end_date", dayTime(to).Format(time.DateOnly))
	u.put("total_views", views)
	u.put("unique_views", visitors)
	u.put("views_by_day", days)
	u.put("top_referrers", top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Referrers }))
	u.put("top_countries", top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Countries }))
	u.put("top_browsers", top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Browsers }))
	return c.send(u, "")
}

func dayTime(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// top adds up what was counted by name and keeps the most, first the most.
func top(days []node.LinkDay, counts func(node.LinkDay) map[string]int64) object {
	sums := map[string]int64{}
	for _, d := range days {
		for name, n := range counts(d) {
			if name != "" {
				sums[name] += n
			}
		}
	}
	list := make([]tally, 0, len(sums))
	for name, n := range sums {
		list = append(list, tally{name, n})
	}
	slices.SortFunc(list, func(a, b tally) int {
		if a.Count != b.Count {
			return int(min(max(b.Count-a.Count, -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := object{}
	for _, t := range list[:min(len(list), topMax)] {
		out = append(out, member{t.Name, t.Count})
	}
	return out
}
