package faulttest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luastore/store"
)

// leastPaths is how many ways to fail [Canary] must have seen.
const leastPaths = 50

// openTimeout bounds each attempt to open a driver that is to fail.
const openTimeout = 500 * time.Millisecond

// A Secret is a driver that knows a password. O is what its ParseURL returns.
type Secret[O any] struct {
	// URL is that of a server that is there, with its password. Required.
	URL string
	// TLSURL is URL, but asks for TLS, which the server does not speak. Required.
	TLSURL   string
	ParseURL func(raw string) (O, error)
	Opener   func(o O) store.Opener
	// Kill kills the server. It is called in the end. Required.
	Kill func()
}

// Canary makes a driver fail in many ways, prints all that it has to do with in any way, and fails the test if the password of URL
// appears: whole, half, encoded or reversed. It returns how many ways there were, and fails if they are less than fifty.
func Canary[O any](t *testing.T, s Secret[O]) int {
	t.Helper()
	c := newCanary(t, s)
	logs := c.listen(t)
	c.shapes(t)
	c.prints(t)
	c.openings(t)
	c.calls(t)
	s.Kill()
	c.open("a killed server", s.URL)
	c.see("logs", logs())
	if c.paths < leastPaths {
		t.Errorf("only %d ways to fail, want at least %d", c.paths, leastPaths)
	}
	t.Logf("the password appears in none of %d ways to fail", c.paths)
	return c.paths
}

// A canary looks for a password in texts.
type canary[O any] struct {
	Secret[O]
	t        *testing.T
	parsed   *url.URL
	password string
	forms    []form // of the password
	paths    int
}

func newCanary[O any](t *testing.T, s Secret[O]) *canary[O] {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := &canary[O]{Secret: s, t: t, parsed: u}
	c.password, _ = u.User.Password()
	if len(c.password) < 16 {
		t.Fatalf("a password of %d bytes may be anywhere by chance: take one of at least 16", len(c.password))
	}
	c.forms = forms(c.password)
	return c
}

// A form is how a password may appear in a text.
type form struct{ name, text string }

// forms returns the forms of a password, the worst first.
func forms(password string) []form {
	reversed := []byte(password)
	slices.Reverse(reversed)
	all := []form{
		{"as it is", password},
		{"URL-encoded", url.QueryEscape(password)},
		{"its first half", password[:len(password)/2]},
		{"its last half", password[len(password)/2:]},
		{"reversed", string(reversed)},
		{"in hex", hex.EncodeToString([]byte(password))},
		{"in hex", strings.ToUpper(hex.EncodeToString([]byte(password)))},
	}
	// Three bytes become four characters: so what is before the password decides on how it looks.
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + password))
		all = append(all, form{"in base64", text[4 : len(text)-4]})
	}
	return all
}

// see fails the test if the password is in a text.
func (c *canary[O]) see(path, text string) {
	c.t.Helper()
	for _, form := range c.forms {
		if strings.Contains(text, form.text) {
			c.t.Errorf("%s: the password is there, %s: %s", path, form.name, text)
			return
		}
	}
}

// failed looks at an error, and at those that it wraps. No error is no way to fail.
func (c *canary[O]) failed(path string, err error) {
	c.t.Helper()
	if err == nil {
		return
	}
	c.paths++
	for ; err != nil; err = errors.Unwrap(err) {
		c.see(path, err.Error())
		c.print(path, err)
	}
}

// print looks at a value as package fmt, JSON and logs show it.
func (c *canary[O]) print(path string, v any) {
	c.t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		c.see(path+" by "+verb, fmt.Sprintf(verb, v))
	}
	if text, err := json.Marshal(v); err == nil {
		c.see(path+" in JSON", string(text))
	}
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	c.see(path+" by slog", out.String())
}

// listen collects what is logged until the test ends.
func (c *canary[O]) listen(t *testing.T) (logged func() string) {
	t.Helper()
	out := &buffer{}
	previous := slog.Default()
	flags, writer := log.Flags(), log.Writer()
	slog.SetDefault(slog.New(slog.NewTextHandler(out, nil)))
	log.SetOutput(out)
	t.Cleanup(func() {
		slog.SetDefault(previous)
		log.SetFlags(flags)
		log.SetOutput(writer)
	})
	return out.String
}

