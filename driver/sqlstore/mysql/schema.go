package mysql

import (
	"context"
	"database/sql"
	"strings"

	"github.com/luastore/store"
)

// ensureTable creates the table if it is missing, and refuses one that entries would not be safe in.
func (d *Driver) ensureTable(ctx context.Context) error {
	missing, err := d.checkTable(ctx)
	if err != nil || !missing {
		return err
	}
	if d.target.NoCreate {
		return store.Errorf(store.ErrUnavailable, "store unavailable: database %q at %s has no table %q, and create=false forbids to create it; create it with: %s",
			d.target.Database, d.target.Address, d.target.Table, d.sql.definition)
	}
	if _, err := d.write(ctx, d.sql.definition); err != nil {
		return err
	}
	_, err = d.checkTable(ctx) // another may have created it in its own way
	return err
}

// A layout is what the server says of a table.
type layout struct {
	engine  string
	columns map[string]column
	primary []string // columns of the primary key
	expires bool     // an index begins with the expiry
	unique  string   // a unique index besides the primary key
	trigger string   // a trigger
}

type column struct {
	kind      string
	length    int64
	nullable  bool
	unsigned  bool
	generated bool
	filled    bool // by itself, where a row is inserted without it
}

func (d *Driver) checkTable(ctx context.Context) (missing bool, err error) {
	var l layout
	err = d.read(ctx, func(c *sql.Conn) error {
		l = layout{columns: map[string]column{}}
		return l.load(ctx, c, d.target.Table)
	})
	if err != nil || len(l.columns) == 0 {
		return true, err
	}
	if wrong := l.wrong(); wrong != "" {
		return false, store.Errorf(store.ErrInvalid, "table %q in database %q at %s cannot hold a store: %s; name another with table=, or create it anew with: %s",
			d.target.Table, d.target.Database, d.target.Address, wrong, d.sql.definition)
	}
	return false, nil
}

// load asks the server.
func (l *layout) load(ctx context.Context, c *sql.Conn, table string) error {
	if err := each(ctx, c, "SELECT column_name, data_type, COALESCE(character_maximum_length, 0), is_nullable = 'YES', column_type LIKE '%unsigned%', "+
		"COALESCE(generation_expression, '') <> '', column_default IS NOT NULL OR extra LIKE '%auto_increment%', COALESCE((SELECT engine FROM "+
		"information_schema.tables t WHERE t.table_schema = DATABASE() AND t.table_name = c.table_name), '') "+
		"FROM information_schema.columns c WHERE table_schema = DATABASE() AND table_name = ?", table, func(rows *sql.Rows) error {
		var name string
		var found column
		if err := rows.Scan(&name, &found.kind, &found.length, &found.nullable, &found.unsigned, &found.generated, &found.filled, &l.engine); err != nil {
			return err
		}
		l.columns[name] = found
		return nil
	}); err != nil {
		return err
	}
	if err := each(ctx, c, "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = ?",
		table, func(rows *sql.Rows) error { return rows.Scan(&l.trigger) }); err != nil {
		return err
	}
	return each(ctx, c, "SELECT index_name, COALESCE(column_name, ''), seq_in_index, sub_part IS NULL, non_unique = 0 FROM information_schema.statistics "+
		"WHERE table_schema = DATABASE() AND table_name = ? ORDER BY index_name, seq_in_index", table, func(rows *sql.Rows) error {
		var index, name string
		var place int
		var whole, unique bool
		if err := rows.Scan(&index, &name, &place, &whole, &unique); err != nil {
			return err
		}
		if index == "PRIMARY" && whole {
			l.primary = append(l.primary, name)
		}
		if index != "PRIMARY" && unique {
			l.unique = index
		}
		l.expires = l.expires || name == "expires" && place == 1
		return nil
	})
}

// each calls fn for each row of a query.
func each(ctx context.Context, c *sql.Conn, query, arg string, fn func(*sql.Rows) error) error {
	rows, err := c.QueryContext(ctx, query, arg)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// wrong says what is wrong with the table, "" if nothing is. A key of text would be compared by its collation, where a and A may
// be one key; a table of another engine knows no transactions; what else is unique keeps entries out; a trigger may do anything.
func (l *layout) wrong() string {
	key, value, expires := l.columns["key"], l.columns["value"], l.columns["expires"]
	switch {
	case !strings.EqualFold(l.engine, "InnoDB"):
		return "its engine is not InnoDB"
	case key.kind != "varbinary" || key.length < maxKeyBytes:
		return "its column key is not VARBINARY(1024)"
	case len(l.primary) != 1 || l.primary[0] != "key":
		return "its primary key is not the column key"
	case value.kind != "longblob" || value.nullable:
		return "its column value is not LONGBLOB NOT NULL"
	case expires.kind != "bigint" || !expires.nullable || expires.unsigned:
		return "its column expires is not BIGINT NULL"
	case l.unique != "":
		return "it has the unique index " + l.unique + " besides its primary key"
	case !l.expires:
		return "no index begins with its column expires"
	case l.trigger != "":
		return "it has the trigger " + l.trigger
	}
	return l.wrongColumn()
}

// wrongColumn says what is wrong with how columns are filled.
func (l *layout) wrongColumn() string {
	for name, c := range l.columns {
		ours := name == "key" || name == "value" || name == "expires"
		switch {
		case ours && c.generated:
			return "its column " + name + " is generated"
		case !ours && !c.generated && !c.nullable && !c.filled:
			return "its column " + name + " has no default"
		}
	}
	return ""
}
