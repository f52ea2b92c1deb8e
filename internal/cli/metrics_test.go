package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/luastore/store"
)

// A metricsTest is a running server of metrics, and the stores that are measured.
type metricsTest struct {
	t      *testing.T
	app    *app
	url    string
	client *http.Client
	stores *stores
}

// newMetricsTest serves metrics of stores, as the arguments of --store name them; without any every id is in memory.
func newMetricsTest(t *testing.T, named ...string) *metricsTest {
	t.Helper()
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) })
	folder(t)
	var stderr bytes.Buffer
	m := &metricsTest{t: t, app: &app{stderr: &stderr}, client: &http.Client{Transport: &http.Transport{}}}
	observe, stop, err := m.app.startMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`^luastore: metrics at (http://127\.0\.0\.1:[1-9]\d*/metrics)\n$`).FindStringSubmatch(stderr.String())
	if told == nil {
		t.Fatalf("stderr says %q", &stderr)
	}
	m.url = told[1]
	t.Cleanup(func() {
		m.client.CloseIdleConnections()
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if m.stores, err = m.app.openStores(storeFlags{stores: named}, observe); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.stores.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// do makes a request and returns the status, the type and the body of the answer.
func (m *metricsTest) do(method, url, accept string) (status int, kind, body string) {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), method, url, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	answer, err := m.client.Do(request)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), string(all)
}

// scrape returns what Prometheus gets.
func (m *metricsTest) scrape() string {
	m.t.Helper()
	status, _, body := m.do(http.MethodGet, m.url, "text/plain")
	if status != http.StatusOK {
		m.t.Fatalf("status %d: %s", status, body)
	}
	return body
}

// scraped returns the lines of a scrape that begin with one of the prefixes, sorted.
func scraped(scrape string, prefixes ...string) []string {
	var lines []string
	for line := range strings.Lines(scrape) {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(line, prefix) }) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	slices.Sort(lines)
	return lines
}

func sameLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMetrics_OfStoresAtWork_TellWhatHappened(t *testing.T) {
	m := newMetricsTest(t, "cache=mem:")
	leases := func() []string { return scraped(m.scrape(), "luastore_store_leases{") }
	err := m.stores.with(t.Context(), "unit-secret", "cache", func(ctx context.Context, h *store.Handle) error {
		sameLines(t, "leases within the unit", leases(), []string{`luastore_store_leases{db_namespace="cache",db_system_name="luastore"} 1`})
		if err := store.Save(ctx, h, "secret:key", "value-secret", 0); err != nil {
			return err
		}
		for _, key := range []string{"secret:key", "secret:key", "secret:missing", "secret without a colon"} {
			_, _ = h.Get(ctx, key)
		}
		_, err := h.GetMany(ctx, []string{"secret:a", "secret:b"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var unknown *failure
	err = m.stores.with(t.Context(), "unit-secret", "guessed-secret", func(context.Context, *store.Handle) error { return nil })
	if !errors.As(err, &unknown) || unknown.code != exitConfig {
		t.Fatalf("an unknown store: %v", err)
	}
	sameLines(t, "leases after all", leases(), []string{`luastore_store_leases{db_namespace="cache",db_system_name="luastore"} 0`})

	scrape := m.scrape()
	of := `db_namespace="cache",db_operation_name=`
	counts := scraped(scrape, "db_client_operation_duration_seconds_count", "luastore_store_lookups", "luastore_store_errors",
		"luastore_store_opens", "luastore_store_connections", "luastore_store_batch_size_sum", "luastore_store_io_bytes_count")
	sameLines(t, "metrics", counts, []string{
		`db_client_operation_duration_seconds_count{` + of + `"get",db_system_name="luastore",error_type="invalid"} 1`,
		`db_client_operation_duration_seconds_count{` + of + `"get",db_system_name="luastore"} 3`,
		`db_client_operation_duration_seconds_count{` + of + `"get_many",db_system_name="luastore"} 1`,
		`db_client_operation_duration_seconds_count{` + of + `"set",db_system_name="luastore"} 1`,
		`luastore_store_batch_size_sum{` + of + `"get_many",db_system_name="luastore"} 2`,
		`luastore_store_connections{db_namespace="cache",db_system_name="luastore"} 1`,
		`luastore_store_errors_total{db_namespace="_unknown",db_operation_name="acquire",db_system_name="luastore",error_type="store_not_found"} 1`,
		`luastore_store_errors_total{` + of + `"get",db_system_name="luastore",error_type="invalid"} 1`,
		`luastore_store_io_bytes_count{` + of + `"get",db_system_name="luastore",luastore_io_direction="read"} 2`,
		`luastore_store_io_bytes_count{` + of + `"set",db_system_name="luastore",luastore_io_direction="write"} 1`,
		`luastore_store_lookups_total{` + of + `"get",db_system_name="luastore",luastore_hit="false"} 1`,
		`luastore_store_lookups_total{` + of + `"get",db_system_name="luastore",luastore_hit="true"} 2`,
		`luastore_store_opens_total{db_namespace="cache",db_system_name="luastore"} 1`,
	})
	if strings.Contains(scrape, "secret") {
		t.Errorf("what a script named or stored was served:\n%s", scrape)
	}
}

func TestMetrics_OfTheProcess_AreThereToo(t *testing.T) {
	scrape := newMetricsTest(t).scrape()
	for _, name := range []string{"go_goroutines", "go_memstats_heap_alloc_bytes", "process_cpu_seconds_total"} {
		if len(scraped(scrape, name+" ")) != 1 {
			t.Errorf("no %s:\n%s", name, scrape)
		}
	}
}

func TestMetrics_OfThousandsOfStores_NameTheFirstThousand(t *testing.T) {
	const ids = 2000
	m := newMetricsTest(t)
	for i := range ids {
		if err := m.stores.with(t.Context(), "", fmt.Sprintf("tenant_%d", i), func(ctx context.Context, h *store.Handle) error {
			_, err := h.Has(ctx, "a:b")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	lines := scraped(m.scrape(), "luastore_store_lookups_total{")
	others := `luastore_store_lookups_total{db_namespace="_other",db_operation_name="has",db_system_name="luastore",luastore_hit="false"} 1000`
	if len(lines) != 1001 || !slices.Contains(lines, others) {
		t.Errorf("%d series, want a thousand and %s", len(lines), others)
	}
}

func TestMetrics_AreServedWhereTheyShouldBe(t *testing.T) {
	m := newMetricsTest(t)
	elsewhere := strings.TrimSuffix(m.url, "metrics")
	for name, c := range map[string]struct {
		method, url, accept string
		status              int
		kind, body          string // parts
	}{
		"for Prometheus":    {http.MethodGet, m.url, "text/plain", http.StatusOK, "text/plain; version=0.0.4", "# TYPE go_goroutines gauge\n"},
		"for OpenMetrics":   {http.MethodGet, m.url, "application/openmetrics-text", http.StatusOK, "application/openmetrics-text", "\n# EOF\n"},
		"at the root":       {http.MethodGet, elsewhere, "*/*", http.StatusNotFound, "text/plain", "GET /metrics\n"},
		"somewhere else":    {http.MethodGet, elsewhere + "healthz", "*/*", http.StatusNotFound, "text/plain", "GET /metrics\n"},
		"to be written":     {http.MethodPost, m.url, "*/*", http.StatusNotFound, "text/plain", "GET /metrics\n"},
		"below the metrics": {http.MethodGet, m.url + "/cache", "*/*", http.StatusNotFound, "text/plain", "GET /metrics\n"},
	} {
		t.Run(name, func(t *testing.T) {
			status, kind, body := m.do(c.method, c.url, c.accept)
			if status != c.status || !strings.HasPrefix(kind, c.kind) || !strings.Contains(body, c.body) {
				t.Errorf("%d, %s, %s", status, kind, body)
			}
		})
	}
}

func TestMetrics_AtAnAddressThatIsNone_SayWhatToGive(t *testing.T) {
	for _, address := range []string{"9090", "localhost", "127.0.0.1", ":http", ":70000", ":-1", "::1", "http://localhost:9090"} {
		a := &app{stderr: new(bytes.Buffer)}
		_, _, err := a.startMetrics(address)
		var f *failure
		if !errors.As(err, &f) || f.code != exitConfig || !strings.Contains(err.Error(), "want host:port, such as 127.0.0.1:9090") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestMetrics_AtAnAddressInUse_SayWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var stderr bytes.Buffer
	_, _, err = (&app{stderr: &stderr}).startMetrics(taken.Addr().String())
	var f *failure
	if !errors.As(err, &f) || f.code != exitConfig {
		t.Fatalf("%v", err)
	}
	for _, part := range []string{taken.Addr().String(), "give another address, or end what listens there"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: want %s", err, part)
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr says %s", &stderr)
	}
}

func TestMetrics_WhenStopped_LeaveNothingBehind(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, request := range map[string]string{
		"nobody came":                  "",
		"a client sends nothing":       " ",
		"a client stops in the middle": "GET /metrics HTTP/1.1\r\nHost:",
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			var stderr bytes.Buffer
			_, stop, err := (&app{stderr: &stderr}).startMetrics("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(stderr.String())
			var client net.Conn
			if request != "" {
				if client, err = net.Dial("tcp", address); err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				if _, err := io.WriteString(client, strings.TrimSpace(request)); err != nil {
					t.Fatal(err)
				}
			}
			if err := stop(ended); err != nil {
				t.Error(err)
			}
			if client != nil {
				if _, err := bufio.NewReader(client).ReadByte(); err == nil {
					t.Error("the client was answered")
				}
			}
			if again, err := net.Listen("tcp", address); err != nil {
				t.Errorf("the address is not free again: %v", err)
			} else {
				again.Close()
			}
		})
	}
}

func TestMetrics_OfAllInterfaces_AreShownAtOneThatAnswers(t *testing.T) {
	for bound, want := range map[string]string{
		"[::]:9090": "127.0.0.1:9090", "0.0.0.0:9090": "127.0.0.1:9090", "[::1]:9090": "[::1]:9090", "192.0.2.1:80": "192.0.2.1:80",
	} {
		address, err := net.ResolveTCPAddr("tcp", bound)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(address); got != want {
			t.Errorf("%s is shown as %s, want %s", bound, got, want)
		}
	}
}
