package natsstore

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/luastore/store"
)

// errURL says nothing of the URL itself: an unescaped character in a password puts pieces of it into any part.
var errURL = store.Errorf(store.ErrInvalid,
	"invalid NATS URL: want nats://[user:password@|token@]host[:port][,host[:port]][/bucket][?parameter=value], with %%-encoded special characters")

// ParseURL returns the options that a URL stands for, in one of the forms that the package comment lists. No error repeats a
// secret.
func ParseURL(raw string) (*Options, error) {
	scheme, rest, _ := strings.Cut(raw, "://")
	o := &Options{}
	switch strings.ToLower(scheme) {
	case "nats":
	case "natss":
		o.TLS = true
	default:
		return nil, invalid("unknown scheme of a NATS URL: want nats://, or natss:// for TLS")
	}
	login, hosts, rest := splitAuthority(rest)
	// The list of hosts is none of a URL to package net/url, which may parse what is around it.
	u, err := url.Parse("nats://" + login + "h" + rest)
	// An @ that is not where it belongs is the end of a password that was cut by one of its own characters.
	if err != nil || u.Host != "h" || u.Fragment != "" || strings.ContainsAny(u.EscapedPath()+u.RawQuery+hosts, "@#") {
		return nil, errURL
	}
	for _, set := range []func() error{
		func() error { return o.setLogin(u.User) },
		func() error { return o.setServers(hosts) },
		func() error { return o.setBucket(strings.TrimPrefix(u.Path, "/")) },
		func() error { return o.setParameters(u.RawQuery) },
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	return o, o.check()
}

// splitAuthority splits what follows the scheme into the login with its @, the hosts, and all behind them.
func splitAuthority(text string) (login, hosts, rest string) {
	if end := strings.IndexAny(text, "/?#"); end >= 0 {
		text, rest = text[:end], text[end:]
	}
	at := strings.LastIndex(text, "@") + 1
	return text[:at], text[at:], rest
}

// setLogin takes a user with a password or, without a colon, a token.
func (o *Options) setLogin(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	password, isUser := user.Password()
	switch {
	case !isUser:
		o.Token = user.Username()
	case user.Username() == "" || password == "":
		return invalid("a NATS URL has half a login: want user:password@ or token@")
	default:
		o.Username, o.Password = user.Username(), password
	}
	return nil
}

func (o *Options) setServers(hosts string) error {
	if hosts == "" {
		return nil
	}
	var servers []string
	for _, host := range strings.Split(hosts, ",") {
		u := url.URL{Host: host}
		name, port := u.Hostname(), u.Port()
		if !validHost(name) || host == "" || host != name && host != "["+name+"]" && host != net.JoinHostPort(name, port) {
			return errURL
		}
		servers = append(servers, net.JoinHostPort(orElse(name, "127.0.0.1"), orElse(port, "4222")))
	}
	o.Servers = strings.Join(servers, ",")
	return nil
}

func (o *Options) setBucket(name string) error {
	if name != "" && !validBucket(name) {
		return invalid("the path of a NATS URL must be the name of a bucket, 1 to %d letters, digits, - and _: nats://host/bucket", maxBucket)
	}
	o.Bucket = name
	return nil
}

// parameters are the query parameters of a URL.
var parameters = map[string]func(o *Options, value string) error{
	"ca":           func(o *Options, v string) error { o.CAFile = v; return nil },
	"cert":         func(o *Options, v string) error { o.CertFile = v; return nil },
	"client_name":  func(o *Options, v string) error { o.ClientName = v; return nil },
	"create":       (*Options).setCreate,
	"creds":        func(o *Options, v string) error { o.CredsFile = v; return nil },
	"dial_timeout": (*Options).setDialTimeout,
	"domain":       func(o *Options, v string) error { o.Domain = v; return nil },
	"inbox_prefix": func(o *Options, v string) error { o.InboxPrefix = v; return nil },
	"key":          func(o *Options, v string) error { o.KeyFile = v; return nil },
	"max_bytes":    (*Options).setMaxBytes,
	"nkey":         func(o *Options, v string) error { o.NKeyFile = v; return nil },
	"reads":        func(o *Options, v string) error { o.Reads = v; return nil },
	"replicas":     (*Options).setReplicas,
	"server_name":  func(o *Options, v string) error { o.ServerName = v; return nil },
	"storage":      func(o *Options, v string) error { o.Storage = v; return nil },
	"token_file":   func(o *Options, v string) error { o.TokenFile = v; return nil },
}

const parameterNames = "ca, cert, client_name, create, creds, dial_timeout, domain, inbox_prefix, key, max_bytes, nkey, reads, replicas, " +
	"server_name, storage, token_file"

func (o *Options) setCreate(v string) error {
	if v != "true" && v != "false" {
		return invalid("parameter create of a NATS URL must be true or false")
	}
	o.NoCreate = v == "false"
	return nil
}

func (o *Options) setDialTimeout(v string) (err error) {
	if o.DialTimeout, err = time.ParseDuration(v); err != nil || o.DialTimeout <= 0 {
		return invalid("parameter dial_timeout of a NATS URL must be a duration above zero, such as 2s")
	}
	return nil
}

func (o *Options) setMaxBytes(v string) (err error) {
	if o.MaxBytes, err = strconv.ParseInt(v, 10, 64); err != nil || o.MaxBytes <= 0 {
		return invalid("parameter max_bytes of a NATS URL must be a number of bytes above zero")
	}
	return nil
}

func (o *Options) setReplicas(v string) (err error) {
	if o.Replicas, err = strconv.Atoi(v); err != nil || o.Replicas <= 0 {
		return invalid("parameter replicas of a NATS URL must be 1, 3 or 5")
	}
	return nil
}

func (o *Options) setParameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errURL
	}
	for name, given := range values {
		set, known := parameters[name]
		switch {
		case !known:
			return invalid("unknown parameter %q of a NATS URL: want one of %s", name, parameterNames)
		case len(given) > 1:
			return invalid("parameter %s of a NATS URL is given twice", name)
		case given[0] == "":
			return invalid("parameter %s of a NATS URL is empty: give it a value or leave it out", name)
		}
		if err := set(o, given[0]); err != nil {
			return err
		}
	}
	return nil
}
