package faulttest

import (
	"strings"
	"testing"
)

// proxies stand before all servers of a target, and are in one mode.
type proxies []*Proxy

// startProxies starts a proxy before each of the servers at targets, which have commas between.
func startProxies(t testing.TB, targets string, seed uint64) proxies {
	t.Helper()
	var all proxies
	for i, target := range strings.Split(targets, ",") {
		all = append(all, StartProxy(t, target, seed+uint64(i)))
	}
	return all
}

// addresses returns those of the proxies, in the order of their servers, with commas between.
func (p proxies) addresses() string {
	var all []string
	for _, proxy := range p {
		all = append(all, proxy.Addr())
	}
	return strings.Join(all, ",")
}

func (p proxies) set(m Mode) {
	for _, proxy := range p {
		proxy.Set(m)
	}
}

func (p proxies) setLive(m Mode) {
	for _, proxy := range p {
		proxy.SetLive(m)
	}
}
