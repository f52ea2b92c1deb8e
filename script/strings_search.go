package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

const (
	searchBytes = 1 << 18 // of the subject that are searched between two polls
	headBytes   = 1 << 12 // of what is searched for that are searched for at once
)

// index is [strings.Index] in steps that poll. That takes, for long strings made for it, time in proportion to the product of both
// lengths, which may be days. Its head is searched for first, and where that is found the rest is compared.
func (l *stringLibrary) index(L *lua.LState, s, find string) int {
	if len(find) > len(s) {
		return -1
	}
	if len(s) <= searchBytes && len(find) <= headBytes {
		return strings.Index(s, find)
	}
	head := find[:min(len(find), headBytes)]
	for from := 0; from+len(find) <= len(s); {
		l.guard.poll(L)
		i := strings.Index(s[from:min(from+searchBytes+len(head)-1, len(s))], head)
		switch {
		case i < 0:
			from += searchBytes
		case strings.HasPrefix(s[from+i:], find):
			return from + i
		default:
			from += i + 1
		}
	}
	return -1
}
