package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/luastore/store"
)

// triggers are rules that would undo a transaction, ignore a write, or do another.
var triggers = map[string]string{
	"rollback": "CREATE TRIGGER mine BEFORE UPDATE ON luastore BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
	"fail":     "CREATE TRIGGER mine AFTER UPDATE ON LuaStore BEGIN SELECT RAISE(FAIL, 'no'); END",
	"ignore":   "CREATE TRIGGER mine BEFORE INSERT ON luastore BEGIN SELECT RAISE(IGNORE); END",
	"delete":   "CREATE TRIGGER mine AFTER DELETE ON luastore BEGIN DELETE FROM luastore; END",
	"unique":   "CREATE UNIQUE INDEX mine ON luastore (value)",
}

func TestOpen_TableWithRulesOfItsOwn_SaysSo(t *testing.T) {
	for name, sql := range triggers {
		t.Run(name, func(t *testing.T) {
			path := newPath(t)
			openPath(t, path, Options{}).Close()
			c := openRaw(t, path)
			c.statements(t, "CREATE TABLE other (x)", "CREATE TRIGGER theirs BEFORE INSERT ON other BEGIN SELECT 1; END", sql)
			openFails(t, Options{Path: path}, "unavailable", " mine: drop that")
		})
	}
	path := newPath(t)
	openRaw(t, path).statements(t, "CREATE TABLE luastore (key BLOB NOT NULL PRIMARY KEY, expires INTEGER, value BLOB NOT NULL UNIQUE ON CONFLICT ROLLBACK)")
	openFails(t, Options{Path: path}, "unavailable", "unique index")
}

func TestWrite_TableThatWasGivenRules_IsRefusedUntilTheyAreDropped(t *testing.T) {
	for name, sql := range triggers {
		t.Run(name, func(t *testing.T) {
			d := openNew(t)
			seed(t, d)
			c := openRaw(t, d.target.Path)
			c.statements(t, "CREATE TABLE other (x)") // a change that means nothing
			wantSeed(t, d)
			c.statements(t, sql)
			var calls []func() error
			for _, write := range writes {
				calls = append(calls, func() error { return write(testContext(t), d) })
			}
			for _, err := range together(t, d, calls...) {
				if store.Kind(err) != "unavailable" || !strings.Contains(err.Error(), " mine: drop that") {
					t.Errorf("got %v", err)
				}
			}
			for _, kind := range []string{"TRIGGER", "INDEX"} {
				c.statements(t, fmt.Sprintf("DROP %s IF EXISTS mine", kind))
			}
			wantSeed(t, d)
		})
	}
}

func TestOpen_NameThatIsTaken_IsInvalid(t *testing.T) {
	openFails(t, Options{Path: newPath(t), Table: "sqlite_x"}, "invalid", "keeps names that begin with sqlite_")
	path := newPath(t)
	openPath(t, path, Options{}).Close()
	openFails(t, Options{Path: path, Table: "luastore_expires"}, "invalid", "is an index")
	path = newPath(t)
	openPath(t, path, Options{Table: "luastore_expires"}).Close()
	openFails(t, Options{Path: path}, "invalid", "the name luastore_expires, which the index of the table luastore needs, is that of another table")
	openPath(t, path, Options{Table: "another"})
}
