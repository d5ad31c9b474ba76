package storage

// DiskStats are what a Store's databases have written since they were opened,
// in bytes, and what is still under way. The numbers begin anew with a database
// that takes the place of a rotten one.
type DiskStats struct {
	Logged    uint64 // into write-ahead logs
	Flushed   uint64 // from memory into tables
	Ingested  uint64 // as tables of large blobs
	Compacted uint64 // into tables that were made of others
	Unflushed uint64 // of Logged: no table has them yet
	Running   int64  // flushes and compactions
}

// DiskStats returns what was written since the Store was opened.
func (s *Store) DiskStats() DiskStats {
	v := s.use()
	defer v.release()
	m := v.cur.db.Metrics()
	d := DiskStats{
		Logged: m.WAL.BytesWritten, Unflushed: m.WAL.Size,
		Running: m.Compact.NumInProgress + m.Flush.NumInProgress,
	}
	for i := range m.Levels {
		l := &m.Levels[i]
		d.Flushed += l.TableBytesFlushed + l.BlobBytesFlushed
		d.Ingested += l.TableBytesIngested
		d.Compacted += l.TableBytesCompacted + l.BlobBytesCompacted
	}
	return d
}
