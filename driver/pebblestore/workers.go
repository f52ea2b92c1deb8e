package pebblestore

import "sync"

// maxIdle is how many goroutines wait for the next write, as grown as the last one made them: growing anew costs more than all
// else a write does before it waits for the disk.
const maxIdle = 128

// workers are the goroutines on which writes run.
type workers struct {
	next    chan *write
	idle    chan struct{} // a token for each that waits
	quit    chan struct{}
	running sync.WaitGroup
}

func (p *workers) init() {
	p.next, p.idle, p.quit = make(chan *write), make(chan struct{}, maxIdle), make(chan struct{})
}

// run has w run by a goroutine that waits, or a new one. There is no bound: a write that the disk holds up must not keep others
// from leaving in time.
func (p *workers) run(w *write) {
	select {
	case p.next <- w:
	default:
		p.running.Go(func() { p.work(w) })
	}
}

func (p *workers) work(w *write) {
	for {
		w.run()
		select {
		case p.idle <- struct{}{}:
		default:
			return
		}
		select {
		case w = <-p.next:
			<-p.idle
		case <-p.quit:
			return
		}
	}
}

// stop ends the goroutines that wait. No write runs any more.
func (p *workers) stop() {
	close(p.quit)
	p.running.Wait()
}

// maxUnconfirmed is more than Pebble lets wait for the disk at once.
const maxUnconfirmed = 4096

// A confirmer is the goroutine that waits for the disk in the place of all writes. They get there in the order in which it is told
// of them, or nearly so: it wakes once for as many as share an fsync, and wakes their callers.
type confirmer struct {
	next    chan confirmation
	stopped chan struct{}
}

type confirmation struct {
	write  *write
	change *change
}

func (c *confirmer) start() {
	c.next, c.stopped = make(chan confirmation, maxUnconfirmed), make(chan struct{})
	go func() {
		defer close(c.stopped)
		for next := range c.next {
			next.write.end(next.change.confirm())
		}
	}()
}

// stop ends the goroutine. No write runs any more.
func (c *confirmer) stop() {
	close(c.next)
	<-c.stopped
}
