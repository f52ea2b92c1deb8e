package script

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/yuin/gopher-lua/ast"
)

// What gopher-lua compiles wrong without saying so.
const (
	maxTargets  = 200   // variables in one assignment: it counts them in 9 bits
	maxElements = 25550 // elements in a row in one table constructor: 511 times 50
)

// directOperands is how many operands of a chain of .. are arguments of a call, which take a register each. More are put into a
// table.
const directOperands = 50

// A rewriter prepares a syntax tree for the compiler: it makes calls of the operators .. and #, puts in other words what the compiler
// would get wrong, estimates what compiling costs, and notes which globals the program uses.
type rewriter struct {
	program  string
	depth    int
	cost     cost
	assigned map[string]bool
	escapes  map[string]bool
	err      *Error // the first; nothing is walked any further
}

// rewrite changes the statements of a source in place. It returns the global names that they may assign, and those that they
// use otherwise than to read a field of; a local variable counts as a global of its name.
func rewrite(program string, chunk []ast.Stmt) (assigned, escapes []string, err error) {
	r := rewriter{program: program, assigned: map[string]bool{}, escapes: map[string]bool{}}
	r.cost.enterFunction()
	r.block(chunk)
	if r.err != nil {
		return nil, nil, r.err
	}
	return slices.Sorted(maps.Keys(r.assigned)), slices.Sorted(maps.Keys(r.escapes)), nil
}

// fail keeps the first error.
func (r *rewriter) fail(line int, message string) {
	if r.err == nil {
		r.err = syntaxError("%s:%d: %s", r.program, line, message)
	}
}

func (r *rewriter) checkCost(line int) {
	if message := r.cost.exceeded(); message != "" {
		r.fail(line, message)
	}
}

// deeper begins a level, and reports whether there is room for it and no error so far.
func (r *rewriter) deeper(line int) bool {
	r.cost.body.nodes++
	if r.depth++; r.depth > MaxNesting && r.err == nil {
		r.err = tooDeep(r.program, line)
	}
	return r.err == nil
}

// block rewrites the statements of a block.
func (r *rewriter) block(stmts []ast.Stmt) {
	leave := r.cost.enterBlock()
	row := 0
	for i := range stmts {
		if _, ok := stmts[i].(*ast.LabelStmt); ok {
			row++
			r.cost.target(row)
		} else {
			row = 0
		}
		if r.deeper(stmts[i].Line()) {
			r.statement(&stmts[i])
			r.checkCost(stmts[i].Line())
		}
		r.depth--
		if r.err != nil {
			break
		}
	}
	leave()
}

func (r *rewriter) statement(slot *ast.Stmt) {
	switch s := (*slot).(type) {
	case *ast.AssignStmt:
		r.assign(slot, s)
	case *ast.LocalAssignStmt:
		r.expressions(s.Exprs)
		r.cost.locals(len(s.Names))
	case *ast.FuncCallStmt:
		r.expression(&s.Expr)
	case *ast.DoBlockStmt:
		r.block(s.Stmts)
	case *ast.WhileStmt, *ast.RepeatStmt, *ast.NumberForStmt, *ast.GenericForStmt:
		leave := r.cost.enterLoop()
		r.loop(s)
		leave()
	case *ast.IfStmt:
		r.cost.label(3)
		r.expression(&s.Condition)
		r.block(s.Then)
		r.block(s.Else)
	case *ast.FuncDefStmt:
		r.definition(s)
	case *ast.ReturnStmt:
		r.expressions(s.Exprs)
	case *ast.GotoStmt:
		r.cost.jump()
	}
}

func (r *rewriter) loop(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.WhileStmt:
		r.cost.label(3)
		r.expression(&s.Condition)
		r.block(s.Stmts)
	case *ast.RepeatStmt:
		r.cost.label(4)
		r.block(s.Stmts)
		r.expression(&s.Condition)
	case *ast.NumberForStmt:
		r.cost.label(1)
		r.expression(&s.Init)
		r.expression(&s.Limit)
		if s.Step != nil {
			r.expression(&s.Step)
		}
		r.body(1, s.Stmts)
	case *ast.GenericForStmt:
		r.cost.label(3)
		r.expressions(s.Exprs)
		r.body(len(s.Names), s.Stmts)
	}
}

// body rewrites the block of a loop that has variables of its own.
func (r *rewriter) body(variables int, stmts []ast.Stmt) {
	leave := r.cost.enterBlock()
	r.cost.locals(variables)
	r.block(stmts)
	leave()
}

func (r *rewriter) definition(s *ast.FuncDefStmt) {
	if s.Name.Func == nil {
		r.expression(&s.Name.Receiver)
		r.cost.constant(constant{text: s.Name.Method})
	} else {
		r.target(s.Name.Func)
	}
	r.function(s.Func)
}

// function rewrites the body of a function.
func (r *rewriter) function(f *ast.FunctionExpr) {
	leave := r.cost.enterFunction()
	r.cost.locals(1 + len(f.ParList.Names))
	r.block(f.Stmts)
	leave()
}

