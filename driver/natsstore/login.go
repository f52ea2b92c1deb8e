package natsstore

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"

	"github.com/nats-io/nats.go"
)

// randomToken returns a token of a subject that nobody else has.
func randomToken() string { return rand.Text() }

// addLogin adds what is in files. They are read at each connection, so that renewed ones are seen.
func (t *target) addLogin(o *nats.Options) error {
	switch {
	case t.TokenFile != "":
		text, err := os.ReadFile(t.TokenFile)
		if err != nil {
			return unreadable("token_file", err)
		}
		if o.Token = string(bytes.TrimSpace(text)); o.Token == "" {
			return invalid("token_file: %s is empty", t.TokenFile)
		}
	case t.CredsFile != "":
		if err := nats.UserCredentials(t.CredsFile)(o); err != nil {
			return unreadable("creds", err)
		}
		if _, err := o.UserJWT(); err != nil {
			return unreadable("creds", err)
		}
		if _, err := o.SignatureCB([]byte("x")); err != nil {
			return unreadable("creds", err)
		}
	case t.NKeyFile != "":
		option, err := nats.NkeyOptionFromSeed(t.NKeyFile)
		if err != nil {
			return unreadable("nkey", err)
		}
		return option(o)
	}
	return nil
}

// unreadable says what is wrong with a file, but nothing of what is in it.
func unreadable(parameter string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return invalid("%s: %w", parameter, path)
	}
	return invalid("%s: the file does not hold what it should", parameter)
}

// tlsConfig reads the files, at each connection, so that renewed certificates are seen. It is nil without TLS: where the server asks
// for it nevertheless, the client verifies it by the authorities of the system.
func (t *target) tlsConfig(server string) (*tls.Config, error) {
	if !t.TLS {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return nil, err // check does not let this happen
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: orElse(t.ServerName, host)}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, unreadable("ca", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("ca: %s holds no PEM certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, invalid("cert and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
