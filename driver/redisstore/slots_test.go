package redisstore

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/redistest"
)

func TestSlotOf_KnownKeys(t *testing.T) {
	for key, want := range map[string]int{
		"123456789": 0x31c3, "foo": 12182, "": 0, "{foo}": 12182, "a{foo}b": 12182, "{foo}{bar}": 12182, "x{{foo": slotOf("x{{foo"),
		"{{foo}}": slotOf("{foo"), "a{}foo": crcOf("a{}foo"), "a{foo": crcOf("a{foo"), "{": crcOf("{"), "{}": crcOf("{}"), "}{": crcOf("}{"), "a}foo{b}": slotOf("b"),
	} {
		if got := slotOf(key); got != want {
			t.Errorf("%q: slot %d, want %d", key, got, want)
		}
	}
}

// crcOf is the slot of a key without a tag, computed bit by bit.
func crcOf(key string) int {
	crc := 0
	for _, b := range []byte(key) {
		crc ^= int(b) << 8
		for range 8 {
			if crc <<= 1; crc&0x10000 != 0 {
				crc ^= 0x11021
			}
		}
	}
	return crc % slotCount
}

func TestSlotOf_IsThatOfTheServer(t *testing.T) {
	client := redistest.SharedCluster(t).Servers[0].Client(t)
	r := rand.New(rand.NewPCG(1, 2))
	var keys []string
	var commands []rueidis.Completed
	for range 2000 {
		key := randomOf(r, "{}ab\x00é:", 9)
		keys, commands = append(keys, key), append(commands, client.B().ClusterKeyslot().Key(key).Build())
	}
	for i, reply := range client.DoMulti(t.Context(), commands...) {
		if want, err := reply.ToInt64(); err != nil || int(want) != slotOf(keys[i]) {
			t.Fatalf("%q: slot %d, the server says %d, %v", keys[i], slotOf(keys[i]), want, err)
		}
	}
}

// bulk is a string reply, or nil.
func bulk(text string) string {
	if text == "nil" {
		return "_\r\n"
	}
	return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
}

// slotsReply is an entry of a reply to CLUSTER SLOTS: from first to last, and servers as host and port in turns.
func slotsReply(first, last int, servers ...string) string {
	text := fmt.Sprintf("*%d\r\n:%d\r\n:%d\r\n", 2+len(servers)/2, first, last)
	for pair := range slices.Chunk(servers, 2) {
		text += "*3\r\n" + bulk(pair[0]) + ":" + pair[1] + "\r\n" + bulk("id")
	}
	return text
}

// parsedBy parses what a server answers.
func parsedBy[T any](t *testing.T, text string, parse func(m rueidis.RedisMessage) (T, error)) (T, error) {
	t.Helper()
	p := startPuppet(t, nil, always(text))
	d := openURL(t, "redis://"+p.addr)
	m, err := d.do(testContext(t), "", func() rueidis.Completed { return d.build.ClusterSlots().Build() }).ToMessage()
	if err != nil {
		var none T
		return none, err
	}
	return parse(m)
}

