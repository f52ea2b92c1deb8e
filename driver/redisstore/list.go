package redisstore

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/luastore/store"
)

// Bounds of one List. SCAN looks at about as many keys as COUNT says, or ten times as many positions where the hash table is nearly
// empty, and blocks the server meanwhile: some 0.3 ms for a thousand.
const (
	minCount = 16
	maxCount = 2_000
	maxLook  = 60_000 // keys to look at in one call, of the prefix or not
)

// cursorBase makes cursors short, and the numbers of SCAN, which mean nothing to anyone else, look like no count.
const cursorBase = 36

// List returns a page of keys by SCAN.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	return d.servers.list(ctx, prefix, cursor, limit)
}

// walk goes on at the position at of SCAN on one server, and returns the next one, 0 at the end. Keys are spread evenly over
// its positions, so that what was found so far tells how far to look for the rest: a page rarely holds many more than limit keys, and
// a small prefix takes few round trips.
func (d *Driver) walk(ctx context.Context, n *node, prefix string, at uint64, limit int) (keys []string, next uint64, err error) {
	pattern := escapeGlob(prefix) + "*"
	count := min(max(limit, minCount), maxCount)
	for looked := 0; ; {
		entry, err := d.scan(ctx, n, at, pattern, count)
		if err != nil {
			return nil, 0, d.readError(ctx, err)
		}
		for _, key := range entry.Elements {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		at = entry.Cursor
		looked += count
		if at == 0 || len(keys) >= limit || looked >= maxLook {
			return keys, at, nil
		}
		count = nextCount(limit, len(keys), looked, count)
	}
}

// nextCount is how far to look for the keys that are missing, going by what was found so far. A few may have been found by chance: it
// also expects the most that is likely, three standard deviations more, and then no more than twice limit in all. It goes on by an eighth
// at least: a cluster since Redis 7.4 keeps the keys of each slot together, so that those of one hash tag come all at once, and then none.
func nextCount(limit, found, looked, count int) int {
	if found == 0 {
		return min(2*count, maxCount)
	}
	likely, most := float64(found), float64(found)+3*math.Sqrt(float64(found))+3
	far := float64(looked) * min(float64(limit-found)/likely, float64(2*limit-found)/most)
	return min(max(int(far), looked/8, minCount), maxCount)
}

func (d *Driver) scan(ctx context.Context, n *node, at uint64, pattern string, count int) (rueidis.ScanEntry, error) {
	return n.read(ctx, func() rueidis.Completed {
		return d.build.Scan().Cursor(at).Match(pattern).Count(int64(count)).Type("string").Build()
	}).AsScanEntry()
}

// parseCursor takes only what List wrote. Another number is another position in the same database, under the same prefix.
func parseCursor(cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	at, err := strconv.ParseUint(cursor, cursorBase, 64)
	if err != nil || at == 0 || strconv.FormatUint(at, cursorBase) != cursor {
		return 0, invalid("invalid cursor: want the one that the page before returned")
	}
	return at, nil
}

// formatCursor is the reverse of parseCursor.
func formatCursor(at uint64) string {
	if at == 0 {
		return ""
	}
	return strconv.FormatUint(at, cursorBase)
}

// escapeGlob makes a pattern that matches prefix and nothing else.
func escapeGlob(prefix string) string {
	if !strings.ContainsAny(prefix, `*?[]\`) {
		return prefix
	}
	return globEscaper.Replace(prefix)
}

var globEscaper = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`)
