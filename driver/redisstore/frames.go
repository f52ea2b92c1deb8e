package redisstore

import (
	"bytes"
	"errors"
)

// Bounds on what a server may announce. The client allocates what a header announces before the bytes have come.
const (
	maxBulk     = 512 << 20 // bytes of one string: the longest that Redis keeps by default
	maxElements = 1 << 18   // elements of one array
	maxNesting  = 8         // arrays inside arrays
	maxLine     = 64 << 10  // bytes of an error or simple string
)

var errFrame = errors.New("not the Redis protocol")

// frames counts the whole messages of the Redis protocol in a stream that comes in pieces, and checks their form.
//
// It stands before the parser of the client, which takes the server at its word: a negative length, a reply that nobody
// asked for or deep nesting makes it panic on a goroutine of its own, which would end the process of the host.
type frames struct {
	body   int // bytes of a string that are still to come
	line   int // bytes of the present header so far; 0: the next byte begins one
	kind   byte
	length int
	minus  bool // the length is -1: the old form of nil
	cr     bool // the byte before was a carriage return
	depth  int
	left   [maxNesting]int // elements still to come, by depth

	pushes  bool // news may come between replies
	matched int  // bytes of newsHead so far
	news    bool // the present message is the rest of news, and counts as none
}

// newsHead begins the one kind of news that a near cache asks for. What follows is an array of keys, or nil. The client takes any other
// kind as the answer to a subscription, and panics where there was none.
const newsHead = ">2\r\n$10\r\ninvalidate\r\n"

// feed takes the next piece and returns how many messages it completes.
func (f *frames) feed(p []byte) (complete int, err error) {
	for len(p) > 0 {
		if f.body > 0 {
			n := min(f.body, len(p))
			p, f.body = p[n:], f.body-n
			if f.body == 0 {
				complete += f.done()
			}
			continue
		}
		if f.line == 0 && (f.matched > 0 || p[0] == '>' && f.mayBeNews()) {
			n := f.head(p)
			if n == 0 {
				return complete, errFrame
			}
			p = p[n:]
			continue
		}
		if f.line == 0 {
			f.kind, f.length, f.minus, f.cr = p[0], 0, false, false
			p, f.line = p[1:], 1
			continue
		}
		n, ended, err := f.header(p)
		if err != nil {
			return complete, err
		}
		p = p[n:]
		if !ended {
			continue
		}
		f.line = 0
		whole, err := f.begin()
		if err != nil {
			return complete, err
		}
		complete += whole
	}
	return complete, nil
}

// mayBeNews reports whether news may begin here. Before version 7 a server may put them into the middle of some answers, for none of
// which the driver asks.
func (f *frames) mayBeNews() bool { return f.pushes && !f.news && f.depth == 0 }

// head reads on in what begins news and returns how many bytes it took, 0 if this is something else.
func (f *frames) head(p []byte) int {
	n := min(len(p), len(newsHead)-f.matched)
	if string(p[:n]) != newsHead[f.matched:f.matched+n] {
		return 0
	}
	if f.matched += n; f.matched == len(newsHead) {
		f.matched, f.news = 0, true
	}
	return n
}

// header reads on in the line that begins a message and returns how many bytes it took.
func (f *frames) header(p []byte) (n int, ended bool, err error) {
	switch f.kind {
	case '$', '*', '%', '~', '=', '!':
		return f.number(p)
	case '+', '-', ':', ',', '(', '_', '#':
		n = bytes.IndexByte(p, '\n') + 1
		if ended = n > 0; !ended {
			n = len(p)
		}
		f.line += n
		if f.line > maxLine || ended && !f.lineFits() {
			return 0, false, errFrame
		}
		return n, ended, nil
	}
	return 0, false, errFrame // other pushes among them: the driver subscribes to nothing
}

// lineFits checks the kinds of which the client reads a fixed number of bytes, whatever the line.
func (f *frames) lineFits() bool {
	switch f.kind {
	case '_':
		return f.line == len("_\r\n")
	case '#':
		return f.line == len("#t\r\n")
	}
	return f.line >= len("+\r\n")
}

// number reads the length of a string or the count of an array.
func (f *frames) number(p []byte) (n int, ended bool, err error) {
	for i, c := range p {
		f.line++
		switch {
		case f.cr:
			if c != '\n' || f.line < len("$0\r\n") {
				return 0, false, errFrame
			}
			return i + 1, true, nil
		case c == '\r':
			f.cr = true
		case c == '-' && f.line == 2:
			f.minus = true
		case c >= '0' && c <= '9' && f.length <= maxBulk:
			f.length = f.length*10 + int(c-'0')
		default:
			return 0, false, errFrame
		}
	}
	return len(p), false, nil
}

// begin acts on a whole header and returns 1 if it completes a message.
func (f *frames) begin() (int, error) {
	n := f.length
	if f.news && f.depth == 0 && f.kind != '*' && f.kind != '_' {
		return 0, errFrame
	}
	switch f.kind {
	default:
		return f.done(), nil
	case '$', '=', '!':
		if f.minus && n == 1 {
			return f.done(), nil
		}
		if f.minus || n > maxBulk {
			return 0, errFrame
		}
		f.body = n + len("\r\n")
		return 0, nil
	case '*', '~', '%':
		if f.minus && n == 1 && f.kind != '%' {
			return f.done(), nil
		}
		if f.kind == '%' {
			n *= 2
		}
		if f.minus || n > maxElements || f.depth == maxNesting {
			return 0, errFrame
		}
		if n == 0 {
			return f.done(), nil
		}
		f.left[f.depth] = n
		f.depth++
		return 0, nil
	}
}

// done ends one element and the arrays that it completes. It returns 1 at the end of a whole message that is no news.
func (f *frames) done() int {
	for f.depth > 0 {
		if f.left[f.depth-1]--; f.left[f.depth-1] > 0 {
			return 0
		}
		f.depth--
	}
	if f.news {
		f.news = false
		return 0
	}
	return 1
}
