package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luastore/store"
	"github.com/luastore/store/config"
	"github.com/luastore/store/driver/all"
)

// secret is what no error may hold, nor either half of it.
const (
	secret = "Tr0ub4dor" + "Zxcvbnm7"
	half1  = "Tr0ub4dor"
	half2  = "Zxcvbnm7"
)

// leaks are files with a secret and a mistake: in each, %s is the secret, and what holds it is no good.
var leaks = map[string]string{
	"password of an unknown scheme":        "stores:\n  a:\n    url: reddis://:%s@host\n",
	"scheme":                               "stores:\n  a:\n    url: %s\n",
	"parameter of a URL":                   "stores:\n  a: \"redis://host?password=%s\"\n",
	"URL without slashes":                  "stores:\n  a:\n    url: redis:user:%s@host\n",
	"URL with a space":                     "stores:\n  a:\n    url: \"redis://:x %s@host:port\"\n",
	"misspelt url":                         "stores:\n  a:\n    ulr: redis://:%s@host\n",
	"misspelt url without slashes":         "stores:\n  a:\n    ulr: redis:%s@host\n",
	"field that does not exist":            "stores:\n  a:\n    url: sqlite:a\n    password: %s\n",
	"list of a field that does not exist":  "stores:\n  a:\n    url: sqlite:a\n    passwords:\n      - %s\n",
	"section that does not exist":          "secrets: {redis: %s}\n",
	"field before a mistake in its line":   "stores:\n  a: { url: \"redis:%s@host\", timeuot: 3, prefix: 1 }\n",
	"field after a mistake in its line":    "stores:\n  a: { timeuot: 3, url: \"redis:%s@host\" }\n",
	"comment after a mistake":              "stores:\n  a:\n    url: sqlite:a\n    timeout: 3 # %s\n",
	"comment of a field that is no secret": "access:\n  - units: [a] # %s\n",
	"URL as a prefix":                      "stores:\n  a:\n    url: sqlite:a\n    prefix: redis://:%s@host\n",
	"URL as an address":                    "telemetry:\n  metrics: http://user:%s@host\n",
	"URL in a pattern of stores":           "access:\n  - stores: [\"redis://:%s@host\"]\n    allow: [read]\n",
	"URL as an operation":                  "access:\n  - allow: [\"redis://:%s@host\"]\n",
	"URL as a grant":                       "runner:\n  allow: [\"redis://:%s@host\"]\n",
	"URL as a key":                         "stores:\n  redis://:%s@host: {prefix: a}\n",
	"URL as a field":                       "stores:\n  a:\n    redis://:%s@host: 1\n",
	"URL as a list":                        "stores:\n  a:\n    url: [\"redis://:%s@host\"]\n",
	"URL as a mapping":                     "stores:\n  a:\n    url: { password: %s }\n",
	"URL as all stores":                    "stores: redis:%s@host\n",
	"text alone":                           "%s\n",
	"list alone":                           "- %s\n",
	"anchor":                               "stores:\n  a: &%s sqlite:a\n",
	"alias":                                "stores:\n  a: *%s\n",
	"tag":                                  "stores:\n  a: !%s sqlite:a\n",
	"directive":                            "%%TAG ! %s\n---\nstores: {}\n",
	"continued plain text":                 "stores:\n  a:\n    url: reddis://\n      :%s@host\n    prefix: 1\n",
	"continued text in quotes":             "stores:\n  a:\n    url: \"reddis://:x\n      %s@host\"\n    prefix: 1\n",
	"continued text like a field":          "stores:\n  a:\n    url: \"reddis://:x\n      timeout: %s\n    prefix: 1\n",
	"block of text":                        "stores:\n  a:\n    url: |\n      reddis://:%s@host\n    prefix: 1\n",
	"folded text":                          "stores:\n  a:\n    url: >-\n      reddis://:%s\n      @host\n    prefix: 1\n",
	"quotes never closed":                  "stores:\n  a:\n    url: \"redis://:%s@host\n    prefix: a\n",
	"quotes closed too early":              "stores:\n  a:\n    url: \"redis\"://:%s@host\n",
	"bracket never closed":                 "stores:\n  a: [redis://:%s@host\n  b: 1\n",
	"colon and space":                      "stores:\n  a:\n    url: redis://: %s\n",
	"comma and colon":                      "stores:\n  a:\n    url: redis://:x, timeout: %s@host\n",
	"colon forgotten":                      "stores:\n  a:\n    url redis://:%s@host\n",
	"syntax error on the line after":       "stores:\n  a:\n    url: redis://:%s@host\n   prefix: a\n",
	"syntax error on the line before":      "stores:\n  a:\n    prefix: @a\n    url: redis://:%s@host\n",
	"tab on its line":                      "stores:\n  a:\n\turl: redis://:%s@host\n",
	"control character on its line":        "stores:\n  a:\n    url: \"redis://:%s\x01@host\"\n",
	"escape on its line":                   "stores:\n  a:\n    url: \"redis://:\\q%s@host\"\n",
	"not UTF-8 on its line":                "stores:\n  a:\n    url: \"redis://:%s\xff@host\"\n",
	"second document":                      "stores:\n  a: sqlite:a\n---\n%s: x\n",
	"reference never closed":               "stores:\n  a:\n    url: redis://:${%s@host\n",
	"reference of a bad name":              "stores:\n  a:\n    url: redis://:${-%s}@host\n",
	"two stores of one id":                 "stores:\n  a: redis://:%s@host\n  a: redis://:%s@host\n",
}

