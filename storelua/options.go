package storelua

import (
	"slices"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/luastore/store"
)

// The names of the options that methods take in a table.
var (
	setOptionNames    = []string{"ttl", "keep_ttl", "if_absent", "if_version"}
	deleteOptionNames = []string{"if_version"}
	incrOptionNames   = []string{"initial", "ttl"}
	updateOptionNames = []string{"ttl", "retries"}
	listOptionNames   = []string{"prefix", "limit", "cursor", "values"}
	eachOptionNames   = []string{"prefix", "values"}
)

// options are those of one call, by name. An option that is absent is [lua.LNil].
type options map[string]lua.LValue

// optionsOf returns the options in argument n, none if that is absent. Only a table with these names is one.
func optionsOf(L *lua.LState, n int, names []string) (options, error) {
	arg := L.Get(n)
	if arg == lua.LNil {
		return nil, nil
	}
	t, ok := arg.(*lua.LTable)
	if !ok {
		return nil, store.Errorf(store.ErrInvalid, "invalid options: want a table with %s, got %s", list(names), typeName(arg))
	}
	o := options{}
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		name, ok := k.(lua.LString)
		if !ok {
			return nil, store.Errorf(store.ErrInvalid, "unknown option of type %s: want %s", typeName(k), list(names))
		}
		if !slices.Contains(names, string(name)) {
			return nil, store.Errorf(store.ErrInvalid, "unknown option %q: want %s", short(string(name)), list(names))
		}
		o[string(name)] = v
	}
	return o, nil
}

// list names what can be chosen from.
func list(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// short returns a name that a script made up, cut where it would make a message long.
func short(name string) string {
	const most = 64
	if len(name) > most {
		return name[:most] + "…"
	}
	return name
}

// get returns an option.
func (o options) get(name string) lua.LValue {
	if v, ok := o[name]; ok {
		return v
	}
	return lua.LNil
}

// flag returns a boolean option, false if it is absent.
func (o options) flag(name string) (bool, error) {
	switch v := o.get(name).(type) {
	case *lua.LNilType:
		return false, nil
	case lua.LBool:
		return bool(v), nil
	default:
		return false, wrongType(name, "a boolean", v)
	}
}

// text returns a string option and whether it is there.
func (o options) text(name string) (string, bool, error) {
	switch v := o.get(name).(type) {
	case *lua.LNilType:
		return "", false, nil
	case lua.LString:
		return string(v), true, nil
	default:
		return "", false, wrongType(name, "a string", v)
	}
}

// number returns a number, or none if it is absent.
func (o options) number(name string, none float64) (float64, error) {
	return numberOf(name, o.get(name), none)
}

// numberOf returns a number of that name, or none if it is absent.
func numberOf(name string, v lua.LValue, none float64) (float64, error) {
	switch v := v.(type) {
	case *lua.LNilType:
		return none, nil
	case lua.LNumber:
		return float64(v), nil
	default:
		return 0, wrongType(name, "a number", v)
	}
}

// count returns a whole number from least to most, or none if it is absent.
func (o options) count(name string, none, least, most int) (int, error) {
	f, err := o.number(name, float64(none))
	if err != nil {
		return 0, err
	}
	n := int(f)
	if float64(n) != f || n < least || n > most {
		return 0, store.Errorf(store.ErrInvalid, "invalid %s %v: want a whole number from %d to %d", name, f, least, most)
	}
	return n, nil
}

// ttl returns the ttl option, or none if it is absent.
func (o options) ttl(none time.Duration) (time.Duration, error) { return secondsOf(o.get("ttl"), none) }

// wrongType reports a value that is of another type than what it is given for.
func wrongType(name, want string, got lua.LValue) error {
	return store.Errorf(store.ErrInvalid, "invalid %s: want %s, got %s", name, want, typeName(got))
}

// A write is how set is to write.
type write struct {
	ttl     time.Duration
	absent  bool   // only where there is no entry
	version string // only where the entry has this; "" for any
}

// writeOf returns how set is to write, by the options in argument n.
func writeOf(L *lua.LState, n int) (w write, err error) {
	o, err := optionsOf(L, n, setOptionNames)
	if err != nil {
		return w, err
	}
	if w.ttl, err = o.ttl(store.DefaultTTL); err != nil {
		return w, err
	}
	keep, err := o.flag("keep_ttl")
	if err != nil {
		return w, err
	}
	if w.absent, err = o.flag("if_absent"); err != nil {
		return w, err
	}
	version, versioned, err := o.version()
	switch {
	case err != nil:
		return w, err
	case w.absent && versioned:
		return w, store.Errorf(store.ErrInvalid, "contradictory options: if_absent wants no entry, if_version wants one")
	case keep && o.get("ttl") != lua.LNil:
		return w, store.Errorf(store.ErrInvalid, "contradictory options: ttl sets the expiry, keep_ttl keeps it")
	case keep:
		w.ttl = store.KeepTTL
	}
	w.version = version
	return w, nil
}

// version returns the if_version option and whether it is there.
func (o options) version() (string, bool, error) {
	version, ok, err := o.text("if_version")
	if ok && version == "" {
		err = store.Errorf(store.ErrInvalid, `invalid version "": want the one that entry returned`)
	}
	return version, ok, err
}