func TestParseSlots(t *testing.T) {
	const asked = "9.9.9.9:7000"
	for text, want := range map[string][]slotRange{
		"*0\r\n": {},
		"*1\r\n" + slotsReply(0, 16383, "1.1.1.1", "1"): {{0, 16383, "1.1.1.1:1", nil}},
		"*2\r\n" + slotsReply(0, 1, "1.1.1.1", "1", "1.1.1.2", "2") + slotsReply(5, 5, "h.example", "65535"): {
			{0, 1, "1.1.1.1:1", []string{"1.1.1.2:2"}}, {5, 5, "h.example:65535", nil},
		},
		"*1\r\n" + slotsReply(0, 0, "nil", "3"):                            {{0, 0, "9.9.9.9:3", nil}},
		"*1\r\n" + slotsReply(0, 0, "", "3"):                               {{0, 0, "9.9.9.9:3", nil}},
		"*1\r\n" + slotsReply(0, 0, "?", "3"):                              {{0, 0, "9.9.9.9:3", nil}},
		"*1\r\n" + slotsReply(0, 0, "2001:db8::1", "3"):                    {{0, 0, "[2001:db8::1]:3", nil}},
		"*1\r\n" + slotsReply(0, 0, "h", "1", "x y", "2", "h", "0"):        {{0, 0, "h:1", nil}}, // replicas that are none are left out
		"*1\r\n*3\r\n:0\r\n:0\r\n*4\r\n$1\r\nh\r\n:1\r\n$1\r\nx\r\n*0\r\n": {{0, 0, "h:1", nil}},
		"*1\r\n*4\r\n:0\r\n:0\r\n*2\r\n$1\r\nh\r\n:1\r\n$7\r\nreplica\r\n": {{0, 0, "h:1", nil}},
		"*1\r\n*4\r\n:0\r\n:0\r\n*2\r\n$1\r\nh\r\n:1\r\n*1\r\n$1\r\nx\r\n": {{0, 0, "h:1", nil}},
		"*2\r\n" + slotsReply(8, 9, "h", "1") + slotsReply(0, 7, "h", "1"): {{8, 9, "h:1", nil}, {0, 7, "h:1", nil}},
	} {
		got, err := parsedBy(t, text, func(m rueidis.RedisMessage) ([]slotRange, error) { return parseSlots(m, asked) })
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestParseSlots_WhatIsNone_IsAnError(t *testing.T) {
	for _, text := range []string{
		"+OK\r\n", ":1\r\n", "_\r\n", "$1\r\nv\r\n", "%1\r\n+a\r\n+b\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "*1\r\n*2\r\n:0\r\n:1\r\n", "*1\r\n_\r\n",
		"*1\r\n*3\r\n:0\r\n:1\r\n:2\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n*0\r\n", "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n", "*1\r\n*3\r\n$1\r\n0\r\n_\r\n*2\r\n$1\r\nh\r\n:1\r\n",
		"*1\r\n*3\r\n:0\r\n:0\r\n*2\r\n*0\r\n:1\r\n", "*1\r\n*3\r\n:0\r\n:0\r\n*2\r\n$1\r\nh\r\n$1\r\n1\r\n",
		"*1\r\n" + slotsReply(-1, 0, "h", "1"), "*1\r\n" + slotsReply(0, 16384, "h", "1"), "*1\r\n" + slotsReply(2, 1, "h", "1"),
		"*1\r\n" + slotsReply(0, 9223372036854775807, "h", "1"),
		"*1\r\n" + slotsReply(0, 0, "h", "0"), "*1\r\n" + slotsReply(0, 0, "h", "65536"), "*1\r\n" + slotsReply(0, 0, "h", "-1"),
		"*1\r\n" + slotsReply(0, 0, "h,i", "1"), "*1\r\n" + slotsReply(0, 0, "/tmp/socket", "1"), "*1\r\n" + slotsReply(0, 0, "a:b", "1"),
		"*1\r\n" + slotsReply(0, 0, "u:p@h", "1"), "*1\r\n" + slotsReply(0, 0, "a\nb", "1"), "*1\r\n" + slotsReply(0, 0, "[::1", "1"), "*1\r\n" + slotsReply(0, 0, "\xff", "1"),
		"*2\r\n" + slotsReply(0, 5, "h", "1") + slotsReply(5, 9, "i", "1"),
		"*100000\r\n" + strings.Repeat(slotsReply(0, 16383, "h", "1"), 100_000), // what would take a billion steps
	} {
		got, err := parsedBy(t, text, func(m rueidis.RedisMessage) ([]slotRange, error) { return parseSlots(m, "9.9.9.9:7000") })
		if err == nil {
			t.Errorf("%.80q: %v, want an error", text, got)
		}
	}
}

func TestWhole(t *testing.T) {
	for address, want := range map[string]string{
		"h:1": "h:1", "1.2.3.4:6379": "1.2.3.4:6379", ":7": "[::9]:7", "?:7": "[::9]:7", "::1:6379": "[::1]:6379", "[::1]:6379": "[::1]:6379",
		"2001:db8::1:6379": "[2001:db8::1]:6379", "fe80::1%eth0:1": "[fe80::1%eth0]:1",
		"": "", "h": "", "h:": "", ":": "", "h:0": "", "h:65536": "", "h:-1": "", "h:+1": "", "h:1x": "", "/h:1": "", "a,b:1": "", "a b:1": "", "u@h:1": "",
		"a:b:1": "", "[h:1": "", "h]:1": "", "é:1": "", "h\r\n:1": "", "#:1": "", "h:1,i:2": "",
	} {
		if got, ok := whole(address, "[::9]:1"); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", address, got, ok, want)
		}
	}
	if got, ok := whole(":7", "nonsense"); ok {
		t.Errorf("a port asked of nonsense: %q", got)
	}
}

const nodesText = `07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:30004@31004,hostname4 slave e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 0 1426238317239 4 connected
67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922
aaaa :30007@31007 master - 0 1426238316232 7 connected
bbbb ::1:30008@31008,,shard-id=69bc master - 0 1426238316232 7 connected
cccc 127.0.0.1:30009@31009 master,fail - 1426238316232 1426238316232 7 disconnected
dddd :0@0 master,noaddr - 1426238316232 1426238316232 7 disconnected
eeee 127.0.0.1:30010@31010,host5,shard-id=69bc master,fail? - 0 0 7 connected
e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 127.0.0.1:30001@31001,hostname1 myself,master - 0 0 1 connected 0-5460 [93-<-292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f]
`

func TestParseNodes(t *testing.T) {
	want := self{id: "e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca", epoch: "1", slots: "0-5460 [93-<-292f8b365bb7edb5e285caf0b7e6ddc7265d2f4f]", primary: true, moving: true}
	const second = "67ed2db8d677e59ec4a4cefb06858cf2a1a89fa1"
	for asked, others := range map[string]map[string]string{
		"9.9.9.9:1":       {second: "127.0.0.1:30002", "aaaa": "9.9.9.9:30007", "bbbb": "[::1]:30008", "eeee": "127.0.0.1:30010"},
		"redis.example:1": {second: "127.0.0.1:30002", "aaaa": "redis.example:30007", "bbbb": "[::1]:30008", "eeee": "host5:30010"},
	} {
		for _, text := range []string{nodesText, "txt:" + nodesText} {
			is, primaries, err := parseNodes(text, asked)
			if err != nil || is != want || !maps.Equal(primaries, others) {
				t.Errorf("asked at %s: %+v, %q, %v", asked, is, primaries, err)
			}
		}
	}
	is, _, err := parseNodes("txt:x h:1@2 myself,slave y 0 0 3 connected\n", "h:1")
	if err != nil || is != (self{id: "x", epoch: "3"}) {
		t.Errorf("a replica: %+v, %v", is, err)
	}
	for _, text := range []string{"", "\n", "x\n", "a b c d e f g\n", "a h:1@2 master - 0 0 1 connected\n", strings.Repeat("x ", 8), "\x00"} {
		if is, _, err := parseNodes(text, "h:1"); err == nil {
			t.Errorf("%q: %+v, want an error", text, is)
		}
	}
}

func TestTour_IsWhatItsCursorSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := tour{bySlot: true, slot: r.IntN(slotCount)}
		if r.IntN(2) == 0 {
			want = tour{shape: r.Uint64() >> r.IntN(64), server: int(r.Int32() >> r.IntN(32)), at: r.Uint64() >> r.IntN(64)}
		}
		if got, err := parseTour(want.String()); err != nil || got != want {
			t.Fatalf("%+v as %q is %+v, %v", want, want.String(), got, err)
		}
	}
}

func FuzzParseTour(f *testing.F) {
	for _, seed := range []string{
		"", "s", "k", "k0", "kcn3", "kcn4", "k-1", "k+1", "k01", "K1", "s1.2.3", "1.2.3", "ss1.2.3", "s1.2", "s1.2.3.4", "s.1.2", "s-1.2.3", "s1.zzzzzzzz.1", "s1.2.zzzzzzzzzzzzzzzz",
		"k" + strings.Repeat("9", 1<<10), "s" + strings.Repeat("1.", 1<<10), "s1.2.3\x00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		got, err := parseTour(cursor)
		switch {
		case err != nil && store.Kind(err) != "invalid":
			t.Errorf("%q: %v", cursor, err)
		case err == nil && (got.String() != cursor || got.slot < 0 || got.slot >= slotCount || got.server < 0):
			t.Errorf("%q is %+v", cursor, got)
		}
	})
}