func TestErrors_WithASecretInTheFile_HideIt(t *testing.T) {
	for name, text := range leaks {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("luastore.yaml", []byte(strings.ReplaceAll(text, "%s", secret)), all.Opener, nil)
			hides(t, err)
		})
	}
}

// puts are files whose mistake is in what a variable, or a file, puts in.
var puts = map[string]string{
	"url":                "stores: { a: \"%s\" }\n",
	"password":           "stores: { a: \"redis://:%s@ho st\" }\n",
	"scheme":             "stores: { a: \"%s:x\" }\n",
	"parameter":          "stores: { a: \"mem:?%s=1\" }\n",
	"value of parameter": "stores: { a: \"mem:?max_entries=%s\" }\n",
	"prefix":             "stores: { a: { url: \"mem:\", prefix: \"%s:x\" } }\n",
	"prefix too long":    "stores: { a: { url: \"mem:\", prefix: \"%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s\" } }\n",
	"default_ttl":        "stores: { a: { url: \"mem:\", default_ttl: \"%s\" } }\n",
	"read_only":          "stores: { a: { url: \"mem:\", read_only: \"%s\" } }\n",
	"limits":             "stores: { a: { url: \"mem:\", limits: { batch: \"%s\", value_bytes: \"%s\" } } }\n",
	"operation":          "access: [ { allow: [\"%s\"] } ]\n",
	"pattern":            "access: [ { stores: [\"%s\\\\\"], allow: [read] } ]\n",
	"store of a rule":    "access: [ { stores: [\"%s\"], allow: [reed] } ]\n",
	"grant":              "runner: { allow: [\"%s\"] }\n",
	"memory":             "runner: { memory: \"%s\" }\n",
	"metrics":            "telemetry: { metrics: \"%s\" }\n",
	"key":                "stores: { \"%s\": \"mem:\" }\n",
}

func TestErrors_WithASecretPutIn_HideIt(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return secret, name == "SECRET" }
	for name, text := range puts {
		for _, reference := range []string{"${SECRET}", "${file:secret}"} {
			t.Run(name+reference[:4], func(t *testing.T) {
				source := strings.ReplaceAll(text, "%s", reference)
				_, err := config.Parse(filepath.Join(folder, "luastore.yaml"), []byte(source), all.Opener, &config.Options{LookupEnv: env})
				hides(t, err)
			})
		}
	}
}

func TestErrors_OfAnOpenerThatRepeatsItsURL_HideWhatWasPutIn(t *testing.T) {
	env := func(string) (string, bool) { return secret, true }
	careless := func(rawURL string) (store.Opener, error) {
		return store.Opener{}, fmt.Errorf("cannot read %s", rawURL)
	}
	_, err := config.Parse("luastore.yaml", []byte("stores: { a: \"redis://:${P}@host\" }"), careless, &config.Options{LookupEnv: env})
	hides(t, err)
}

// hides fails unless there is an error that holds no part of the secret, wherever one looks.
func hides(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("it passed: nothing was tested")
	}
	told := []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)}
	var list *config.Errors
	if errors.As(err, &list) {
		for _, e := range list.List {
			told = append(told, e.Message, e.Source)
			if inner := errors.Unwrap(e); inner != nil {
				told = append(told, inner.Error())
			}
		}
	}
	for _, text := range told {
		if strings.Contains(text, half1) || strings.Contains(text, half2) {
			t.Errorf("it shows the secret:\n%s", text)
		}
	}
}

// typed is a file that is right, with a secret in its URLs.
const typed = `stores:
  a:
    url: redis://:` + secret + `@localhost:6379/0
    prefix: sessions
    limits: { depth: 1, nodes: 10 }
  b: { prefix: b, url: "redis://:` + secret + `@localhost", timeout: 3s }
access:
  - { units: [x], allow: [read] }
`

// TestErrors_OfEverySlipOfAFinger_HideSecrets makes every file that differs from a right one by one character.
func TestErrors_OfEverySlipOfAFinger_HideSecrets(t *testing.T) {
	wrong := 0
	for i := range typed {
		files := []string{typed[:i] + typed[i+1:]}
		for _, slip := range []string{": ", `"`, "'", "\n", " ", "{", "[", ", ", "${", "x"} {
			files = append(files, typed[:i]+slip+typed[i:])
		}
		for _, file := range files {
			if strings.Count(file, half1) < 2 || strings.Count(file, half2) < 2 {
				continue
			}
			if _, err := config.Parse("luastore.yaml", []byte(file), all.Opener, nil); err != nil {
				hides(t, err)
				wrong++
			}
		}
	}
	if wrong < 1000 {
		t.Errorf("%d files were refused, want at least 1000", wrong)
	}
}
