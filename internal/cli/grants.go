package cli

import (
	"strings"

	"github.com/luastore/store/script"
)

// grants are what --allow gives to a script.
type grants []script.Grant

// Set takes a list that commas separate. What is allowed twice is allowed.
func (g *grants) Set(list string) error {
	parsed, err := script.ParseGrants(list)
	*g = append(*g, parsed...)
	return err
}

// String returns the list.
func (g *grants) String() string {
	names := make([]string, len(*g))
	for i, grant := range *g {
		names[i] = string(grant)
	}
	return strings.Join(names, ",")
}

// Type is how help names the value.
func (g *grants) Type() string { return "list" }
