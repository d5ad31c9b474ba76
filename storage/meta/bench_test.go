//go:build unix

package meta

import "testing"

// benchPack is how many commands go into the log at once under load.
const benchPack = 32

func BenchmarkEncode(b *testing.B) {
	g := newGrowth(b)
	h, c := g.next()
	for b.Loop() {
		if _, err := Encode(h, c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	g := newGrowth(b)
	command := g.commands(1)[0]
	for b.Loop() {
		if err := Check(command); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPack(b *testing.B) {
	g := newGrowth(b)
	commands := g.commands(benchPack)
	for b.Loop() {
		Pack(testStart, commands)
	}
}

func BenchmarkUnpack(b *testing.B) {
	g := newGrowth(b)
	data := Pack(testStart, g.commands(benchPack))
	for b.Loop() {
		if err := Intact(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkApplyUpload is of one upload among as many as go into the log at once.
func BenchmarkApplyUpload(b *testing.B) {
	g := newGrowth(b)
	for b.Loop() {
		b.StopTimer()
		commands := g.commands(benchPack)
		b.StartTimer()
		g.apply(commands)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchPack), "ns/upload")
}
