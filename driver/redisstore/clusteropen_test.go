package redisstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/internal/boundtest"
	"github.com/luastore/store/internal/faulttest"
	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
)

// wantOpenError opens a URL in vain and checks why, that it says all texts, and that the driver left nothing behind.
func wantOpenError(t *testing.T, url, kind string, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), boundtest.Scale(5*time.Second)) // as the default timeout of a store
	defer cancel()
	d, err := open(ctx, must(ParseURL(url))(t).target())
	if err == nil {
		d.Close()
		t.Fatalf("%s: open", url)
	}
	if store.Kind(err) != kind {
		t.Errorf("%s: %v, want %s", url, err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", url, err, text)
		}
	}
}

func TestCluster_ThatIsNone_IsAClearError(t *testing.T) {
	away := refusingAddress(t)
	host, port, _ := strings.Cut(away, ":")
	alone := startPuppet(t, nil, always("*0\r\n"))
	strange := startPuppet(t, nil, always("*1\r\n"+slotsReply(0, 0, "/x", "1")))
	sends := startPuppet(t, nil, always("*1\r\n"+slotsReply(0, slotCount-1, host, port)))
	plain := redistest.Shared(t)
	wantOpenError(t, "redis+cluster://"+plain.Addr(), "unavailable", plain.Addr(), "it is not in a cluster: use a redis:// URL")
	wantOpenError(t, "redis+cluster://"+alone.addr, "unavailable", alone.addr, "the cluster is not set up yet")
	wantOpenError(t, "redis+cluster://"+strange.addr, "unavailable", strange.addr, "not understood")
	wantOpenError(t, "redis+cluster://"+sends.addr, "unavailable", away+" (an address that the cluster announced)", "refused")
	wantOpenError(t, "redis+cluster://"+away, "unavailable", away+": dial", "refused")
	wantOpenError(t, "redis+cluster://"+strings.Join([]string{away, alone.addr}, ","), "unavailable", "not set up")
}

func TestCluster_WithAServerThatIsSilent_Opens(t *testing.T) {
	mute := startPuppet(t, always(silence), always(silence))
	c := redistest.SharedCluster(t)
	start := time.Now()
	d := openURL(t, strings.Replace(c.URLOf(0), "://", "://"+mute.addr+","+refusingAddress(t)+",", 1))
	if took, most := time.Since(start), boundtest.Scale(2*inquiryPatience+redialGap); took > most {
		t.Errorf("took %v, want at most %v", took, most)
	}
	exerciseNew(t, d, "{foo}:silent")
}

// exerciseNew is exercise for a key that is not there.
func exerciseNew(t *testing.T, d *Driver, key string) {
	t.Helper()
	if err := d.Set(testContext(t), key, number(1), 0); err != nil {
		t.Fatal(err)
	}
	exercise(t, d, key)
}

func TestCluster_OverTLSWithLogin(t *testing.T) {
	t.Parallel()
	password := servertest.Password()
	c := redistest.StartCluster(t, 3, 0, &redistest.Options{TLS: true, Password: password})
	for _, s := range c.Servers {
		s.Do(t, "ACL", "SETUSER", "app", "on", ">"+password, "~*", "+@read", "+@write", "+@scripting", "+@connection", "+asking", "+cluster|slots", "+cluster|nodes", "+cluster|getkeysinslot")
		s.Do(t, "ACL", "SETUSER", "blind", "on", ">"+password, "~*", "+@all", "-cluster")
		s.Do(t, "ACL", "SETUSER", "reader", "on", ">"+password, "~*", "+@all", "-set", "-incrby", "-evalsha")
	}
	as := func(user string) string { return strings.Replace(c.URLOf(1), "://:", "://"+user+":", 1) }
	t.Run("a user may have no more than the driver needs", func(t *testing.T) {
		d := openURL(t, as("app")+"&server_name=localhost")
		exerciseNew(t, d, "{foo}:1")
		m := c.BeginMigration(t, fooSlot, 0)
		m.Move(t, "{foo}:1")
		exercise(t, d, "{foo}:1")
		exerciseBatch(t, d, []string{"{foo}:1"})
		if keys, _ := listAll(t, testContext(t), d, "", 100); len(keys) != 1 {
			t.Errorf("%q are listed", keys)
		}
		m.MoveAll(t)
		m.Finish(t)
		exercise(t, d, "{foo}:1")
		exerciseNew(t, d, "elsewhere")
	})
	t.Run("a user that may not", func(t *testing.T) {
		wantOpenError(t, as("blind"), "denied", "NOPERM", c.Servers[1].Addr())
		d := openURL(t, as("reader"))
		if _, err := d.Has(testContext(t), "k:1"); err != nil {
			t.Error(err)
		}
		if err := d.Set(testContext(t), "k:1", nil, 0); store.Kind(err) != "denied" {
			t.Errorf("%v, want denied", err)
		}
		if _, err := d.Incr(testContext(t), "k:1", 1, 0, 0); store.Kind(err) != "denied" {
			t.Errorf("%v, want denied", err)
		}
	})
	t.Run("what does not fit", func(t *testing.T) {
		wantOpenError(t, strings.Replace(as("app"), password, password+"x", 1), "unavailable", "WRONGPASS")
		wantOpenError(t, strings.Replace(as("app"), "app:"+password+"@", "", 1), "unavailable", "NOAUTH")
		wantOpenError(t, as("app")+"&server_name=other.example", "unavailable", "other.example")
		wantOpenError(t, strings.Replace(as("app"), "ca="+c.CAFile+"&", "", 1), "unavailable", "certificate")
		wantOpenError(t, fmt.Sprintf("rediss+cluster://app:%s@%s?ca=%s", password, c.Servers[1].Addr(), c.CAFile), "unavailable", c.Servers[1].Addr())
		wantOpenError(t, fmt.Sprintf("redis+cluster://app:%s@%s", password, c.Servers[1].Addr()), "unavailable", c.Servers[1].Addr())
		wantOpenError(t, strings.Replace(as("app"), c.CAFile, "/nosuch", 1), "invalid", "/nosuch")
	})
}

