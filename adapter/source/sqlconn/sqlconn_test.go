package sqlconn_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quartet-autoscaling/quartet/adapter/source"
	"github.com/quartet-autoscaling/quartet/adapter/source/sqlconn"
)

// conn is a connection that notes its end.
type conn struct{ lost, closed atomic.Bool }

// database counts the connections that were made.
type database struct {
	made atomic.Int32
	down atomic.Bool
}

func (d *database) config() sqlconn.Config[*conn] {
	return sqlconn.Config[*conn]{
		Dial: func(context.Context) (*conn, error) {
			if d.down.Load() {
				return nil, errors.New("down")
			}
			d.made.Add(1)
			return &conn{}, nil
		},
		Reusable: func(c *conn) bool { return !c.lost.Load() },
		Close:    func(c *conn) { c.closed.Store(true) },
	}
}

func take(t *testing.T, l *sqlconn.Link[*conn]) (*conn, bool) {
	t.Helper()
	c, used, err := l.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c, used
}

func TestConnectionsAreFewAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		pool := sqlconn.NewPool[*conn]()
		l := pool.Acquire("a", d.config())
		if pool.Acquire("a", d.config()) != l || pool.Acquire("b", d.config()) == l {
			t.Error("a link is one for each key")
		}
		first, used := take(t, l)
		second, _ := take(t, l)
		if used || first == second {
			t.Error("two that are taken are one")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := l.Take(ctx); err == nil {
			t.Error("a third connection was given")
		} else if reason, _ := source.ReasonOf(err); reason != source.ReasonTimeout {
			t.Errorf("the wait for a connection failed with %s", reason)
		}
		l.Give(second)
		if third, used := take(t, l); third != second || !used {
			t.Error("a free connection was not used again")
		}
		second.lost.Store(true)
		l.Give(second)
		synctest.Wait()
		if !second.closed.Load() {
			t.Error("a lost connection was kept")
		}
		if _, used := take(t, l); used || d.made.Load() != 3 {
			t.Errorf("in place of a lost connection %d were made, want 3", d.made.Load())
		}
		l.Give(first)
	})
}

func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		l := sqlconn.NewPool[*conn]().Acquire("a", d.config())
		c, _ := take(t, l)
		l.Give(c)
		time.Sleep(59 * time.Second)
		c, used := take(t, l)
		l.Give(c)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if !used || c.closed.Load() {
			t.Error("a connection that is used ended")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !c.closed.Load() {
			t.Error("an idle connection stays open")
		}
	})
}

func TestTheLastUserEndsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		pool := sqlconn.NewPool[*conn]()
		l := pool.Acquire("a", d.config())
		pool.Acquire("a", d.config())
		idle, _ := take(t, l)
		taken, _ := take(t, l)
		l.Give(idle)
		l.Release()
		synctest.Wait()
		if idle.closed.Load() {
			t.Error("the first of two users ended the connections")
		}
		l.Release()
		synctest.Wait()
		if !idle.closed.Load() || taken.closed.Load() {
			t.Errorf("after the last user the idle one is closed: %t, the taken one: %t", idle.closed.Load(), taken.closed.Load())
		}
		l.Give(taken)
		synctest.Wait()
		if !taken.closed.Load() {
			t.Error("a connection that was given back after the end stays open")
		}
		if pool.Acquire("a", d.config()) == l {
			t.Error("a link that was ended is given again")
		}
	})
}

func TestAFailedDialHoldsNoPlace(t *testing.T) {
	d := &database{}
	d.down.Store(true)
	l := sqlconn.NewPool[*conn]().Acquire("a", d.config())
	for range 2 * sqlconn.Size {
		if _, _, err := l.Take(t.Context()); err == nil {
			t.Fatal("a connection to a database that is down")
		}
	}
	d.down.Store(false)
	take(t, l)
}
