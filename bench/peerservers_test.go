package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/luastore/store/internal/redistest"
	"github.com/luastore/store/internal/servertest"
)

// callTimeout bounds one call to a server, which is some rounds long at most.
const callTimeout = 2 * time.Minute

// A connection is the interpreter at the other end of one: programs are posted to it over HTTP. What that costs comes once for a
// round, and is in what the empty loop costs too.
type connection struct {
	net.Conn
	answers *bufio.Reader
}

// connect returns a connection that lasts as long as the test.
func connect(t testing.TB, address string) (*connection, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	return &connection{conn, bufio.NewReader(conn)}, nil
}

func (c *connection) run(source string, n int) (string, error) {
	request, err := http.NewRequest(http.MethodPost, "http://peer/?n="+strconv.Itoa(n), strings.NewReader(source))
	if err != nil {
		return "", err
	}
	if err := errors.Join(c.SetDeadline(time.Now().Add(callTimeout)), request.Write(c)); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(c.answers, request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return string(body), err
}

// server runs a program until the test ends. command returns it, to listen on a port of the loopback interface, with the absolute path
// of a folder of its own, which is its working folder.
func server(t testing.TB, command func(dir string, port int) *exec.Cmd) (*servertest.Process, error) {
	p, err := servertest.New("", "peer")
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		p.Shutdown(syscall.SIGTERM)
		os.RemoveAll(p.Dir)
	})
	p.Command = func() *exec.Cmd { return command(p.Dir, p.Port) }
	p.Ready = func() error {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return p, p.Start()
}

// both returns two connections to one address.
func both(t testing.TB, address string) (luas [maxThreads]interpreter, err error) {
	for i := range luas {
		if luas[i], err = connect(t, address); err != nil {
			return luas, err
		}
	}
	return luas, nil
}

// find returns the path of a program, which may be where only root's PATH leads.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	return path, err
}

// What to do about the peers that are missing.
const (
	gopherLuaLibsMissing = absent("go -C bench/gopherlualibs build tells why")
	nginxMissing         = absent("apt-get install nginx libnginx-mod-http-lua lua-cjson")
	redisMissing         = absent("apt-get install redis-server")
	tarantoolMissing     = absent("apt-get install tarantool")
)

// nginxPeer is a shared dictionary of nginx, with JSON, under LuaJIT.
func nginxPeer() *peer {
	return &peer{
		name: nginxName,
		two:  "two worker processes, one dictionary in shared memory",
		dialect: dialect{
			open:    `local d, encode, decode = ngx.shared.bench, require("cjson").encode, require("cjson").decode`,
			locals:  `d, encode, decode`,
			set:     `d:set(k, encode(v))`,
			get:     `local r = d:get(k) if r then r = decode(r) end`,
			has:     `local r = d:get(k) ~= nil`,
			version: `"nginx " .. ngx.var.nginx_version .. ", ngx_lua " .. ngx.config.ngx_lua_version .. ", " .. jit.version`,
		},
		start: startNginx,
	}
}

