package paste69

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"ringbin/node"
)

// topMax is how many names a list of clicks has.
const topMax = 10

// clicks is what was counted of a short link in a range of days.
type clicks struct {
	link                           node.Link
	from, to                       int32
	days                           []dayClicks
	views, visitors                int64
	referrers, countries, browsers []tally
}

func (c *call) linkStats() error {
	from, to, err := parseDayRange(c.r.URL.Query(), c.now())
	if err != nil {
		return err
	}
	stats, err := c.service().LinkStats(c.r.Context(), c.caller, c.params.ByName("id"), from, to)
	if err := c.named(err, noLink); err != nil {
		return err
	}
	k := countClicks(stats, from, to)
	if isBrowser(c.r) {
		return c.d.pages.linkStats(c.w, c.r, linkStatsPage{
			site: c.site(), ID: k.link.ID, Target: k.link.Target, Title: k.link.Title, Clicks: k.link.Clicks, LastClick: k.link.LastClick,
			Created: k.link.Created, Expires: k.link.Expires, From: from, To: to, Days: k.days, Views: k.views, Unique: k.visitors,
			Referrers: k.referrers, Countries: k.countries, Browsers: k.browsers, QueryKey: c.r.URL.Query().Get("api_key"),
		})
	}
	u := c.union()
	putClicks(u, k)
	return c.send(u, "")
}

// countClicks adds up what each day has.
func countClicks(stats node.LinkStats, from, to int32) clicks {
	k := clicks{link: stats.Link, from: from, to: to}
	for _, d := range stats.Days {
		k.days = append(k.days, dayClicks{Day: d.Day, Clicks: d.Clicks})
		k.views += d.Clicks
		k.visitors += d.Visitors
	}
	k.referrers = top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Referrers })
	k.countries = top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Countries })
	k.browsers = top(stats.Days, func(d node.LinkDay) map[string]int64 { return d.Browsers })
	return k
}

func putClicks(u *union, k clicks) {
	putLink(u, k.link, "")
	u.put("start_date", dayTime(k.from).Format(time.DateOnly))
	u.put("end_date", dayTime(k.to).Format(time.DateOnly))
	u.put("total_views", k.views)
	u.put("unique_views", k.visitors)
	days := []object{}
	for _, d := range k.days {
		days = append(days, object{{"date", dayTime(d.Day).Format(time.RFC3339)}, {"value", d.Clicks}})
	}
	u.put("views_by_day", days)
	u.put("top_referrers", counted(k.referrers))
	u.put("top_countries", counted(k.countries))
	u.put("top_browsers", counted(k.browsers))
}

func dayTime(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// top adds up what was counted by name and keeps the most, the most first.
func top(days []node.LinkDay, counts func(node.LinkDay) map[string]int64) []tally {
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
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Name, b.Name))
	})
	return list[:min(len(list), topMax)]
}

// counted is a list as an object, in its order.
func counted(list []tally) object {
	out := object{}
	for _, t := range list {
		out = append(out, member{t.Name, t.Count})
	}
	return out
}
