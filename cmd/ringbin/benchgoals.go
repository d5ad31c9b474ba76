package main

import "fmt"

// goal is one thing that is to be reached, and what was.
type goal struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Figure float64 `json:"figure"`
	Floor  float64 `json:"floor"` // of the same run; -1: it has none
	Ratio  float64 `json:"ratio"` // of figure and floor; -1: it has none
	// Limit is the largest figure that is good enough, or, of a Least, the smallest.
	Limit float64 `json:"limit"`
	Times float64 `json:"times_floor,omitempty"` // what Limit is of Floor
	Least bool    `json:"least,omitempty"`
	Met   bool    `json:"met"`
}

// goalNodes is how many nodes the goals are of.
const goalNodes = 3

// Units of goals.
const (
	unitMicros  = "us"
	unitMiB     = "MiB"
	unitWritten = "B/B"
	unitCount   = ""
)

// goalsOf holds a report to the goals, as far as it has what they speak of.
func goalsOf(r *benchReport) []goal {
	var goals []goal
	add := func(g goal) {
		if g.Figure < 0 {
			return // not measured
		}
		g.Ratio = -1
		if g.Floor > 0 {
			g.Ratio = g.Figure / g.Floor
		} else {
			g.Floor = -1
		}
		if g.Times > 0 {
			g.Limit = g.Times * g.Floor
		}
		g.Met = g.Figure <= g.Limit
		if g.Least {
			g.Met = g.Figure >= g.Limit
		}
		goals = append(goals, g)
	}
	getKiB, putKiB := cpuOf(r.Floors, "floor "+workGet, kib), cpuOf(r.Floors, "floor "+workPut, kib)
	getMiB, putMiB := cpuOf(r.Floors, "floor "+workGet, mib), cpuOf(r.Floors, "floor "+workPut, mib)
	cpu := func(kind string, size int64, g goal) {
		g.Name, g.Unit, g.Figure = fmt.Sprintf("CPU of %s %s", kind, sizeText(size)), unitMicros, cpuOf(r.Rows, kind, size)
		add(g)
	}
	cpu(workPut, kib, goal{Floor: putKiB, Times: 20})
	cpu(workGet, kib, goal{Floor: getKiB, Times: 3})
	cpu(workPut, 64*kib, goal{Floor: putKiB, Times: 40})
	cpu(workPut, mib, goal{Floor: putMiB, Times: 12})
	cpu(workPut, 16*mib, goal{Floor: 16 * putMiB, Limit: 16 * 4000})
	cpu(workGet, mib, goal{Floor: getMiB, Limit: 550})
	cpu(workGet, 16*mib, goal{Floor: 16 * getMiB, Limit: 7440})
	for _, x := range r.Rows {
		limit := 3.0
		if x.SizeBytes >= mib {
			limit = 1.1
		}
		if x.Kind == workPut {
			add(goal{Name: "written per byte, " + sizeText(x.SizeBytes), Unit: unitWritten, Figure: x.WrittenPerByte, Limit: limit})
		}
		if x.Kind == workPut && x.SizeBytes == kib {
			add(goal{Name: "commands in a log append", Unit: unitCount, Figure: x.CommandsPerRound, Limit: 24, Least: true})
		}
	}
	if r.IdleBytes > 0 {
		add(goal{Name: "memory, idle", Unit: unitMiB, Figure: r.IdleBytes / mib, Limit: 80})
	}
	if r.BusyBytes > 0 {
		add(goal{Name: "memory, 16 uploads of 64 MiB", Unit: unitMiB, Figure: r.BusyBytes / mib, Limit: 300})
	}
	add(goal{Name: "CPU of a strong read", Unit: unitMicros, Figure: cpuOf(r.Rows, workBalance, 0), Limit: 20})
	return goals
}

func cpuOf(rows []benchRow, kind string, size int64) float64 {
	for _, x := range rows {
		if x.Kind == kind && x.SizeBytes == size {
			return x.ServerCPUMicros
		}
	}
	return -1
}

func (g goal) text(v float64) string {
	switch {
	case v < 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f %s", v, g.Unit)
	}
	return fmt.Sprintf("%.0f %s", v, g.Unit)
}

func (g goal) want() string {
	if g.Least {
		return ">= " + g.text(g.Limit)
	}
	if g.Times > 0 {
		return fmt.Sprintf("<= %.0fx = %s", g.Times, g.text(g.Limit))
	}
	return "<= " + g.text(g.Limit)
}

// result says how far a goal is.
func (g goal) result() string {
	switch {
	case g.Met:
		return "met"
	case g.Least:
		return fmt.Sprintf("short: %.2f of it", g.Figure/g.Limit)
	}
	return fmt.Sprintf("short: %.2fx of it", g.Figure/g.Limit)
}
