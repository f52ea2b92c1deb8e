package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// Types of PostgreSQL, by their numbers in its catalogue.
const (
	bytea      = 17
	bytea1     = 1001 // bytea[]
	bigint     = 20
	numberSize = 9 // the longest stored form of a number
)

// A statement is one text with parameters, which each connection prepares when it first uses it.
type statement struct {
	name  string
	sql   string
	types []uint32
}

// The clock of the server, in microseconds since the Unix epoch, as of two moments.
//
// A statement that only reads judges by its begin, before it sees the table, so that what it sees was live then. That is the begin
// of its transaction, which is nothing but this statement: what PostgreSQL calls the begin of a statement is when it runs it, after
// it has chosen what the statement sees. One that writes
// must judge while it holds the lock of the row, as it may have waited for it: by the time at that point of it, and nowhere
// before that point. PostgreSQL evaluates the conditions of ON CONFLICT DO UPDATE and what RETURNING returns while it holds the
// lock; those of the WHERE of an UPDATE or DELETE it does before, and not again after a wait for one who changed nothing.
const (
	begun = `(extract(epoch FROM transaction_timestamp()) * 1000000)::bigint`
	clock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// statements are what a driver asks its server.
type statements struct {
	get, entry, ttl, getMany, list          *statement
	set, setKeep, setMany                   *statement
	add, swap, drop, touch, delete, deleteN *statement
	begin, lock, bump, commit, rollback     *statement
	sweep                                   *statement
}

// newStatements returns the statements for one table. A value longer than most is not fetched.
//
// Swap and touch change only a row that is there, and are inserts all the same, for what ON CONFLICT evaluates under the lock
// (see above). The row that they would insert is the one they find; where someone deletes it just then, what they insert has long
// expired: nobody sees it and the next sweep removes it.
//
// Delete and drop answer NULL where the row that they saw was gone when they came to it. Someone else may have replaced it, by a
// DELETE and an INSERT in one transaction, so that there always was one: they are to be asked again.
func newStatements(name string, most int) *statements {
	text := strings.NewReplacer(
		"{table}", quote(name),
		"{value}", fmt.Sprintf("CASE WHEN octet_length(value) <= %d THEN value END", most),
		"{number}", fmt.Sprintf("CASE WHEN octet_length(value) <= %d THEN value END", numberSize),
		"{visible}", "(expires IS NULL OR expires > "+begun+")",
		"{live}", "(e.expires IS NULL OR e.expires > "+clock+")",
		"{begun}", begun,
		"{clock}", clock,
		"{sweep}", fmt.Sprint(table.SweepRows),
	)
	prepare := func(name, sql string, types ...uint32) *statement {
		return &statement{name: "luastore_" + name, sql: text.Replace(sql), types: types}
	}
	return &statements{
		get:   prepare("get", `SELECT {value} FROM {table} WHERE key = $1 AND {visible}`, bytea),
		entry: prepare("entry", `SELECT {value}, expires - {begun} FROM {table} WHERE key = $1 AND {visible}`, bytea),
		ttl:   prepare("ttl", `SELECT expires - {begun} FROM {table} WHERE key = $1 AND {visible}`, bytea),
		getMany: prepare("get_many", `SELECT key, {value} FROM {table} WHERE key = ANY($1) AND {visible}`,
			bytea1),
		list: prepare("list", `SELECT key, {visible} FROM
			(SELECT key, expires FROM {table} WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3) page ORDER BY key`,
			bytea, bytea, bigint),
		set: prepare("set", `INSERT INTO {table} AS e (key, value, expires) VALUES ($1, $2, {clock} + $3)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = {clock} + $3`,
			bytea, bytea, bigint),
		setKeep: prepare("set_keep", `INSERT INTO {table} AS e (key, value) VALUES ($1, $2)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = CASE WHEN e.expires > {clock} THEN e.expires END`,
			bytea, bytea),
		setMany: prepare("set_many", `INSERT INTO {table} AS e (key, value, expires)
			SELECT u.k, u.v, {clock} + $3 FROM unnest($1::bytea[], $2::bytea[]) AS u (k, v)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = {clock} + $3`,
			bytea1, bytea1, bigint),
		add: prepare("add", `INSERT INTO {table} AS e (key, value, expires) SELECT $1, $2, {clock} + $3
			WHERE NOT EXISTS (SELECT FROM {table} e WHERE key = $1 AND {live})
			ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = {clock} + $3 WHERE e.expires <= {clock}`,
			bytea, bytea, bigint),
		swap: prepare("swap", `INSERT INTO {table} AS e (key, value, expires) SELECT key, '', 0 FROM {table} WHERE key = $1 AND value = $2
			ON CONFLICT (key) DO UPDATE SET value = $3, expires = CASE $4 WHEN -1 THEN e.expires ELSE {clock} + $4 END
			WHERE e.value = $2 AND {live}
			RETURNING e.expires IS DISTINCT FROM 0`,
			bytea, bytea, bytea, bigint),
		drop: prepare("drop", `WITH gone AS (DELETE FROM {table} AS e WHERE key = $1 AND value = $2 RETURNING {live} AS live)
			SELECT live FROM gone UNION ALL SELECT NULL FROM {table} WHERE key = $1 AND value = $2 AND NOT EXISTS (SELECT FROM gone)`,
			bytea, bytea),
		touch: prepare("touch", `INSERT INTO {table} AS e (key, value, expires) SELECT key, '', 0 FROM {table} WHERE key = $1
			ON CONFLICT (key) DO UPDATE SET expires = {clock} + $2
			WHERE {live}
			RETURNING e.expires IS DISTINCT FROM 0`,
			bytea, bigint),
		delete: prepare("delete", `WITH gone AS (DELETE FROM {table} AS e WHERE key = $1 RETURNING {live} AS live)
			SELECT live FROM gone UNION ALL SELECT NULL FROM {table} WHERE key = $1 AND NOT EXISTS (SELECT FROM gone)`,
			bytea),
		deleteN: prepare("delete_many", `WITH locked AS MATERIALIZED (SELECT key FROM {table} WHERE key = ANY($1) ORDER BY key FOR UPDATE)
			DELETE FROM {table} AS e USING locked WHERE e.key = locked.key RETURNING {live}`,
			bytea1),
		begin: prepare("begin", `BEGIN ISOLATION LEVEL READ COMMITTED`),
		lock: prepare("lock", `SELECT e.number, {live} FROM
			(SELECT {number} AS number, expires FROM {table} WHERE key = $1 FOR UPDATE) e`,
			bytea),
		bump:     prepare("bump", `UPDATE {table} SET value = $2 WHERE key = $1`, bytea, bytea),
		commit:   prepare("commit", `COMMIT`),
		rollback: prepare("rollback", `ROLLBACK`),
		sweep: prepare("sweep", `DELETE FROM {table} WHERE expires <= {begun} AND key = ANY (ARRAY(
			SELECT key FROM {table} WHERE expires <= {begun} ORDER BY expires LIMIT {sweep} FOR UPDATE SKIP LOCKED))`),
	}
}

// quote makes a name of an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// lifetime is a ttl as the statements take it: microseconds, in whole milliseconds, rounded up; NULL for never.
func lifetime(ttl time.Duration) []byte {
	if ttl <= 0 {
		return nil
	}
	ms := (ttl + time.Millisecond - 1) / time.Millisecond
	return int8Bytes(int64(ms) * 1000)
}

// lifetimeOrKeep is lifetime for statements that take -1 for the present expiry.
func lifetimeOrKeep(ttl time.Duration) []byte {
	if ttl == store.KeepTTL {
		return int8Bytes(-1)
	}
	return lifetime(ttl)
}

// int8Bytes is a bigint in the binary format.
func int8Bytes(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// byteaArray is a bytea[] in the binary format, of n elements.
func byteaArray(n int, element func(i int) []byte) []byte {
	size := 20
	for i := range n {
		size += 4 + len(element(i))
	}
	b := make([]byte, 0, size)
	for _, header := range []uint32{1, 0, bytea, uint32(n), 1} { // dimensions, no NULLs, type, length, first index
		b = binary.BigEndian.AppendUint32(b, header)
	}
	for i := range n {
		b = binary.BigEndian.AppendUint32(b, uint32(len(element(i))))
		b = append(b, element(i)...)
	}
	return b
}
