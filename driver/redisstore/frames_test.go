package redisstore

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFrames_CountsWholeMessagesHoweverTheyArrive(t *testing.T) {
	messages := []string{
		"+OK\r\n", "+\r\n", "-ERR no\r\n", ":1\r\n", ":-1\r\n", "$0\r\n\r\n", "$5\r\n\r\n$-1\r\n", "$-1\r\n", "*-1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n",
		"*0\r\n", "*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "%1\r\n+k\r\n*2\r\n_\r\n_\r\n", "~1\r\n+a\r\n", "=7\r\ntxt:abc\r\n", "!3\r\nERR\r\n",
		"*1\r\n*1\r\n*1\r\n*0\r\n", "$100\r\n" + strings.Repeat("\n", 100) + "\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		var stream []byte
		n := r.IntN(6)
		for range n {
			stream = append(stream, messages[r.IntN(len(messages))]...)
		}
		var f frames
		got := 0
		for rest := stream; len(rest) > 0; {
			cut := 1 + r.IntN(len(rest))
			complete, err := f.feed(rest[:cut])
			if err != nil {
				t.Fatalf("%q: %v", stream, err)
			}
			got, rest = got+complete, rest[cut:]
		}
		if got != n {
			t.Fatalf("%q: %d messages, want %d", stream, got, n)
		}
	}
}

// hostileReplies are what makes a parser panic, allocate or wait without end.
var hostileReplies = []string{
	"HTTP/1.1 400 Bad Request\r\n", "\x00\x00\x00", "\r\n", "$-2\r\n", "$-5\r\n", "$99999999999\r\n", "$9223372036854775808\r\n", "$\r\n", "$x\r\n", "$1x\r\n", "$1\n",
	"$1-\r\n", "$--1\r\n", "$?\r\n;1\r\na\r\n", "*-2\r\n", "*99999999999\r\n", "*262145\r\n", "%131073\r\n", "%-1\r\n", "*?\r\n", ">2\r\n+invalidate\r\n_\r\n",
	">3\r\n+subscribe\r\n+a\r\n:1\r\n", "|1\r\n+a\r\n+b\r\n", ".\r\n", ";1\r\n", "#true\r\n", "#\r\n", "_x\r\n", "+\n", strings.Repeat("*1\r\n", 10), "+" + strings.Repeat("x", maxLine+1),
	"=-1x\r\n", "!-3\r\n",
}

func TestFrames_RefusesWhatIsNoReply(t *testing.T) {
	for _, reply := range hostileReplies {
		for _, whole := range []bool{true, false} {
			var f frames
			var err error
			if whole {
				_, err = f.feed([]byte(reply))
			} else {
				for i := 0; i < len(reply) && err == nil; i++ {
					_, err = f.feed([]byte{reply[i]})
				}
			}
			if err == nil {
				t.Errorf("%.40q was taken", reply)
			}
		}
	}
}

func FuzzFrames(f *testing.F) {
	for _, seed := range hostileReplies {
		f.Add([]byte(seed), 3)
	}
	f.Add([]byte("*2\r\n$1\r\na\r\n:1\r\n+OK\r\n"), 5)
	f.Add([]byte(newsOfKey+"+OK\r\n"+newsOfAll), 20)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole, parts := frames{pushes: true}, frames{pushes: true}
		a, errA := whole.feed(stream)
		cut = max(0, min(cut, len(stream)))
		b, errB := parts.feed(stream[:cut])
		if errB == nil {
			var more int
			more, errB = parts.feed(stream[cut:])
			b += more
		}
		if (errA == nil) != (errB == nil) || errA == nil && (a != b || whole != parts) {
			t.Errorf("%q whole: %d, %v; cut at %d: %d, %v", stream, a, errA, cut, b, errB)
		}
		if a > bytes.Count(stream, []byte("\n")) {
			t.Errorf("%q: %d messages", stream, a)
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	stream := []byte(strings.Repeat("$57\r\n"+strings.Repeat("x", 57)+"\r\n", 100))
	var f frames
	for b.Loop() {
		f.feed(stream)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/reply")
}