// target notes what is assigned.
func (r *rewriter) target(e ast.Expr) {
	r.cost.body.nodes += 2
	switch e := e.(type) {
	case *ast.IdentExpr:
		r.assigned[e.Value] = true
		r.cost.name(e.Value)
		r.cost.name(e.Value)
	case *ast.AttrGetExpr:
		r.expression(&e.Object)
		r.expression(&e.Key)
	}
}

// assign rewrites an assignment. With several variables the compiler gives a local one its value before it has worked out the
// others, and mixes up registers. If the last parameter of the function around is to get the result of a call in brackets, it
// puts the function that it calls into it before it works out the arguments.
func (r *rewriter) assign(slot *ast.Stmt, s *ast.AssignStmt) {
	if len(s.Lhs) > maxTargets {
		r.fail(s.Line(), "more than "+strconv.Itoa(maxTargets)+" variables in one assignment: split it")
		return
	}
	for _, e := range s.Lhs {
		r.target(e)
	}
	r.expressions(s.Rhs)
	if len(s.Lhs) > 1 || len(s.Rhs) > 1 {
		r.cost.assignInTurn(len(s.Lhs))
		*slot = assignInTurn(s)
	} else if call, ok := s.Rhs[0].(*ast.FuncCallExpr); ok {
		call.AdjustRet = false // it is adjusted to one result all the same
	}
}

// expressions rewrites a list.
func (r *rewriter) expressions(list []ast.Expr) {
	for i := range list {
		r.expression(&list[i])
	}
}

// A fold is what the compiler does with an expression while it looks for what it can work out: for each operator of arithmetic
// it goes through all below.
type fold struct {
	steps    int
	constant bool
}

// expression rewrites an expression.
func (r *rewriter) expression(slot *ast.Expr) (f fold) {
	f.steps = 1
	if r.deeper((*slot).Line()) {
		switch e := (*slot).(type) {
		case *ast.NumberExpr:
			f = r.number(e)
		case *ast.ArithmeticOpExpr:
			f = r.folds(&e.Lhs, &e.Rhs)
		case *ast.UnaryMinusOpExpr:
			f = r.folds(&e.Expr)
		case *ast.StringConcatOpExpr:
			*slot = r.concat(e)
		case *ast.UnaryLenOpExpr:
			*slot = r.length(e)
		default:
			r.plain(e)
		}
	}
	r.depth--
	return f
}

// plain rewrites what is in an expression that stays as it is.
func (r *rewriter) plain(e ast.Expr) {
	switch e := e.(type) {
	case *ast.StringExpr:
		r.cost.constant(constant{text: e.Value})
	case *ast.IdentExpr:
		r.escapes[e.Value] = true
		r.cost.name(e.Value)
	case *ast.AttrGetExpr:
		r.object(&e.Object)
		r.expression(&e.Key)
	case *ast.TableExpr:
		r.table(e)
	case *ast.FuncCallExpr:
		r.call(e)
	case *ast.LogicalOpExpr:
		r.cost.label(4)
		r.expression(&e.Lhs)
		r.expression(&e.Rhs)
	case *ast.RelationalOpExpr:
		r.cost.label(1)
		r.expression(&e.Lhs)
		r.expression(&e.Rhs)
	case *ast.UnaryNotOpExpr:
		r.expression(&e.Expr)
	case *ast.FunctionExpr:
		r.function(e)
	}
}

// object rewrites what a field is read of.
func (r *rewriter) object(slot *ast.Expr) {
	if name, ok := (*slot).(*ast.IdentExpr); ok {
		r.cost.name(name.Value)
		return
	}
	r.expression(slot)
}

// table rewrites a constructor. A call that is the value of the last key is one value, which the compiler forgets.
func (r *rewriter) table(t *ast.TableExpr) {
	elements := 0
	for _, field := range t.Fields {
		if field.Key != nil {
			r.expression(&field.Key)
			r.expression(&field.Value)
			field.Value = single(field.Value)
			continue
		}
		r.expression(&field.Value)
		if elements++; elements > maxElements {
			r.fail(field.Value.Line(), "more than "+strconv.Itoa(maxElements)+
				" elements in one table constructor: put them into several tables")
			return
		}
	}
}

func (r *rewriter) call(e *ast.FuncCallExpr) {
	if e.Func != nil {
		r.expression(&e.Func)
	} else {
		r.expression(&e.Receiver)
		r.cost.constant(constant{text: e.Method})
	}
	r.expressions(e.Args)
}

// folds rewrites the operands of arithmetic.
func (r *rewriter) folds(slots ...*ast.Expr) fold {
	sum := fold{steps: 2, constant: true}
	for _, slot := range slots {
		f := r.expression(slot)
		sum.steps += f.steps
		sum.constant = sum.constant && f.constant
	}
	r.cost.steps += sum.steps
	if sum.constant {
		r.cost.folded()
	}
	return sum
}

