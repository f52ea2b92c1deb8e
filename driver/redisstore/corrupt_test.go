package redisstore_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"
	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/redisstore"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/storelua"
)

// hostile are values that others could have written. The empty answer stands for a value or corrupt, as may be.
func hostile() map[string]struct{ stored, answer string } {
	random := make([]byte, 8192)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	return map[string]struct{ stored, answer string }{
		"an array of 2^32-1":            {"\xdd\xff\xff\xff\xff", "corrupt"},
		"a million arrays":              {strings.Repeat("\x91", 1_000_000), "corrupt"},
		"tables with a tail cut off":    {"\xdd\x00\x00\xc3\x50" + strings.Repeat("\x81\xa1k\x01", 49_999) + "\x81\xa1", "corrupt"},
		"a key far out":                 {"\x81\xce\x00\x98\x96\x80\xc3", ""},
		"random kilobytes":              {string(random), ""},
		"nothing":                       {"", "corrupt"},
		"a megabyte more than is taken": {strings.Repeat("\xc3", 2<<20), "corrupt"},
	}
}

func TestHostileBytes_InRedis_AnswerSoonAndCheaply(t *testing.T) {
	server := redistest.Shared(t)
	o, err := redisstore.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	reg := store.New(nil)
	defer reg.Close(context.Background())
	if err := reg.Define("cache", store.Definition{Open: redisstore.Opener(o)}); err != nil {
		t.Fatal(err)
	}
	L := lua.NewState()
	defer L.Close()
	storelua.Preload(L)
	err = reg.Do(context.Background(), func(ctx context.Context) error {
		L.SetContext(ctx)
		if err := L.DoString(`s = require("store").get("cache")`); err != nil {
			return err
		}
		for name, h := range hostile() {
			t.Run(name, func(t *testing.T) {
				raw := server.Client(t)
				if err := raw.Do(ctx, raw.B().Set().Key("k:1").Value(rueidis.BinaryString([]byte(h.stored))).Build()).Error(); err != nil {
					t.Fatal(err)
				}
				boundtest.Cheap(t, 50*time.Millisecond, 16<<20, func() {
					if err := L.DoString(`value, message, kind = s:get("k:1")`); err != nil {
						t.Fatal(err)
					}
				})
				if kind := L.GetGlobal("kind").String(); kind != "corrupt" && (h.answer != "" || kind != "nil") {
					t.Errorf("%v, %v, %v", L.GetGlobal("value"), L.GetGlobal("message"), kind)
				}
				if err := L.DoString(`assert(s:delete("k:1")); assert(s:set("k:1", 1)); assert(s:get("k:1") == 1)`); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
