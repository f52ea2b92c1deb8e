package cli

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luastore/store/internal/jsonvalue"
	"github.com/luastore/store/value"
)

// An export is lines of JSON: a header, one line for each entry, and an end, without which it was cut short.
//
//	{"luastore":"export","version":1,"store":"sessions","at":"2026-11-29T10:00:00Z"}
//	{"key":"session:1","value":{"user":42},"expires_at":"2026-11-29T10:30:00.123456789Z"}
//	{"key":"session:2","value":"text"}
//	{"end":true,"entries":2}

// exportVersion is that of the format.
const exportVersion = 1

// A lineKind is what a line of an export is.
type lineKind uint8

const (
	blankLine lineKind = iota
	headerLine
	entryLine
	endLine
)

// A transferLine is one line of an export.
type transferLine struct {
	kind    lineKind
	key     string
	value   []byte    // stored form
	expires time.Time // zero: never
	entries int64     // that came before the end
}

// appendHeader appends the first line: the id of the store, and when the export began.
func appendHeader(dst []byte, id string, at time.Time) []byte {
	dst = append(dst, `{"luastore":"export","version":`...)
	dst = strconv.AppendInt(dst, exportVersion, 10)
	dst = append(dst, `,"store":`...)
	dst = jsonvalue.AppendString(dst, strings.ToValidUTF8(id, "\ufffd"))
	return append(appendInstant(append(dst, `,"at":`...), at), "}\n"...)
}

// appendEntry appends the line of one entry. A zero expires means that it never does.
func appendEntry(dst []byte, key string, stored []byte, expires time.Time) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"key":`...), key)
	dst = jsonvalue.Append(append(dst, `,"value":`...), stored)
	if !expires.IsZero() {
		dst = appendInstant(append(dst, `,"expires_at":`...), expires)
	}
	return append(dst, "}\n"...)
}

func appendInstant(dst []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(dst, '"'), time.RFC3339Nano), '"')
}

// appendEnd appends the last line.
func appendEnd(dst []byte, entries int64) []byte {
	return append(strconv.AppendInt(append(dst, `{"end":true,"entries":`...), entries, 10), "}\n"...)
}

// maxLine returns the length of the longest line that a store with these limits may be given: that of its largest value, and 64 KiB
// for all the rest.
func maxLine(limits value.Limits) int { return 2*limits.WithDefaults().Bytes + 64<<10 }

// parseLine reads one line, with values within limits.
func parseLine(text []byte, limits value.Limits) (transferLine, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return transferLine{kind: blankLine}, nil
	}
	m := members{}
	err := jsonvalue.Members(text, limits, func(name string, stored []byte) error {
		m[name] = stored
		return nil
	})
	switch {
	case err != nil:
		return transferLine{}, err
	case m["luastore"] != nil:
		return m.header()
	case m["end"] != nil:
		return m.end()
	}
	return m.entry()
}

var errOtherVersion = fmt.Errorf("the export is in another version of the format than %d: import it with the luastore that wrote it, or a newer one", exportVersion)

// members are those of a line, in stored form.
type members map[string][]byte

// only reports a member that a line does not have.
func (m members) only(known ...string) error {
	for name := range m {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown member %q: want %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// text returns a member that is text.
func (m members) text(name string) (string, error) {
	var s string
	if err := value.Unmarshal(m[name], &s, value.Limits{Bytes: len(m[name])}); err != nil {
		return "", fmt.Errorf("%q: want text", name)
	}
	return s, nil
}

func (m members) header() (transferLine, error) {
	kind, err := m.text("luastore")
	if err != nil || kind != "export" {
		return transferLine{}, errors.New(`"luastore": want "export", as luastore kv export writes it`)
	}
	if version, ok := value.ParseNumber(m["version"]); !ok || version != exportVersion {
		return transferLine{}, errOtherVersion
	}
	return transferLine{kind: headerLine}, nil
}

func (m members) end() (transferLine, error) {
	n, ok := value.ParseNumber(m["entries"])
	if !ok {
		return transferLine{}, errors.New(`"entries": want the number of entries that came before the end`)
	}
	return transferLine{kind: endLine, entries: int64(n)}, m.only("end", "entries")
}

func (m members) entry() (transferLine, error) {
	if err := m.only("key", "value", "expires_at"); err != nil {
		return transferLine{}, err
	}
	if m["key"] == nil || m["value"] == nil {
		return transferLine{}, errors.New(`want a key and a value, such as {"key":"user:1","value":42}`)
	}
	key, err := m.text("key")
	if err != nil {
		return transferLine{}, err
	}
	line := transferLine{kind: entryLine, key: key, value: m["value"]}
	if m["expires_at"] == nil {
		return line, nil
	}
	text, err := m.text("expires_at")
	if err == nil {
		line.expires, err = time.Parse(time.RFC3339Nano, text)
	}
	if err != nil {
		return transferLine{}, errors.New(`"expires_at": want an instant such as "2030-01-31T12:00:00Z", or leave it out for never`)
	}
	return line, nil
}
