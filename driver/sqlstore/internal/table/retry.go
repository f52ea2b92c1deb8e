package table

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause = time.Millisecond
	longest    = 100 * time.Millisecond
)

// Retry calls try again, after a random pause that grows, for as long as again says of its error that the database rolled
// everything back, which it does to one of the transactions in a deadlock. It returns the last error of try, also where ctx ends
// during a pause: nothing was applied then, and the caller says so.
func Retry(ctx context.Context, try func() error, again func(error) bool) error {
	for most := firstPause; ; most = min(2*most, longest) {
		err := try()
		if err == nil || !again(err) {
			return err
		}
		pause := time.NewTimer(rand.N(most))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}
