package servertest_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"testing"

	"github.com/luastore/store/internal/servertest"
)

func TestCertificates_OfServerAndClient_AreAcceptedByEachOther(t *testing.T) {
	c, err := servertest.WriteCertificates(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(pem)
	server, client := keyPair(t, c.ServerCertFile, c.ServerKeyFile), keyPair(t, c.CertFile, c.KeyFile)

	serverEnd, clientEnd := net.Pipe()
	go func() {
		defer serverEnd.Close()
		conn := tls.Server(serverEnd, &tls.Config{Certificates: server, ClientCAs: authority, ClientAuth: tls.RequireAndVerifyClientCert})
		io.WriteString(conn, "hello")
		conn.Close()
	}()
	conn := tls.Client(clientEnd, &tls.Config{Certificates: client, RootCAs: authority, ServerName: "127.0.0.1"})
	if got, err := io.ReadAll(conn); string(got) != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func keyPair(t *testing.T, certFile, keyFile string) []tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return []tls.Certificate{pair}
}
