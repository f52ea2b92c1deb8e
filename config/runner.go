package config

import (
	"math"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/luastore/store/script"
)

// Runner is the section runner: how scripts run. Zero fields were not set.
type Runner struct {
	Timeout time.Duration  // bounds each unit
	Memory  int64          // bytes by which the heap may grow while a unit runs
	Output  int64          // bytes that a unit may print
	Allow   []script.Grant // what scripts have beyond the default
}

// Script returns the options of a runner that keeps to the section. What was not set is the default of package script. Every call
// returns options of its own, to which a host adds what no file says.
func (r Runner) Script() *script.Options {
	return &script.Options{Timeout: r.Timeout, Memory: r.Memory, Output: r.Output, Grants: slices.Clone(r.Allow)}
}

// Telemetry is the section telemetry: what is measured. Zero fields were not set.
type Telemetry struct {
	Metrics string // host:port to listen on for those who collect metrics
}

var runnerFields = []fieldOf[Runner]{
	{"timeout", true, func(d *decoder, v *node, to *Runner) { d.duration(v, &to.Timeout) }},
	{"memory", true, func(d *decoder, v *node, to *Runner) { d.size(v, &to.Memory, math.MaxInt64) }},
	{"output", true, func(d *decoder, v *node, to *Runner) { d.size(v, &to.Output, math.MaxInt64) }},
	{"allow", true, (*decoder).grants},
}

var telemetryFields = []fieldOf[Telemetry]{
	{"metrics", true, (*decoder).metrics},
}

// grantNames are the grants of package script.
var grantNames = []string{string(script.GrantIO), string(script.GrantOS), string(script.GrantLoad), string(script.GrantDebug)}

// grants reads what scripts may have.
func (d *decoder) grants(n *node, to *Runner) {
	for _, item := range d.elements(n, "[io, os]") {
		name, ok := d.text(item, "one of "+list(grantNames))
		switch {
		case !ok:
		case !slices.Contains(grantNames, name.text):
			d.unknown(item, "grant", "", grantNames)
		case !slices.Contains(to.Allow, script.Grant(name.text)):
			to.Allow = append(to.Allow, script.Grant(name.text))
		}
	}
}

// metrics reads an address to listen on.
func (d *decoder) metrics(n *node, to *Telemetry) {
	const want = `an address to listen on such as 127.0.0.1:9090, or ":9090" for all interfaces`
	v, ok := d.text(n, want)
	if !ok {
		return
	}
	_, port, err := net.SplitHostPort(v.text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		d.note(n, "no address with a port: want %s", want)
		return
	}
	to.Metrics = v.text
}

// isOneOf reports whether name is in a list.
func isOneOf(name string, list []string) bool { return slices.Contains(list, name) }
