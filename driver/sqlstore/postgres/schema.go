package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/luastore/store"
)

// ddl makes the table and the index that the driver needs. Values are stored as they are: they are small, or hard to compress.
func ddl(name string) string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %[1]s (key bytea PRIMARY KEY, value bytea NOT NULL, expires bigint); "+
		"CREATE INDEX IF NOT EXISTS %[2]s ON %[1]s (expires) WHERE expires IS NOT NULL", quote(name), quote(name+"_expires"))
}

// describe asks what there is: one row, of NULLs where there is no table.
const describe = `
SELECT
	c.relkind::text,
	c.relpersistence::text,
	(SELECT string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' ORDER BY attname) FROM pg_attribute
		WHERE attrelid = c.oid AND attname IN ('key', 'value', 'expires') AND NOT attisdropped),
	(SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
		WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('key', 'value') AND attnotnull AND NOT atthasdef AND attidentity = ''),
	EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attname = 'key')::text,
	EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = c.oid AND i.indisvalid AND a.attname = 'expires')::text,
	current_setting('fsync'),
	current_setting('synchronous_commit'),
	pg_is_in_recovery()::text
FROM (SELECT) one LEFT JOIN pg_class c ON c.oid = to_regclass(%s)`

// columns is how describe shows those of a table that the driver can use.
const columns = "expires bigint, key bytea, value bytea"

// mostCreations bounds how often the table is created: two processes that do it at once may fail each other.
const mostCreations = 10

// prepareTable creates the table where it may, checks it, and states in Info what the server promises.
func (d *Driver) prepareTable(ctx context.Context) error {
	for creations := 0; ; creations++ {
		found, err := d.describe(ctx)
		if err != nil {
			return err
		}
		missing, err := found.check(d.target.Table)
		switch {
		case err != nil:
			return err
		case missing == "":
			d.info = found.info(d.target.MaxValueBytes)
			return nil
		case d.target.NoCreate:
			return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s has %s, and create is false; create it with: %s", d.target.Address, missing, ddl(d.target.Table))
		case found.standby:
			return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s has %s and is a standby: name the primary", d.target.Address, missing)
		case creations == mostCreations:
			return store.Errorf(store.ErrUnavailable, "store unavailable: PostgreSQL at %s still has %s after it was created: %s", d.target.Address, missing, ddl(d.target.Table))
		}
		if err := d.create(ctx); err != nil {
			return err
		}
	}
}

// create creates what is missing. That someone else did so meanwhile is no error.
func (d *Driver) create(ctx context.Context) error {
	_, err := d.script(ctx, ddl(d.target.Table))
	var reply *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &reply):
		return d.readError(ctx, err) // that it may have been created changes nothing
	case reply.Code == uniqueViolation, reply.Code == duplicateTable, reply.Code == duplicateObject:
		return nil
	case reply.Code == noPrivilege:
		return store.Errorf(store.ErrDenied, "permission denied: the role may not create the table in PostgreSQL at %s (%s): grant it CREATE on the schema, or create it with: %s",
			d.target.Address, d.scrub(reply.Message), ddl(d.target.Table))
	}
	return d.readError(ctx, err)
}

// script runs statements without parameters, once more where the connection broke, and returns the rows of the last as text.
func (d *Driver) script(ctx context.Context, sql string) (rows [][][]byte, err error) {
	err = d.read(ctx, func(c *conn) error {
		results, err := c.pg.Exec(ctx, sql).ReadAll()
		if err != nil {
			return classify(err, true)
		}
		rows = results[len(results)-1].Rows
		return nil
	})
	return rows, err
}

// A description is what the server has.
type description struct {
	exists, plainTable, logged bool
	columns, others            string
	keyIndex, expiresIndex     bool
	fsync, synchronous         string
	standby                    bool
}

func (d *Driver) describe(ctx context.Context) (description, error) {
	literal := "'" + quote(d.target.Table) + "'" // its name has no quotes in it
	rows, err := d.script(ctx, fmt.Sprintf(describe, literal))
	if err != nil {
		return description{}, d.readError(ctx, err)
	}
	if len(rows) != 1 || len(rows[0]) != 9 {
		return description{}, d.readError(ctx, errUnasked)
	}
	row := rows[0]
	text := func(i int) string { return string(row[i]) }
	return description{
		exists: row[0] != nil, plainTable: text(0) == "r" || text(0) == "p", logged: text(1) == "p",
		columns: text(2), others: text(3), keyIndex: text(4) == "true", expiresIndex: text(5) == "true",
		fsync: text(6), synchronous: text(7), standby: text(8) == "true",
	}, nil
}

// check returns what is missing and can be created, or what is wrong.
func (f *description) check(name string) (missing string, err error) {
	wrong := ""
	switch {
	case !f.exists:
		return "no table " + quote(name), nil
	case !f.plainTable:
		wrong = "it is no table"
	case f.columns != columns:
		wrong = fmt.Sprintf("it has the columns %q", f.columns)
	case !f.keyIndex:
		wrong = "key is not its primary key"
	case f.others != "":
		wrong = "it needs values for the columns " + f.others
	case !f.expiresIndex:
		return "no index on the column expires of table " + quote(name), nil
	default:
		return "", nil
	}
	return "", store.Errorf(store.ErrUnavailable, "store unavailable: the table %s in PostgreSQL is not one of this driver: %s, want %s; name another with table=",
		quote(name), wrong, strings.Split(ddl(name), ";")[0])
}

// info states what holds for this server and table, as they are now.
func (f *description) info(most int) store.Info {
	durability := "a write that was answered is on the server's disk and survives its crash and power loss; replicas may lag"
	switch {
	case !f.logged:
		durability = "the table is UNLOGGED or temporary: all entries are lost when the server crashes"
	case f.fsync != "on":
		durability = "the server runs with fsync off: writes survive the end of its processes, and a loss of power may destroy the database"
	case f.synchronous == "off":
		durability = "the server runs with synchronous_commit off: its crash loses the writes of the last moments, never a part of one"
	case f.synchronous == "remote_write", f.synchronous == "remote_apply":
		durability = "a write that was answered is on the server's disk, and on its synchronous standbys where it has any (synchronous_commit is " + f.synchronous + ")"
	}
	return store.Info{
		Driver:        "postgres",
		Durability:    durability,
		Consistency:   "linearizable on one primary; a failover to an asynchronous standby may lose acknowledged writes",
		Clock:         "server (clock_timestamp)",
		TTLResolution: time.Millisecond,
		Shared:        true,
		Ordered:       true,
		Network:       true,
		MaxValueBytes: most,
	}
}