// number writes a number so that the compiler reads it as Lua does.
func (r *rewriter) number(e *ast.NumberExpr) fold {
	text, ok := plainNumber(e.Value)
	if !ok {
		r.fail(e.Line(), "malformed number near "+strconv.Quote(excerpt(e.Value)))
	}
	e.Value = text
	r.cost.constant(constant{number: true, text: text})
	return fold{steps: 4 + len(text)/8, constant: true}
}

// plainNumber makes a number decimal where the compiler would misread it: it takes zeros in front for octal, and what is too
// large, or not a number at all, for NaN.
func plainNumber(text string) (string, bool) {
	if len(text) > 1 && text[1]|0x20 == 'x' {
		n, _ := strconv.ParseUint(text[2:], 16, 64) // the largest if it is larger, as in Lua
		if n <= math.MaxInt64 {
			return text, true
		}
		return strconv.FormatFloat(float64(n), 'g', -1, 64), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if errors.Is(err, strconv.ErrRange) {
		return strconv.FormatFloat(f, 'g', -1, 64), true
	}
	for len(text) > 1 && text[0] == '0' && decimal(text[1]) {
		text = text[1:]
	}
	return text, err == nil
}

// concat makes a call of a chain of the operator, which has the line of its leftmost operand.
func (r *rewriter) concat(e *ast.StringConcatOpExpr) ast.Expr {
	operands := []ast.Expr{e.Lhs}
	rest := e.Rhs
	for {
		next, ok := rest.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		operands = append(operands, next.Lhs)
		rest = next.Rhs
	}
	operands = append(operands, rest)
	r.expressions(operands)
	operands[len(operands)-1] = single(operands[len(operands)-1])
	name := concatName
	if n := len(operands); n > directOperands {
		count := at(&ast.NumberExpr{Value: strconv.Itoa(n)}, e)
		name, operands = concatListName, []ast.Expr{at(list(operands), e), count}
		r.cost.constant(constant{number: true, text: strconv.Itoa(n)})
	}
	r.cost.constant(constant{text: name})
	return at(&ast.FuncCallExpr{Func: at(&ast.StringExpr{Value: name}, e), Args: operands, AdjustRet: true}, e)
}

// length makes a call of the operator #.
func (r *rewriter) length(e *ast.UnaryLenOpExpr) ast.Expr {
	r.expression(&e.Expr)
	r.cost.constant(constant{text: lengthName})
	call := &ast.FuncCallExpr{Func: at(&ast.StringExpr{Value: lengthName}, e), Args: []ast.Expr{single(e.Expr)}, AdjustRet: true}
	return at(call, e)
}

// list returns a table constructor.
func list(values []ast.Expr) *ast.TableExpr {
	t := &ast.TableExpr{Fields: make([]*ast.Field, len(values))}
	for i, v := range values {
		t.Fields[i] = &ast.Field{Value: v}
	}
	return t
}

// single makes one value of what may be several.
func single(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
	return e
}

// at gives a new node the place of an old one.
func at[N ast.PositionHolder](n N, old ast.PositionHolder) N {
	n.SetLine(old.Line())
	n.SetLastLine(old.LastLine())
	return n
}

// assignInTurn makes an assignment of several variables a block that works out everything first, and then assigns one after the
// other from the right, as Lua does.
func assignInTurn(s *ast.AssignStmt) ast.Stmt {
	var block turns
	targets := make([]ast.Expr, len(s.Lhs))
	for i, e := range s.Lhs {
		targets[i] = e
		if field, ok := e.(*ast.AttrGetExpr); ok {
			targets[i] = at(&ast.AttrGetExpr{Object: block.keep(field.Object), Key: block.keep(field.Key)}, e)
		}
	}
	values := make([]string, len(s.Lhs))
	for i := range values {
		values[i] = block.name()
	}
	block.stmts = append(block.stmts, at(&ast.LocalAssignStmt{Names: values, Exprs: s.Rhs}, s))
	for i, e := range slices.Backward(targets) {
		value := at(&ast.IdentExpr{Value: values[i]}, e)
		block.stmts = append(block.stmts, at(&ast.AssignStmt{Lhs: []ast.Expr{e}, Rhs: []ast.Expr{value}}, s))
	}
	return at(&ast.DoBlockStmt{Stmts: block.stmts}, s)
}

// turns is the block that assignInTurn makes.
type turns struct {
	stmts []ast.Stmt
	names int
}

// name returns the name of a new variable, one that no source can use.
func (t *turns) name() string {
	t.names++
	return "(assigned " + strconv.Itoa(t.names) + ")"
}

// keep puts the value of an expression into a variable, unless it cannot change.
func (t *turns) keep(e ast.Expr) ast.Expr {
	switch e.(type) {
	case *ast.StringExpr, *ast.NumberExpr:
		return e
	}
	name := t.name()
	t.stmts = append(t.stmts, at(&ast.LocalAssignStmt{Names: []string{name}, Exprs: []ast.Expr{e}}, e))
	return at(&ast.IdentExpr{Value: name}, e)
}

// excerpt shortens what is quoted from a source.
func excerpt(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
