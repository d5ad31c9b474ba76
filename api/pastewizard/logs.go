package pastewizard

import "ringbin/node"

type logBody struct {
	ID       string    `json:"id"`
	Time     string    `json:"time"`
	TokenID  int64     `json:"token_id"`
	User     *userBody `json:"user"`
	Endpoint string    `json:"endpoint"`
	Status   int       `json:"status"`
	IP       string    `json:"ip"`
	Node     string    `json:"node"`
}

type logList struct {
	OK           bool      `json:"ok"`
	Logs         []logBody `json:"logs"`
	NextCursor   *string   `json:"next_cursor"`
	MissingNodes []string  `json:"missing_nodes"`
}

// Statuses that an answer can have.
const (
	statusMin = 100
	statusMax = 599
)

// logQuery reads what is looked for in the logs.
func (f fields) logQuery() (q node.LogQuery, err error) {
	q.API = node.APIPasteWizard
	if q.Limit, q.Cursor, err = f.paging(); err != nil {
		return q, err
	}
	if q.From, err = f.time("from"); err != nil {
		return q, err
	}
	if q.To, err = f.time("to"); err != nil {
		return q, err
	}
	numbers := []struct {
		name        fieldName
		least, most int64
		take        func(int64)
	}{
		{"token_id", 1, numberMax, func(n int64) { q.Token = n }},
		{"user_id", 1, numberMax, func(n int64) { q.User = n }},
		{"status", statusMin, statusMax, func(n int64) { q.Status = int(n) }},
	}
	for _, field := range numbers {
		n, err := f.number(field.name, field.least, field.most)
		if err != nil {
			return q, err
		}
		if n != nil {
			field.take(*n)
		}
	}
	if q.Endpoint, err = f.text("endpoint"); err != nil {
		return q, err
	}
	q.Addr, err = f.addr("ip")
	return q, err
}

func (c *call) listLogs() error {
	q, err := c.fields.logQuery()
	if err != nil {
		return err
	}
	page, err := c.service().RequestLogs(c.r.Context(), c.caller, q)
	if err != nil {
		return err
	}
	list := logList{OK: true, Logs: []logBody{}, NextCursor: cursorBody(page.Next), MissingNodes: append([]string{}, page.Missing...)}
	for _, e := range page.Logs {
		one := logBody{
			ID: e.ID, Time: stamp(e.Time), TokenID: e.Token, Endpoint: e.Endpoint, Status: e.Status, IP: e.Addr, Node: e.Node,
		}
		if e.User != 0 {
			one.User = &userBody{e.User, e.UserName}
		}
		list.Logs = append(list.Logs, one)
	}
	return c.reply(list)
}
