// Package doctest runs the Lua of README.md and of the pages in docs, so that no example there can be wrong. The convention,
// which docs/lua-api.md and docs/recipes.md state for their readers:
//
//   - A block fenced as lua is a program and runs as one unit of work, in a registry of its own. What is no program, such as
//     a signature, is fenced as text.
//   - "-->" is followed by one line of output; three spaces stand for the tab that print puts between values. All that a block
//     prints must be there, in order, and nothing else. A block without any "-->" must at least assert something.
//   - A block that does not load the module itself begins with the store s, called "demo".
//
// The tests also hold the headings of docs/lua-api.md against the functions that exist. Time is virtual: examples may use a ttl as
// long as they like, and a slow machine changes nothing.
package doctest