func startNginx(t testing.TB) (luas [maxThreads]interpreter, err error) {
	program, err := find("nginx")
	if err != nil {
		return luas, nginxMissing
	}
	p, err := server(t, func(dir string, port int) *exec.Cmd {
		writeNginx(t, dir, port)
		return exec.Command(program, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"))
	})
	if err != nil {
		if strings.Contains(err.Error(), `unknown directive "lua`) {
			err = nginxMissing
		}
		return luas, err
	}
	if luas, err = workers(t, p.Addr()); err != nil {
		return luas, err
	}
	if _, err = luas[0].run(`return function() require("cjson") end`, 1); err != nil && strings.Contains(err.Error(), "module 'cjson' not found") {
		err = nginxMissing
	}
	return luas, err
}

// writeNginx writes the files of nginx. Workers of root's nginx stay root, for nobody else may read its folder.
func writeNginx(t testing.TB, dir string, port int) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root root;"
	}
	for _, name := range []string{"nginx.conf", "nginx.lua"} {
		text, err := os.ReadFile(filepath.Join("testdata/peers", name))
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.NewReplacer("@DIR@", dir, "@PORT@", strconv.Itoa(port), "@USER@", user).Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(filled), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// workers returns a connection to each of the workers. The kernel chooses who gets a connection, which stays there.
func workers(t testing.TB, address string) (luas [maxThreads]interpreter, err error) {
	found := 0
	for range 200 {
		c, err := connect(t, address)
		if err != nil {
			return luas, err
		}
		id, err := c.run(`return function() return tostring(ngx.worker.id()) end`, 1)
		if err != nil {
			return luas, err
		}
		i, err := strconv.Atoi(id)
		if err != nil || i >= len(luas) {
			return luas, fmt.Errorf("a worker with id %q, want 0 or 1", id)
		}
		if luas[i] == nil {
			luas[i] = c
			if found++; found == len(luas) {
				return luas, nil
			}
		}
	}
	return luas, errors.New("one worker of nginx takes all connections")
}

// tarantoolPeer is a space of Tarantool in memory, whose values are Lua tables as they are.
func tarantoolPeer() *peer {
	return &peer{
		name: tarantoolName,
		two:  "two connections; its one Lua thread serves one after the other",
		dialect: dialect{
			open:    `local s = box.space.bench`,
			locals:  `s`,
			set:     `s:replace{k, v}`,
			get:     `local r = s:get(k) if r then r = r[2] end`,
			has:     `local r = s:get(k) ~= nil`,
			version: `"Tarantool " .. _TARANTOOL .. ", " .. jit.version .. ", hash index, no write-ahead log"`,
		},
		start: func(t testing.TB) (luas [maxThreads]interpreter, err error) {
			program, err := find("tarantool")
			if err != nil {
				return luas, tarantoolMissing
			}
			script, err := filepath.Abs("testdata/peers/tarantool.lua")
			if err != nil {
				return luas, err
			}
			p, err := server(t, func(_ string, port int) *exec.Cmd { return exec.Command(program, script, strconv.Itoa(port)) })
			if err != nil {
				return luas, err
			}
			return both(t, p.Addr())
		},
	}
}

// gopherLuaLibsPeer is module storage of gopher-lua-libs, in a process of its own.
func gopherLuaLibsPeer() *peer {
	return &peer{
		name: gopherLuaLibsName,
		two:  "two Lua states on two goroutines, one storage",
		dialect: dialect{
			open:    `local s = assert(require("storage").open("storage.json", "memory"))`,
			locals:  `s`,
			set:     `s:set(k, v)`,
			get:     `local r = s:get(k)`,
			has:     `local _, r = s:get(k)`,
			version: `VERSION`,
		},
		start: func(t testing.TB) (luas [maxThreads]interpreter, err error) {
			program, err := buildGopherLuaLibs(t)
			if err != nil {
				return luas, err
			}
			p, err := server(t, func(_ string, port int) *exec.Cmd {
				return exec.Command(program, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			})
			if err != nil {
				return luas, err
			}
			return both(t, p.Addr())
		},
	}
}

// buildGopherLuaLibs builds the program of ./gopherlualibs for the length of the test. Where go has no way to download what it imports, the
// peer is missing.
func buildGopherLuaLibs(t testing.TB) (string, error) {
	program := filepath.Join(t.TempDir(), "gopherlualibs")
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-C", "gopherlualibs", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		t.Logf("go build: %v\n%s", err, output)
		return "", gopherLuaLibsMissing
	}
	return program, nil
}

// A redisScript is an interpreter inside Redis: each program is one EVAL.
type redisScript struct{ client rueidis.Client }

func (r redisScript) run(source string, n int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	script := `return (function() ` + source + ` end)()(tonumber(ARGV[1]))`
	text, err := r.client.Do(ctx, r.client.B().Eval().Script(script).Numkeys(0).Arg(strconv.Itoa(n)).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return text, err
}

// redisPeer is Redis with scripts inside of it, where no value crosses the network.
func redisPeer() *peer {
	return &peer{
		name: redisName,
		two:  "two EVALs at a time; its one Lua thread serves one after the other",
		dialect: dialect{
			open:    `local call, pack, unpack = redis.call, cmsgpack.pack, cmsgpack.unpack`,
			locals:  `call, pack, unpack`,
			set:     `call("SET", k, pack(v))`,
			get:     `local r = call("GET", k) r = r and unpack(r) or nil`,
			has:     `local r = call("EXISTS", k) == 1`,
			version: `"Redis " .. redis.call("INFO", "server"):match("_version:([%d.]+)") .. ", " .. _VERSION`,
		},
		start: func(t testing.TB) (luas [maxThreads]interpreter, err error) {
			if _, err := find("redis-server"); err != nil {
				return luas, redisMissing
			}
			server := redistest.Start(t, nil)
			for i := range luas {
				luas[i] = redisScript{server.Client(t)}
			}
			return luas, nil
		},
	}
}
