// Package rules holds the rules that no compiler checks, as tests over what go list says and over the source: which package may
// import which, where a dependency may be used, and what only a program may do. Each rule is also shown a planted fault, so
// that a rule which catches nothing cannot pass.
//
// Who adds a driver or a dependency extends the tables at the top of imports_test.go.
package rules