func TestClusterPassword_AppearsNowhere(t *testing.T) {
	password := servertest.Password()
	c := redistest.StartCluster(t, 1, 0, &redistest.Options{Password: password})
	at := "+cluster://default:" + password + "@" + c.Servers[0].Addr()
	faulttest.Canary(t, faulttest.Secret[*Options]{
		URL: "redis" + at, TLSURL: "rediss" + at, ParseURL: ParseURL, Opener: Opener, Kill: c.Servers[0].Kill,
	})
}

func TestSentinelPassword_AppearsNowhere(t *testing.T) {
	password := servertest.Password() // of both: the canary knows one
	s := redistest.StartSentinel(t, &redistest.SentinelOptions{Options: redistest.Options{Password: password}, SentinelPassword: password})
	at := "+sentinel://default:" + password + "@" + s.Sentinels[0].Addr() + "/" + redistest.MasterName + "?sentinel_user=default&sentinel_password=" + password
	t.Run("login", func(t *testing.T) { sentinelLogins(t, s, password) })
	faulttest.Canary(t, faulttest.Secret[*Options]{
		URL: "redis" + at, TLSURL: "rediss" + at, ParseURL: ParseURL, Opener: Opener,
		Kill: func() { s.Sentinels[0].Kill() },
	})
}

// sentinelLogins logs in to sentinels, and to the server that they name, rightly and wrongly.
func sentinelLogins(t *testing.T, s *redistest.Sentinel, password string) {
	t.Helper()
	for _, server := range s.Servers {
		server.Do(t, "ACL", "SETUSER", "app", "on", ">"+password, "~*", "+@read", "+@write", "+@scripting", "+@connection", "+role")
		server.Do(t, "ACL", "SETUSER", "blind", "on", ">"+password, "~*", "+@all", "-role")
	}
	url := func(login, sentinelLogin string) string {
		return "redis+sentinel://" + login + s.Sentinels[0].Addr() + "/" + redistest.MasterName + sentinelLogin
	}
	sentinel := "?sentinel_password=" + password
	exerciseNew(t, openURL(t, url("app:"+password+"@", sentinel)), "k:1")
	exercise(t, openURL(t, url(":"+password+"@", sentinel+"&sentinel_user=default")), "k:1")
	wantOpenError(t, url("app:"+password+"@", ""), "unavailable", "the sentinel at "+s.Sentinels[0].Addr(), "NOAUTH", "sentinel_password")
	wantOpenError(t, url("app:"+password+"@", sentinel+"x"), "unavailable", "the sentinel at "+s.Sentinels[0].Addr(), "WRONGPASS", "sentinel_password")
	wantOpenError(t, url("", sentinel), "unavailable", "(an address that the sentinels named)", "NOAUTH")
	wantOpenError(t, url("app:x@", sentinel), "unavailable", "(an address that the sentinels named)", "WRONGPASS")
	wantOpenError(t, url("blind:"+password+"@", sentinel), "denied", "NOPERM", "role")
	wantOpenError(t, strings.Replace(url("app:"+password+"@", sentinel), "mymaster", "nosuch", 1), "unavailable", "watches no primary of the name", `"nosuch"`)
}
