// Package bench holds the measurements of luastore that set it beside something else. They live in a module of their own, so
// that what they compare with never enters the module that users import.
//
// Machines drift, so nothing here is an absolute number: each case is measured in short rounds, all cases in turn, and a ratio
// is the median of the ratios of each round.
package bench
