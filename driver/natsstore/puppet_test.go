package natsstore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A puppet is a NATS server that answers what a test wants.
type puppet struct {
	addr    string
	dials   atomic.Int64
	version atomic.Value // string; default 2.15.2
}

// A post is a message that came to a puppet.
type post struct{ subject, header, data string }

// Answers of a puppet that are no messages.
const (
	silence     = "\x00silence" // nothing comes
	hangUp      = "\x00hang up" // the connection is closed
	nobody      = "\x00nobody"  // no responders
	and         = "\x00and"     // between several messages
	afterOthers = "\x00after"   // before a message: it comes so late that those to later requests come first
)

// lateness is how late that is.
const lateness = 20 * time.Millisecond

// startPuppet runs a puppet. It finds a bucket that fits where answer returns "".
func startPuppet(t testing.TB, answer func(post) string) *puppet {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{addr: listener.Addr().String()}
	var running sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.dials.Add(1)
			stop := context.AfterFunc(t.Context(), func() { conn.Close() })
			running.Go(func() {
				defer stop()
				defer conn.Close()
				p.serve(conn, answer)
			})
		}
	})
	return p
}

// serve speaks the protocol of NATS as far as the driver does.
func (p *puppet) serve(conn net.Conn, answer func(post) string) {
	version, _ := p.version.Load().(string)
	fmt.Fprintf(conn, "INFO {\"server_id\":\"puppet\",\"version\":%q,\"proto\":1,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true}\r\n",
		orElse(version, "2.15.2"))
	in, sid := bufio.NewReader(conn), ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words := strings.Fields(line)
		switch words[0] {
		case "PING":
			fmt.Fprint(conn, "PONG\r\n")
		case "SUB":
			sid = words[len(words)-1]
		case "PUB", "HPUB":
			reply, came, err := readPost(in, words)
			if err != nil {
				return
			}
			switch text := orElse(answer(came), fitting(came)); text {
			case silence:
			case hangUp:
				return
			case nobody:
				fmt.Fprintf(conn, "HMSG %s %s 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", reply, sid)
			default:
				for message := range strings.SplitSeq(text, and) {
					text, isLate := strings.CutPrefix(message, afterOthers)
					message = fmt.Sprintf("MSG %s %s %d\r\n%s\r\n", reply, sid, len(text), text)
					if isLate {
						time.AfterFunc(lateness, func() { fmt.Fprint(conn, message) })
						continue
					}
					fmt.Fprint(conn, message)
				}
			}
		}
	}
}

func readPost(in *bufio.Reader, words []string) (reply string, came post, err error) {
	total, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return "", came, err
	}
	body := make([]byte, total+2)
	if _, err := io.ReadFull(in, body); err != nil {
		return "", came, err
	}
	split := 0
	if words[0] == "HPUB" {
		split, err = strconv.Atoi(words[len(words)-2])
	}
	return words[2], post{words[1], string(body[:split]), string(body[split:total])}, err
}

// is reports whether a message is a request of the API, such as STREAM.MSG.GET.
func (p post) is(request string) bool { return strings.HasPrefix(p.subject, "$JS.API."+request+".") }

// fitting answers as a server does that has an empty bucket and stores what it gets.
func fitting(p post) string {
	switch {
	case p.is("STREAM.INFO"):
		return infoOf(nil)
	case p.is("STREAM.MSG.GET"):
		return `{"error":{"code":404,"err_code":10037,"description":"no message found"}}`
	case strings.HasPrefix(p.subject, "$KV."):
		return `{"stream":"KV_b","seq":7}`
	}
	return `{"error":{"code":400,"err_code":10003,"description":"bad request"}}`
}

// infoOf tells of a bucket that fits, but for what change changes.
func infoOf(change func(c *streamConfig)) string { return info(change, time.Now()) }

// infoAt tells of a bucket that fits, by a clock that shows now.
func infoAt(now time.Time) string { return info(nil, now) }

func info(change func(c *streamConfig), now time.Time) string {
	d := newDriver((&Options{Bucket: "b"}).target())
	config := d.newBucket()
	if change != nil {
		change(&config)
	}
	text, err := json.Marshal(map[string]any{"config": config, "state": map[string]any{}, "ts": now})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// messageOf is the answer to STREAM.MSG.GET that holds a message, with headers if there are any.
func messageOf(subject string, sequence int, header, data string) string {
	fields := map[string]any{"subject": subject, "seq": sequence, "data": []byte(data)}
	if header != "" {
		fields["hdrs"] = []byte("NATS/1.0\r\n" + header + "\r\n\r\n")
	}
	text, err := json.Marshal(map[string]any{"message": fields})
	if err != nil {
		panic(err)
	}
	return string(text)
}
