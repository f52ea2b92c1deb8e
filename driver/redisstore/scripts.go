package redisstore

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

// A script runs on the server, in one step. All have one key.
type script struct {
	source string
	sha1   string // the name by which Redis knows it
}

//go:embed entry.lua
var entrySource string

//go:embed incr.lua
var incrSource string

//go:embed persist.lua
var persistSource string

//go:embed swap.lua
var swapSource string

var (
	entryScript   = newScript(entrySource)
	incrScript    = newScript(incrSource)
	persistScript = newScript(persistSource)
	swapScript    = newScript(swapSource)
)

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source))
	return &script{source: source, sha1: hex.EncodeToString(sum[:])}
}

// run runs a script by its name and, where the server says that it does not know it and so did nothing, by its source.
func (d *Driver) run(ctx context.Context, s *script, key string, args ...string) rueidis.RedisResult {
	result := d.do(ctx, key, func() rueidis.Completed {
		return d.build.Evalsha().Sha1(s.sha1).Numkeys(1).Key(key).Arg(args...).Build()
	})
	if reply, ok := rueidis.IsRedisErr(result.Error()); ok && reply.IsNoScript() {
		return d.do(ctx, key, func() rueidis.Completed {
			return d.build.Eval().Script(s.source).Numkeys(1).Key(key).Arg(args...).Build()
		})
	}
	return result
}
