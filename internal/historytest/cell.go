package historytest

import "slices"

// judgeCell holds what the calls on a cell answered against what was found in it.
func (r *round) judgeCell(c *cell) {
	report := func(rule, text string) { r.found.add(rule, "%s, %s", text, c.describe()) }
	switch c.role {
	case register:
	case counter:
		r.judgeCounter(c, report)
	default:
		c.judgeOnce(report)
		if !r.target.Lossy && c.isLost() {
			report(acknowledged, "what was acknowledged is not there")
		}
	}
}

// truths are the rules that calls break which are not true, or done twice.
var truths = map[*action]string{actSet: readsTrue, actCreate: swapsTrue, actSwap: swapsTrue, actDelete: deletesTrue, actIncr: appliedOnce}

// judgeOnce looks at a cell that one call changed, or was to.
func (c *cell) judgeOnce(report func(rule, text string)) {
	call, after, want := c.only()
	rule := truths[call.action]
	if call.err == nil && call.got != want {
		report(rule, "the only call on an entry did not answer "+want.String())
	}
	other := func(found string) bool { return found != c.seed && found != after }
	switch {
	case slices.ContainsFunc(c.found, other):
		report(rule, "what is there is not what the only call writes")
	case call.failed() && slices.Contains(c.found, after):
		report(ghosts, "what failed has happened")
	}
}

// only returns the call that was to change a cell, and what there is and what it answers if it did.
func (c *cell) only() (_ *call, after string, want answer) {
	call := c.calls[0]
	after, want = call.action.effect(c.seed, call)
	return call, after, want
}

// isAcknowledged reports whether a cell that one call was to change was changed, as it said.
func (c *cell) isAcknowledged() bool {
	call, _, _ := c.only()
	return call.err == nil && call.got.ok
}

// isLost reports whether an acknowledged change was not there when it was looked for.
func (c *cell) isLost() bool {
	return c.isAcknowledged() && slices.Contains(c.found, c.seed)
}

// judgeCounter looks at a cell that many calls incremented.
func (r *round) judgeCounter(c *cell, report func(rule, text string)) {
	done, unknown, failed := c.tally()
	for _, found := range c.found {
		f, ok := number(found)
		n := int(f)
		switch {
		case found != "" && !ok:
			report(appliedOnce, "a counter is no number")
		case n > done+unknown && failed > 0:
			report(ghosts, "a counter counts more than the calls that did not fail")
		case n > done+unknown:
			report(appliedOnce, "a counter counts more than the calls")
		case n < done && !r.target.Lossy:
			report(acknowledged, "a counter counts less than what was acknowledged")
		default:
			continue
		}
		break
	}
	if c.repeats(r.uninterrupted()) {
		report(appliedOnce, "two increments answered the same sum")
	}
}

// tally counts the calls on a counter by how they ended.
func (c *cell) tally() (done, unknown, failed int) {
	for _, call := range c.calls {
		switch {
		case call.action.reads:
		case call.unknown():
			unknown++
		case call.failed():
			failed++
		default:
			done++
		}
	}
	return done, unknown, failed
}

// uninterrupted returns the spans within which sums never come back: between two failovers if they may lose some, else all of the
// round.
func (r *round) uninterrupted() []span {
	if r.target.Lossy {
		return r.calms
	}
	return []span{{to: r.ended}}
}

// repeats reports whether two increments that were made within one of the spans answered the same sum.
func (c *cell) repeats(spans []span) bool {
	for _, s := range spans {
		sums := map[string]bool{}
		for _, call := range c.calls {
			if call.action.reads || call.err != nil || call.called < s.from || call.returned > s.to {
				continue
			}
			if sums[call.got.seen] {
				return true
			}
			sums[call.got.seen] = true
		}
	}
	return false
}
