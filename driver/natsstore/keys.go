package natsstore

import "strings"

// A subject is made of tokens with dots between them, and keys of a key-value bucket may hold letters, digits and -_/=. only. A key
// is written so:
//
//	letters, digits, - / _    as they are, but for _ at the very beginning: _kv is reserved
//	:                         as a dot, where that does not make an empty token
//	any other byte            as = and two hexadecimal digits, in upper case
//
// and a dot at the end is followed by a lone =. So sessions:u1 is sessions.u1, which any client of the bucket can read. What a
// prefix is written as, without the lone =, begins what all keys under it are written as.

const hexDigits = "0123456789ABCDEF"

// maxSubject is the longest subject of a key: with the rest of its line it has to fit the 4,096 bytes that servers allow by default.
const maxSubject = 3_700

// isPlain reports whether a byte stands for itself in a subject.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '/'
}

// appendPrefix appends what prefix is written as.
func appendPrefix(subject []byte, prefix string) []byte {
	begin := len(subject)
	for i := range len(prefix) {
		c := prefix[i]
		switch {
		case isPlain(c) && (c != '_' || i > 0):
			subject = append(subject, c)
		case c == ':' && len(subject) > begin && subject[len(subject)-1] != '.':
			subject = append(subject, '.')
		default:
			subject = append(subject, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return subject
}

// appendKey appends what key is written as.
func appendKey(subject []byte, key string) []byte {
	subject = appendPrefix(subject, key)
	if subject[len(subject)-1] == '.' {
		subject = append(subject, '=')
	}
	return subject
}

// parseKey returns the key that is written as text; ok is false for what no key is written as.
func parseKey(text string) (key string, ok bool) {
	b := make([]byte, 0, len(text))
	body := text
	if strings.HasSuffix(body, ".=") {
		body = body[:len(body)-1]
	}
	for i := 0; i < len(body); i++ {
		c := body[i]
		switch {
		case c == '.':
			c = ':'
		case c == '=' && i+2 < len(body):
			high, low := strings.IndexByte(hexDigits, body[i+1]), strings.IndexByte(hexDigits, body[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b = append(b, c)
	}
	key = string(b)
	// One key has one form: what is written otherwise is another's.
	return key, key != "" && string(appendKey(nil, key)) == text
}
