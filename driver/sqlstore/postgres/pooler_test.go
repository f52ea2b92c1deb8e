package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/luastore/store"
)

// PgBouncer tells the severity of its own errors in one field only. When it lost the server behind it the statement may be done.
func TestClassify_ErrorsThatEndTheConnection(t *testing.T) {
	d := &Driver{target: new(Options).target()}
	for name, c := range map[string]struct {
		reply     pgconn.PgError
		completed bool
		want      string
	}{
		"a pooler lost the server":         {pgconn.PgError{Severity: "FATAL", Code: "08P01", Message: "server conn crashed?"}, false, "unknown_outcome"},
		"and the answer had come":          {pgconn.PgError{Severity: "FATAL", Code: "08P01", Message: "server conn crashed?"}, true, "unknown_outcome"},
		"a pooler ends after the answer":   {pgconn.PgError{Severity: "FATAL", Code: "57P01"}, true, "unknown_outcome"},
		"the server ends before":           {pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01"}, false, "unavailable"},
		"the server ends after the answer": {pgconn.PgError{Severity: "ФАТАЛЬНО", SeverityUnlocalized: "FATAL", Code: "57P01"}, true, "unknown_outcome"},
		"a statement is refused":           {pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "42501"}, false, "denied"},
	} {
		err := classify(&c.reply, c.completed)
		if got := store.Kind(d.writeError(t.Context(), err)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		var doubt *doubtful
		if c.want == "unknown_outcome" && !errors.As(err, &doubt) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
