package node

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"ringbin/cluster"
	"ringbin/storage"
	"ringbin/storage/meta"
	"ringbin/storage/replica"
)

// registerMetrics publishes the node's numbers. All are read when scraped:
// nothing is counted twice, and nothing costs while nobody looks.
func (n *Node) registerMetrics() {
	n.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if !n.cfg.NoLibraryMetrics {
		if libraries, err := cluster.LibraryMetrics(); err != nil {
			n.logger.Warn("the libraries' own metrics are missing", "err", err)
		} else {
			n.registry.MustRegister(libraries)
		}
	}
	gauge := func(name, help string, read func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "ringbin", Name: name, Help: help}, read))
	}
	gauge("fsm_applied_index", "Index of the last log entry that the metadata has applied.", func() float64 { return float64(n.fsm.AppliedIndex()) })
	n.raftMetrics(gauge)
	n.storeMetrics(gauge)
	n.diskMetrics()
	n.repairMetrics(gauge)
	n.ringMetrics(gauge)
	n.ledgerMetrics(gauge)
	n.service.counts.metrics()
	n.service.requests.metrics(n.counter)
}

type gaugeFunc func(name, help string, read func() float64)

func (n *Node) raftMetrics(gauge gaugeFunc) {
	raft, _ := n.raft()
	gauge("raft_term", "Current Raft term.", func() float64 { return float64(raft.Term()) })
	gauge("raft_commit_index", "Commit index that this node knows.", func() float64 { return float64(raft.CommitIndex()) })
	gauge("raft_is_leader", "1 on the leader.", func() float64 { return number(raft.IsLeader()) })
	gauge("raft_voters", "Members that vote.", func() float64 { return float64(len(raft.Voters())) })
	n.counter("raft_rounds_total", "Log entries with commands that this node has brought into the log as leader.", func() float64 {
		return float64(n.proposer.rounded.entries.Load())
	})
	n.counter("raft_round_commands_total", "Commands in them.", func() float64 { return float64(n.proposer.rounded.commands.Load()) })
	gauge("raft_last_contact_seconds", "Time since this node last heard of the leader.", func() float64 { return sinceSeconds(raft.LastContact()) })
}

func (n *Node) storeMetrics(gauge gaugeFunc) {
	gauge("store_blobs", "Blobs that this node holds.", func() float64 { return float64(n.store.Stats().Blobs) })
	gauge("store_bytes", "Bytes of blobs that this node holds.", func() float64 { return float64(n.store.Stats().Bytes) })
	gauge("store_free_bytes", "Free bytes of the volume below the blobs.", func() float64 {
		free, _, err := n.store.FreeBytes()
		if err != nil {
			return -1
		}
		return float64(free)
	})
	for _, f := range []storage.Fate{storage.FateCondemned, storage.FateOrphan, storage.FateMoved} {
		counter := func(name, help string, read func(replica.Erased) int64) {
			n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
				Namespace: "ringbin", Name: name, Help: help, ConstLabels: prometheus.Labels{"reason": f.String()},
			}, func() float64 { return float64(read(n.replicas.Erased(f))) }))
		}
		counter("replica_erased_blobs_total", "Copies that this node has erased.", func(e replica.Erased) int64 { return e.Blobs })
		counter("replica_erased_bytes_total", "Bytes of copies that this node has erased.", func(e replica.Erased) int64 { return e.Bytes })
	}
	gauge("replica_missing_copies", "Copies that this node owns and does not hold yet.", func() float64 { return float64(n.replicas.Status().Missing) })
	gauge("replica_unsettled", "Commits that this node has applied and copies asked for that it has not looked after yet.", func() float64 { return float64(n.replicas.Status().Unsettled) })
	gauge("replica_corrupt_copies", "Copies on this node that failed their check.", func() float64 { return float64(n.replicas.Status().Corrupt) })
}

func (n *Node) ringMetrics(gauge gaugeFunc) {
	gauge("ring_version", "Version of the ring that holds.", func() float64 {
		if cur, _ := n.fsm.Ring(); cur != nil {
			return float64(cur.Version)
		}
		return 0
	})
	gauge("ring_partitions_owned", "Partitions that this node owns.", func() float64 {
		cur, _ := n.fsm.Ring()
		return float64(partitionsOf(cur, n.self()))
	})
	gauge("ring_change", "1 while a next ring is being filled.", func() float64 {
		_, next := n.fsm.Ring()
		return number(next != nil)
	})
	gauge("ring_partitions_to_hand_over", "Partitions that the ring change under way still has to hand over.", func() float64 {
		return float64(n.fsm.RingChange().Left)
	})
	gauge("ring_move_blobs_left", "Blobs that this node still has to fetch for the ring change under way.", func() float64 { return float64(n.replicas.MoveLeft().Blobs) })
	gauge("ring_move_bytes_left", "Bytes of those blobs.", func() float64 { return float64(n.replicas.MoveLeft().Bytes) })
	n.counter("replica_pulled_blobs_total", "Copies fetched from other nodes for ring changes and repair.", func() float64 { return float64(n.replicas.Pulled().Blobs) })
	n.counter("replica_pulled_bytes_total", "Bytes fetched from other nodes for ring changes and repair, of failed attempts, too.", func() float64 {
		return float64(n.replicas.Pulled().Bytes)
	})
}

func (n *Node) counter(name, help string, read func() float64) {
	n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "ringbin", Name: name, Help: help}, read))
}

func (n *Node) ledgerMetrics(gauge gaugeFunc) {
	count := func(read func(meta.Counts) int64) func() float64 {
		return func() float64 { return float64(read(n.fsm.Counts())) }
	}
	gauge("ledger_entries", "Ledger entries.", count(func(c meta.Counts) int64 { return c.Entries }))
	gauge("ledger_accounts", "Accounts.", count(func(c meta.Counts) int64 { return c.Accounts }))
	gauge("catalogue_pastes", "Pastes, those that expired and are not swept yet included.", count(func(c meta.Counts) int64 { return c.Pastes }))
	gauge("catalogue_links", "Short links, those that expired and are not swept yet included.", count(func(c meta.Counts) int64 { return c.Links }))
	gauge("catalogue_references", "References, those that expired and are not swept yet included.", count(func(c meta.Counts) int64 { return c.References }))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
