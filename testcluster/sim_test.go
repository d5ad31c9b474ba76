package testcluster_test

import (
	"testing"
	"time"

	"ringbin/testcluster"
)

func TestSimFirst(t *testing.T) {
	start := time.Now()
	rep := testcluster.Simulate(t, 1, func(t *testing.T) {
		c := testcluster.Start(t, 3, testcluster.Options{})
		_, key := c.Account(1000)
		if _, _, err := c.Client(1, key).Put(content(1, 5000), 30); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%+v in %v", rep, time.Since(start))
}