// A buffer is a bytes.Buffer for many goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// shapes are URLs that went wrong: S the scheme, U the user, P the password, A and B its halves, H host:port, N the host alone, D
// the database. Special characters in a password that were not encoded put a half of it where something else belongs.
var shapes = []string{
	"S://U:P@H:bad/D", "S://U:P@N:99999/D", "S://U:P@N:P/D", "S://U:P@[::1/D", "S://U:P@%zz/D", "S://U:P%zz@H/D", "S://U:P@H/%zz",
	"S://U:P@H/D#f", "S://U:P@H/D/more", "S://U:P@H", "S://U:P@", "S://U:P@/D", "S://U:P@:P/D", "S://P@H/D", "S://:P@H/D",
	"S:P@H", "S:U:P@H/D", "S:/U:P@H/D", "//U:P@H/D", "U:P@H/D", "x://U:P@H/D", "http://U:P@H/D", " S://U:P@H/D",
	"S://U:A/B@H/D", "S://U:A?B@H/D", "S://U:A#B@H/D", "S://U:A@B@H/D", "S://U:A B@H/D", "S://U:A\x00B@H/D", "S://U:A%B@H/D",
	"S://U:A:B@H/D", "S://U:A&B@H/D", "S://U:A?B=x@H/D", "S://U:A?x=B@H/D", "S://U:A;B@H/D", "S://U:A[B@H/D", "S://U:A\\B@H/D", "S://A/B@H/D",
	"S://U:P@H/D?nosuch=1", "S://U:P@H/D?nosuch=P", "S://U:P@H/D?dial_timeout=P", "S://U:P@H/D?dial_timeout=", "S://U:P@H/D?a;b",
	"S://U:P@H/D?dial_timeout=1s&dial_timeout=2s", "S://U:P@H/D?dial_timeout=-1s", "S://H/D?password=P", "S://U@H/D?password=P&password=P",
}

// shapes parses URLs that went wrong, and opens what is accepted.
func (c *canary[O]) shapes(t *testing.T) {
	t.Helper()
	half := len(c.password) / 2
	fill := strings.NewReplacer("S", c.parsed.Scheme, "U", c.parsed.User.Username(), "P", c.password, "A", c.password[:half], "B", c.password[half:],
		"H", c.parsed.Host, "N", c.parsed.Hostname(), "D", strings.TrimPrefix(c.parsed.Path, "/"))
	for _, shape := range shapes {
		c.open(fmt.Sprintf("%q", shape), fill.Replace(shape))
	}
}

// prints prints what holds the password.
func (c *canary[O]) prints(t *testing.T) {
	t.Helper()
	o, err := c.ParseURL(c.URL)
	if err != nil {
		t.Fatal("the URL is refused; its text is not shown because it may hold the password")
	}
	opener := c.Opener(o)
	for name, v := range map[string]any{
		"options": o, "options in a struct": struct{ O O }{o}, "options in a slice": []O{o}, "options in a map": map[string]O{"x": o},
		"opener": opener, "connection": opener.Connection, "definition": store.Definition{Open: opener}, "pointer to a definition": &store.Definition{Open: opener},
		"panic": panicked(o),
	} {
		c.paths++
		c.print(name, v)
	}
}

// panicked returns what a recovered panic prints.
func panicked(v any) (text string) {
	defer func() { text = fmt.Sprintf("panic: %v", recover()) }()
	panic(v)
}

// open opens a driver that is to fail. One that does not is closed.
func (c *canary[O]) open(path, raw string) {
	c.t.Helper()
	o, err := c.ParseURL(raw)
	if err != nil {
		c.failed("parse "+path, err)
		return
	}
	c.print("options of "+path, o)
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	d, err := c.Opener(o).Open(ctx)
	c.failed("open "+path, err)
	if err != nil {
		return
	}
	defer d.Close()
	c.print("info of "+path, d.Info())
	_, err = d.Has(ctx, "key")
	c.failed("use "+path, err)
}
