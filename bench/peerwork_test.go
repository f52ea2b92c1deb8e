package bench

import (
	"errors"
	"fmt"
	"sync"
)

// An interpreter is one Lua of a peer. It runs one program at a time.
type interpreter interface {
	// run calls the function that the Lua source returns with n, and returns what that does: a string, or nothing. Sources are compiled
	// once where the peer can.
	run(source string, n int) (string, error)
}

// A dialect is how scripts of a peer say the operations. The statements see k, the key, and v, the value; what they read they leave
// in a local r.
type dialect struct {
	open    string // statements that run once
	locals  string // the names, at least one, of what open made local and the statements use
	set     string
	get     string // r is nil where there is no such key
	has     string // r is true or false
	version string // an expression: what the peer is, with its versions
}

// keysInLoop is how many keys a loop goes through.
const keysInLoop = 1000

// program returns the source of a program with keys of one namespace and one value. What is made for each key is made outside of the
// function, whose body sees n, keys and v. Redis makes all of it again for each call, which is a thousandth of one.
func (d dialect) program(namespace, value, body string) string {
	return fmt.Sprintf(`%s
		local keys = {}
		for i = 1, %d do keys[i] = %q .. 1000 + i end
		local v = %s
		return function(n)
			local keys, v, %s = keys, v, %[5]s
			%[6]s
		end`, d.open, keysInLoop, namespace+":k", value, d.locals, body)
}

// loop returns a program that runs a statement n times.
func (d dialect) loop(namespace, value, statement string) string {
	return d.program(namespace, value, fmt.Sprintf(`for i = 1, n do local k = keys[i %% %d + 1] %s end`, keysInLoop, statement))
}

// canonical is Lua for one text for all tables that are equal, and for them alone.
const canonical = `
	local function canonical(x)
		if type(x) == "number" then return ("%.17g"):format(x) end
		if type(x) ~= "table" then return type(x) .. " " .. tostring(x) end
		local parts = {}
		for key, item in pairs(x) do parts[#parts + 1] = canonical(key) .. "=" .. canonical(item) end
		table.sort(parts)
		return "{" .. table.concat(parts, ",") .. "}"
	end `

// look returns a program that tells what get and has answer for a key.
func (d dialect) look(namespace string) string {
	return d.program(namespace, `nil`, canonical+`local k, got, there = keys[1]
		do `+d.get+` got = r end
		do `+d.has+` there = r end
		return canonical(got) .. ", " .. canonical(there)`)
}

// answers returns what get and has answer in one interpreter of a peer, before and after the other one set a value.
func (p *running) answers(namespace, value string) (string, error) {
	look := p.dialect.look(namespace)
	before, err1 := p.luas[1].run(look, 1)
	_, err2 := p.luas[0].run(p.dialect.loop(namespace, value, p.dialect.set), keysInLoop)
	after, err3 := p.luas[1].run(look, 1)
	return before + "; then " + after, errors.Join(err1, err2, err3)
}

// A task is one row of the table for each peer: a statement that is run in a loop.
type task struct {
	operation string
	value     string // its name, or "" where it makes no difference
	source    string // of the value
	namespace string // of the keys
	filled    bool   // the keys have the value before the loop
	statement func(d dialect) string
}

// The names of operations that the table refers to.
const (
	emptyLoop = "empty loop"
	setOnly   = "set"
	getOnly   = "get"
	setAndGet = "set + get" // the sum of both, each with a loop of its own
	hasOnly   = "has"
	miss      = "miss"
)

// tasks returns what is measured, in the order of the table.
func tasks() []task {
	set := func(d dialect) string { return d.set }
	get := func(d dialect) string { return d.get }
	has := func(d dialect) string { return d.has }
	all := []task{{emptyLoop, "", `nil`, "none", false, func(dialect) string { return "" }}}
	for i, v := range values {
		all = append(all,
			task{setOnly, v.name, v.source, fmt.Sprint("set", i), false, set},
			task{getOnly, v.name, v.source, fmt.Sprint("get", i), true, get})
	}
	short := values[0].source
	return append(all,
		task{hasOnly, "", short, "has", true, has},
		task{miss, "", short, "miss", false, get})
}

// prepare fills the keys of a task.
func (p *running) prepare(t task) error {
	if !t.filled {
		return nil
	}
	_, err := p.luas[0].run(p.dialect.loop(t.namespace, t.source, p.dialect.set), keysInLoop)
	return err
}

// do runs the loop of a task n times altogether, in so many interpreters at once.
func (p *running) do(t task, threads, n int) error {
	source := p.dialect.loop(t.namespace, t.source, t.statement(p.dialect))
	errs := make([]error, threads)
	var wait sync.WaitGroup
	for i, in := range p.luas[:threads] {
		wait.Go(func() { _, errs[i] = in.run(source, max(1, n/threads)) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
