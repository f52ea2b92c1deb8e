package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]Options{
		"sqlite:a.db":                           {Path: "a.db"},
		"sqlite:./a/b.db":                       {Path: "./a/b.db"},
		"sqlite:/var/lib/a.db":                  {Path: "/var/lib/a.db"},
		"sqlite:///var/lib/a.db":                {Path: "/var/lib/a.db"},
		"SQLite:a%20b%3F%23%25.db":              {Path: "a b?#%.db"},
		"sqlite:a@b:c":                          {Path: "a@b:c"},
		`sqlite:C:\data\a.db`:                   {Path: `C:\data\a.db`},
		"sqlite:C:/data/a.db":                   {Path: "C:/data/a.db"},
		"sqlite:a?table=t1":                     {Path: "a", Table: "t1"},
		"sqlite:a?create=false":                 {Path: "a", MustExist: true},
		"sqlite:a?create=true":                  {Path: "a"},
		"sqlite:a?synchronous=normal":           {Path: "a", Synchronous: SynchronousNormal},
		"sqlite:a?synchronous=off":              {Path: "a", Synchronous: SynchronousOff},
		"sqlite:a?busy_timeout=250ms":           {Path: "a", BusyTimeout: 250 * time.Millisecond},
		"sqlite:a?max_conns=9&table=x":          {Path: "a", MaxConns: 9, Table: "x"},
		"sqlite:a?max_value_bytes=1048576":      {Path: "a", MaxValueBytes: 1 << 20},
		"sqlite:a?synchronous=full&create=true": {Path: "a", Synchronous: SynchronousFull},
	} {
		got, err := ParseURL(raw)
		if err != nil || *got != want {
			t.Errorf("ParseURL(%q) = %+v, %v", raw, got, err)
		}
	}
}

func TestParseURL_Mistakes_AreInvalidAndTellWhatToDo(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                     "want sqlite:path",
		"sqlite":                               "want sqlite:path",
		"postgres://h/db":                      "want sqlite:path",
		"sqlite:":                              "needs the path",
		"sqlite:?table=x":                      "needs the path",
		"sqlite://":                            "no host",
		"sqlite://host/path":                   "no host",
		"sqlite://user:secret@h/path":          "no host",
		"sqlite::memory:":                      "use mem:",
		"sqlite:file::memory:":                 "use mem:",
		"sqlite:a/":                            "names a folder",
		"sqlite:a%00b":                         "zero byte",
		"sqlite:a%zz":                          "%-encoded",
		"sqlite:a#b":                           "%-encoded",
		"sqlite:a?x=%zz":                       "%-encoded",
		"sqlite:a?a;b":                         "%-encoded",
		"sqlite:a?":                            "ends in ?",
		"sqlite:a?tabel=x":                     `unknown parameter "tabel"`,
		"sqlite:a?mode=ro":                     `unknown parameter "mode"`,
		"sqlite:a?_pragma=x":                   `unknown parameter "_pragma"`,
		"sqlite:a?statement_timeout=1s":        `unknown parameter "statement_timeout"`,
		"sqlite:a?table=x&table=y":             "given twice",
		"sqlite:a?table=":                      "empty",
		"sqlite:a?table=a-b":                   "invalid table name",
		"sqlite:a?table=%22x":                  "invalid table name",
		"sqlite:a?create=yes":                  "true or false",
		"sqlite:a?synchronous=extra":           "full, normal or off",
		"sqlite:a?busy_timeout=5":              "such as 2s",
		"sqlite:a?busy_timeout=0s":             "above zero",
		"sqlite:a?busy_timeout=-1s":            "above zero",
		"sqlite:a?max_conns=0":                 "above zero",
		"sqlite:a?max_conns=1001":              "1 to 1000",
		"sqlite:a?max_conns=x":                 "must be a number",
		"sqlite:a?max_value_bytes=0":           "above zero",
		"sqlite:a?max_value_bytes=999999999":   "1 to 536870912",
		"sqlite:a?max_value_bytes=99999999999": "must be a number",
	} {
		_, err := ParseURL(raw)
		if !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURL(%q): %v, want invalid with %q", raw, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseURL(%q): the password is in %q", raw, err)
		}
	}
}

