package natstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nkeys"
)

// A key signs claims, and is itself what claims are about, by its public half.
type key struct {
	nkeys.KeyPair
	public string
	seed   []byte
}

func newKey(kind nkeys.PrefixByte) (key, error) {
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		return key{}, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return key{}, err
	}
	seed, err := pair.Seed()
	return key{pair, public, seed}, err
}

// newKeys returns a key of each kind.
func newKeys(kinds ...nkeys.PrefixByte) ([]key, error) {
	var keys []key
	for _, kind := range kinds {
		k, err := newKey(kind)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// claims are the part of a JWT that differs with what it is about.
type claims = map[string]any

// noLimits are the limits of an account that may do everything.
func noLimits() claims {
	limits := claims{"wildcards": true}
	for _, name := range []string{
		"subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer",
	} {
		limits[name] = -1
	}
	return limits
}

// writeCreds writes the credentials of a user, and returns the lines of the configuration that make the server trust them: an operator
// whom it believes, who vouches for an account, which vouches for the user.
func (s *Server) writeCreds() (string, error) {
	keys, err := newKeys(nkeys.PrefixByteOperator, nkeys.PrefixByteAccount, nkeys.PrefixByteAccount, nkeys.PrefixByteUser)
	if err != nil {
		return "", err
	}
	operator, system, account, user := keys[0], keys[1], keys[2], keys[3]
	userJWT := token(user, account, claims{"type": "user", "subs": -1, "data": -1, "payload": -1})
	s.CredsFile = filepath.Join(s.Dir, "user.creds")
	if err := os.WriteFile(s.CredsFile, []byte(credentials(userJWT, user.seed)), 0o600); err != nil {
		return "", err
	}
	systemLimits := noLimits()
	delete(systemLimits, "mem_storage") // the system account must not use JetStream
	delete(systemLimits, "disk_storage")
	return fmt.Sprintf("operator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload { %s: %s, %s: %s }\n",
		token(operator, operator, claims{"type": "operator"}), system.public,
		system.public, token(system, operator, claims{"type": "account", "limits": systemLimits}),
		account.public, token(account, operator, claims{"type": "account", "limits": noLimits()})), nil
}

// token returns the JWT of subject, which issuer signed.
func token(subject, issuer key, about claims) string {
	about["version"] = 2
	unsigned := encode(claims{"typ": "JWT", "alg": "ed25519-nkey"}) + "." + encode(claims{
		"iat": time.Now().Unix(), "iss": issuer.public, "sub": subject.public, "name": "luastore test", "nats": about,
	})
	signature, _ := issuer.Sign([]byte(unsigned)) // a key with its seed always signs
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(c claims) string {
	text, _ := json.Marshal(c) // of strings, numbers and maps of them
	return base64.RawURLEncoding.EncodeToString(text)
}

// credentials is the text of a file with a user's JWT and seed.
func credentials(jwt string, seed []byte) string {
	return fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"+
		"-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", jwt, seed)
}
