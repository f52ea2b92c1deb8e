package historytest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/luastore/store/internal/boundtest"
)

// Histories that are not known to be legal after this time are reported.
const (
	patience    = 10 * time.Second // with one history
	allPatience = time.Minute      // with those of one round
)

// model is what an entry should do. A call whose outcome is unknown has an effect whatever it answered. As it never returns, that
// may be after everything that anybody saw.
func (c *cell) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return c.seed },
		Step: func(now, input, _ any) (bool, any) {
			c := input.(*call)
			next, want := c.action.effect(now.(string), c)
			return c.unknown() || c.got == want, next
		},
	}
}

// judgeHistories looks whether the calls on each entry could have been made one after the other, each between its call and its return,
// without those that failed. It leaves out the counters, whose histories are too long; how many calls there were it returns.
func (l *load) judgeHistories(found findings) (checked int) {
	end := time.Now().Add(boundtest.Scale(allPatience))
	for _, c := range l.cells {
		if c.role == counter {
			continue
		}
		history := c.history()
		checked += len(history)
		within := min(boundtest.Scale(patience), time.Until(end))
		if within <= 0 {
			found.add(legal, "no time was left to check %s", c.key)
			continue
		}
		switch porcupine.CheckOperationsTimeout(c.model(), history, within) {
		case porcupine.Unknown:
			found.add(legal, "%d calls on %s: not known after %v whether they are legal", len(history), c.key, within)
		case porcupine.Illegal:
			_, info := porcupine.CheckOperationsVerbose(c.model(), history, within)
			found.add(legal, "%d calls on %s are not linearizable\n%s", len(history), c.key, explain(history, info))
		}
	}
	return checked
}

// history returns the calls on a cell that took effect, or may have.
func (c *cell) history() []porcupine.Operation {
	var history []porcupine.Operation
	for _, call := range c.calls {
		returned := int64(call.returned)
		switch {
		case call.unknown():
			returned = math.MaxInt64
		case call.err != nil:
			continue
		}
		history = append(history, porcupine.Operation{ClientId: call.client, Input: call, Call: int64(call.called), Return: returned})
	}
	return history
}

// explain shows a history where the longest legal part of it ends.
func explain(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []int
	for _, parts := range info.PartialLinearizations() {
		for _, part := range parts {
			if len(part) > len(longest) {
				longest = part
			}
		}
	}
	const around = 8
	var b strings.Builder
	b.WriteString("legal in this order up to here:\n")
	for _, i := range longest[max(0, len(longest)-around):] {
		fmt.Fprintf(&b, "\t%v\n", history[i].Input)
	}
	b.WriteString("none of these can be next:\n")
	rest := 0
	for i, o := range history {
		if !slices.Contains(longest, i) && rest < 2*around {
			rest++
			fmt.Fprintf(&b, "\t%v\n", o.Input)
		}
	}
	return b.String()
}
