package table

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSweeper_GoesOnWhileStepsAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, steps := 3*SweepRows+1, 0
		s := Sweep(time.Minute, func(context.Context) (int, error) {
			n := min(left, SweepRows)
			left -= n
			steps++
			return n, nil
		})
		time.Sleep(90*time.Second + 5*sweepPause)
		s.Stop()
		if left != 0 || steps < 4 {
			t.Errorf("%d rows left after %d steps", left, steps)
		}
	})
}

func TestSweeper_FailedStep_IsTakenAgainInTheNextRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		s := Sweep(time.Minute, func(context.Context) (int, error) { steps++; return SweepRows, errors.New("away") })
		time.Sleep(10 * time.Minute)
		s.Stop()
		if steps < 6 || steps > 20 {
			t.Errorf("%d steps in ten rounds", steps)
		}
	})
}

func TestSweeper_Stop_EndsAStepThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		s := Sweep(time.Minute, func(ctx context.Context) (int, error) {
			close(began)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		<-began
		start := time.Now()
		s.Stop()
		if took := time.Since(start); took > 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestSweeper_StepThatHangs_IsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		steps := 0
		s := Sweep(time.Minute, func(ctx context.Context) (int, error) {
			steps++
			<-ctx.Done()
			return 0, ctx.Err()
		})
		time.Sleep(5 * time.Minute)
		s.Stop()
		if steps < 2 {
			t.Errorf("%d steps: the first holds up the others", steps)
		}
	})
}
