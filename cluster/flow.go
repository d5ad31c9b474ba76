package cluster

import (
	"slices"

	"ringbin/storage"
)

// assign chooses owners by the cheapest maximum flow
//
//	source -> partition -> zone of the partition -> node -> sink
//
// in which a place that a node has already costs nothing and a new one costs
// one: the flow of least cost moves the fewest places. What can be kept is the
// first flow; the rest comes by augmenting along cheapest paths.
func assign(nodes []storage.RingNode, z zones, quota []int, copies int, keep [][]int) [][]int {
	g := &flow{}
	source, sink := g.vertex(), g.vertex()
	atNode := make([]int, len(nodes))
	toSink := make([]int, len(nodes))
	for i := range nodes {
		atNode[i] = g.vertex()
		toSink[i] = g.edge(atNode[i], sink, quota[i], 0)
	}
	place := make([][]int, storage.Partitions) // edge of each partition and node
	for p := range place {
		atPart := g.vertex()
		fromSource := g.edge(source, atPart, copies, 0)
		place[p] = make([]int, len(nodes))
		for _, in := range z.in {
			atZone := g.vertex()
			toZone := g.edge(atPart, atZone, z.cap, 0)
			for _, n := range in {
				cost := 1
				if slices.Contains(keep[p], n) {
					cost = 0
				}
				place[p][n] = g.edge(atZone, atNode[n], 1, cost)
				if cost == 0 {
					g.push([]int{fromSource, toZone, place[p][n], toSink[n]})
				}
			}
		}
	}
	for g.augment(source, sink) {
	}
	owners := make([][]int, storage.Partitions)
	for p := range owners {
		for n := range nodes {
			if g.cap[place[p][n]] == 0 {
				owners[p] = append(owners[p], n)
			}
		}
	}
	return owners
}

// flow is a residual graph: edge i and its reverse i^1 lie side by side.
type flow struct {
	out  [][]int // edges out of each vertex
	to   []int
	cap  []int
	cost []int
}

func (g *flow) vertex() int {
	g.out = append(g.out, nil)
	return len(g.out) - 1
}

func (g *flow) edge(from, to, capacity, cost int) int {
	i := len(g.to)
	g.to = append(g.to, to, from)
	g.cap = append(g.cap, capacity, 0)
	g.cost = append(g.cost, cost, -cost)
	g.out[from] = append(g.out[from], i)
	g.out[to] = append(g.out[to], i+1)
	return i
}

// push sends one unit along a path, if all of it has room.
func (g *flow) push(path []int) {
	for _, e := range path {
		if g.cap[e] == 0 {
			return
		}
	}
	for _, e := range path {
		g.cap[e]--
		g.cap[e^1]++
	}
}

// augment sends what it can along cheapest paths, and reports whether there was
// one. Costs are 0 and 1, so that few lengths of paths occur: each takes few
// calls.
func (g *flow) augment(source, sink int) bool {
	a := augmentation{
		flow: g, sink: sink, dist: g.distances(source),
		arc: make([]int, len(g.out)), passed: make([]bool, len(g.out)),
	}
	if a.dist[sink] == far {
		return false
	}
	for a.send(source) {
	}
	return true
}

// far is the distance of what can't be reached.
const far = 1 << 30

// distances are the costs of the cheapest paths from source. Costs may be
// negative on reverse edges, cycles never are: the queue form of Bellman and
// Ford's algorithm.
func (g *flow) distances(source int) []int {
	dist := make([]int, len(g.out))
	queued := make([]bool, len(g.out))
	for i := range dist {
		dist[i] = far
	}
	dist[source] = 0
	for queue := []int{source}; len(queue) > 0; {
		v := queue[0]
		queue = queue[1:]
		queued[v] = false
		for _, e := range g.out[v] {
			w := g.to[e]
			if g.cap[e] == 0 || dist[v]+g.cost[e] >= dist[w] {
				continue
			}
			dist[w] = dist[v] + g.cost[e]
			if !queued[w] {
				queued[w] = true
				queue = append(queue, w)
			}
		}
	}
	return dist
}

// augmentation is a search for paths of one length.
type augmentation struct {
	*flow
	sink   int
	dist   []int
	arc    []int  // of each vertex, the first edge that may still lead to the sink
	passed []bool // vertices of the path so far: there are circles that cost nothing
}

// send sends one unit from a vertex to the sink, if there is a path for it.
func (a *augmentation) send(v int) bool {
	if v == a.sink {
		return true
	}
	a.passed[v] = true
	defer func() { a.passed[v] = false }()
	for ; a.arc[v] < len(a.out[v]); a.arc[v]++ {
		e := a.out[v][a.arc[v]]
		w := a.to[e]
		if a.cap[e] > 0 && !a.passed[w] && a.dist[w] == a.dist[v]+a.cost[e] && a.send(w) {
			a.cap[e]--
			a.cap[e^1]++
			return true
		}
	}
	return false
}
