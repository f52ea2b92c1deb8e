package script

// What the compiler takes of one source. It searches lists where it should look things up, so its time grows with the square of
// what a function holds; a step is some 7 ns.
const (
	maxSteps     = 100e6
	maxFunctions = 8000 // each takes 17 KB until all are compiled
)

// What the compiler gets wrong without saying so, because it counts labels and the way back in a loop in 18 bits with a sign. An
// expression or statement takes at most five instructions.
const (
	maxLabels = 1<<17 - 1
	maxNodes  = maxLabels / 5
)

// A cost estimates, from above, the steps of compiling what the rewriter walks over, which begins and ends functions and blocks
// in the order of the source.
type cost struct {
	steps     int
	functions int
	visible   int // local variables and blocks that a name is looked for in
	names     int // uses of names so far
	longLoop  bool
	body      *bodyCost
}

// A bodyCost counts what one function holds.
type bodyCost struct {
	constants map[constant]int // the order in which they came
	unnamed   int              // constants made of others
	labels    int              // targets of jumps
	gotos     int
	nodes     int // expressions and statements, and variables that functions in it use
}

type constant struct {
	number bool
	text   string
}

// enterFunction begins the body of a function. The result ends it.
func (c *cost) enterFunction() (leave func()) {
	outer, visible, names := c.body, c.visible, c.names
	c.functions++
	c.body = &bodyCost{constants: map[constant]int{}}
	return func() {
		upvalues := min(visible, c.names-names)
		c.steps += upvalues * (upvalues + visible) / 8
		if outer != nil {
			outer.nodes += upvalues
		}
		c.body, c.visible = outer, visible
	}
}

// enterLoop begins a loop. The result ends it.
func (c *cost) enterLoop() (leave func()) {
	nodes := c.body.nodes
	return func() { c.longLoop = c.longLoop || c.body.nodes-nodes > maxNodes }
}

// enterBlock begins a block. The result ends it.
func (c *cost) enterBlock() (leave func()) {
	visible, gotos := c.visible, c.body.gotos
	c.visible++
	return func() {
		c.steps += visible + 4*(c.body.gotos-gotos)
		c.visible = visible
	}
}

// constant is one use of a constant: all before it are compared with it.
func (c *cost) constant(k constant) {
	i, ok := c.body.constants[k]
	if !ok {
		i = len(c.body.constants) + c.body.unnamed
		c.body.constants[k] = i
	}
	c.steps += i
}

// folded is a constant that the compiler works out of others.
func (c *cost) folded() {
	c.body.unnamed++
	c.steps += len(c.body.constants) + c.body.unnamed
}

// name is one use of a variable, which may be a global one and so a constant.
func (c *cost) name(name string) {
	c.names++
	c.steps += c.visible
	c.constant(constant{text: name})
}

// assignInTurn is the block that takes the place of an assignment of several variables: it has two of its own for each.
func (c *cost) assignInTurn(targets int) { c.steps += 1000 + 500*targets }

// locals declares variables.
func (c *cost) locals(n int) { c.visible += n }

// label is n targets of jumps.
func (c *cost) label(n int) { c.body.labels += n }

// jump is a goto.
func (c *cost) jump() {
	c.body.gotos++
	c.steps += c.visible
}

// target is a label that a goto may name, followed by others in a row.
func (c *cost) target(row int) {
	c.label(1)
	c.steps += row + c.visible + 4*c.body.gotos
}

// exceeded answers what is too much, nothing if all is well.
func (c *cost) exceeded() string {
	switch {
	case c.functions > maxFunctions:
		return "too many functions for one source: split it into modules"
	case c.steps > maxSteps:
		return "too much to compile at once: split it into modules, and lists of constants into several functions"
	case c.longLoop:
		return "loop too long: split it"
	case c.body.labels > maxLabels, c.body.gotos > 0 && c.body.nodes > maxNodes:
		return "function too long: split it"
	}
	return ""
}
