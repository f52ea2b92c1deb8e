package historytest

import (
	"time"

	"github.com/luastore/store/internal/boundtest"
)

const (
	mostOverdue = 50 * time.Millisecond // that a call takes beyond its deadline
	muchOverdue = 10                    // times as long no call may take
	spareLate   = 20                    // one in so many calls that come to their deadline may be overdue, and one more
	mostTries   = 3                     // to keep within these: the machine may have been busy with something else
)

// An overdue counts calls that came back late, without the time for which the process could not run. It knows nothing of single
// threads that could not: so a few calls say nothing.
type overdue struct {
	reached int // calls that came to their deadline
	late    int // of those
	worst   time.Duration
}

// note counts a call that was to return by due.
func (o *overdue) note(due, returned time.Duration, l *lag) {
	if returned < due {
		return
	}
	o.reached++
	late := returned - due - l.within(due, returned)
	if late > boundtest.Scale(mostOverdue) {
		o.late++
	}
	o.worst = max(o.worst, late)
}

// add counts what another has counted.
func (o *overdue) add(other overdue) {
	o.reached, o.late, o.worst = o.reached+other.reached, o.late+other.late, max(o.worst, other.worst)
}

// judge adds what is wrong.
func (o *overdue) judge(found findings) {
	most := boundtest.Scale(mostOverdue)
	if o.late > 1+o.reached/spareLate || o.worst > muchOverdue*most {
		found.add(inTime, "of %d calls that came to their deadline %d came more than %v after it, up to %v", o.reached, o.late, most, o.worst)
	}
}
