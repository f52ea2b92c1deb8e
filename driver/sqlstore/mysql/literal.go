package mysql

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// written runs a statement with its parameters written into its text. What no packet holds in this form is left to database/sql,
// which prepares it.
func written[T any](query string, args []driver.NamedValue, send func(text string) (T, error)) (T, error) {
	text, err := literal(query, args)
	if err != nil {
		var none T
		return none, err
	}
	result, err := send(text)
	if len(args) > 0 && errors.Is(err, mysql.ErrPktTooLarge) {
		err = driver.ErrSkip
	}
	return result, err
}

// literal writes parameters in place of the placeholders of a statement; its own text has no question mark besides. Bytes are
// written as hexadecimal digits: quoted, they would be a part of the statement to a server that reads it in a charset in which the
// second byte of a character may be a backslash, or in which a first byte takes in the quote.
func literal(query string, args []driver.NamedValue) (string, error) {
	var b strings.Builder
	b.Grow(literalSize(query, args))
	digits := hex.NewEncoder(&b)
	for _, arg := range args {
		before, after, found := strings.Cut(query, "?")
		if !found {
			return "", fmt.Errorf("more than %d parameters", len(args)-1)
		}
		b.WriteString(before)
		switch v := arg.Value.(type) {
		case nil:
			b.WriteString("NULL")
		case int64:
			b.WriteString(strconv.FormatInt(v, 10))
		case string:
			fmt.Fprintf(&b, "x'%x'", v)
		case []byte:
			b.WriteString("x'")
			digits.Write(v)
			b.WriteByte('\'')
		default:
			return "", fmt.Errorf("parameter %d is a %T", arg.Ordinal, v)
		}
		query = after
	}
	b.WriteString(query)
	return b.String(), nil
}

// literalSize returns about how long a statement gets.
func literalSize(query string, args []driver.NamedValue) int {
	const number = 20
	size := len(query)
	for _, arg := range args {
		size += number
		if bytes, ok := arg.Value.([]byte); ok {
			size += hex.EncodedLen(len(bytes))
		}
	}
	return size
}