func TestOptions_MadeInGo_AreChecked(t *testing.T) {
	for _, o := range []Options{
		{}, {Path: ":memory:"}, {Path: "a\x00b"}, {Path: "a", Table: "x;y"}, {Path: "a", Synchronous: "FULL"},
		{Path: "a", BusyTimeout: -1}, {Path: "a", MaxConns: -1}, {Path: "a", MaxValueBytes: -1},
	} {
		if _, err := Opener(&o).Open(testContext(t)); store.Kind(err) != "invalid" {
			t.Errorf("%+v: %v, want invalid", o, err)
		}
	}
	if _, err := Opener(nil).Open(testContext(t)); store.Kind(err) != "invalid" {
		t.Errorf("nil: %v, want invalid", err)
	}
}

func TestOpener_OfOneFile_IsOneConnection(t *testing.T) {
	abs, err := filepath.Abs("a.db")
	if err != nil {
		t.Fatal(err)
	}
	same := []Options{
		{Path: "a.db"}, {Path: "./a.db"}, {Path: "x/../a.db"}, {Path: abs},
		{Path: "a.db", Table: DefaultTable, Synchronous: DefaultSynchronous, BusyTimeout: DefaultBusyTimeout, MaxConns: DefaultMaxConns, MaxValueBytes: DefaultMaxValueBytes},
	}
	for _, o := range same {
		if Opener(&o).Connection != Opener(&same[0]).Connection {
			t.Errorf("%+v is another connection", o)
		}
	}
	for _, o := range []Options{{Path: "b.db"}, {Path: "a.db", Table: "t"}, {Path: "a.db", Synchronous: SynchronousOff}, {Path: "a.db", MustExist: true}} {
		if Opener(&o).Connection == Opener(&same[0]).Connection {
			t.Errorf("%+v is the same connection", o)
		}
	}
}

func TestOpen_PathsWithOddCharacters_AreTheFilesOfThatName(t *testing.T) {
	for _, name := range []string{"a b.db", "100%.db", "a?b=c.db", "a#b.db", "ä€😀.db", "a&b;c.db", "%41.db", "file:x.db", "a+b.db", "'q'.db"} {
		if os.PathSeparator == '\\' && strings.ContainsAny(name, "?:") {
			continue
		}
		dir := t.TempDir()
		openPath(t, filepath.Join(dir, name), Options{}).Close()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != name {
			t.Errorf("%q made %v, %v", name, entries, err)
		}
	}
}

func TestInfo_SaysWhatSynchronousMeans(t *testing.T) {
	for mode, want := range map[string]string{"": "loss of power", SynchronousFull: "survives", SynchronousNormal: "may take the last writes", SynchronousOff: "damage the file"} {
		d := openPath(t, newPath(t), Options{Synchronous: mode})
		if got := d.Info().Durability; !strings.Contains(got, want) {
			t.Errorf("%q: %s", mode, got)
		}
		var level any
		err := d.write(testContext(t), 0, func(c *conn, _ instant) (err error) {
			level, err = c.text("PRAGMA synchronous")
			return err
		})
		if want := map[string]int64{"": 2, "full": 2, "normal": 1, "off": 0}[mode]; level != want || err != nil {
			t.Errorf("%q: level %v, %v", mode, level, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"sqlite:a.db?table=x", "sqlite:///a?create=false", "sqlite:a%20b?busy_timeout=1s&max_conns=2", "sqlite://h/x", "sqlite:C:\\x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := ParseURL(raw)
		switch {
		case err == nil && (o.check() != nil || o.Path == ""):
			t.Errorf("%q: %+v", raw, o)
		case err != nil && store.Kind(err) != "invalid":
			t.Errorf("%q: %v is not invalid", raw, err)
		}
	})
}
