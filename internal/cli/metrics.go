package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"

	"github.com/luastore/store"
	"github.com/luastore/store/storeotel"
)

// metricsPath is where Prometheus looks unless it is told otherwise.
const metricsPath = "/metrics"

// startMetrics serves at an address what happens to stores, for Prometheus, until stop is called, and tells on stderr where. The stores
// must be given observe. What stop returns is a failure to serve that came before it; it takes a fifth of a second at most, whether ctx has
// ended or not, and leaves nothing running.
func (a *app) startMetrics(address string) (observe func(context.Context, store.Event), stop func(ctx context.Context) error, err error) {
	if err := checkAddress(address); err != nil {
		return nil, nil, err
	}
	registry, telemetry, err := newMetrics()
	if err != nil {
		return nil, nil, configError("--metrics: %w", err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, configError("--metrics: %w: give another address, or end what listens there", err)
	}
	s := serveMetrics(listener, registry)
	fmt.Fprintf(a.stderr, "luastore: metrics at http://%s%s\n", reachable(listener.Addr()), metricsPath)
	return telemetry.Observe, s.stop, nil
}

// checkAddress reports an address on which there is no listening. net.Listen would say so too, in words for programmers.
func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return configError("--metrics %q: want host:port, such as 127.0.0.1:9090, or :9090 to be reached from other machines", address)
	}
	return nil
}

// newMetrics returns telemetry, and a registry with what it measures and what the process takes of memory, time and files.
func newMetrics() (*prometheus.Registry, *storeotel.Telemetry, error) {
	registry := prometheus.NewRegistry()
	reader, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo(), exporter.WithoutTargetInfo())
	if err != nil {
		return nil, nil, err
	}
	// There are no traces to point to. The stores are limited by storeotel, which loses none where the SDK would lose their names.
	provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithExemplarFilter(exemplar.AlwaysOffFilter),
		metric.WithCardinalityLimit(0))
	telemetry, err := storeotel.New(&storeotel.Options{MeterProvider: provider})
	if err != nil {
		return nil, nil, err
	}
	err = errors.Join(registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
	return registry, telemetry, err
}

// reachable returns the address at which a program of this machine reaches a listener.
func reachable(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// A metricsServer serves metrics until it is stopped.
type metricsServer struct {
	http  *http.Server
	ended chan error // what Serve returned
}

// serveMetrics starts to serve a registry. Who connects and is slow, or sends much, is not waited for.
func serveMetrics(listener net.Listener, registry *prometheus.Registry) *metricsServer {
	s := &metricsServer{
		http: &http.Server{
			Handler:           metricsHandler(registry),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute, // Prometheus comes back each minute, or more often
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          log.New(io.Discard, "", 0), // by default it would write to stderr, between what a script prints
		},
		ended: make(chan error, 1),
	}
	go func() { s.ended <- s.http.Serve(listener) }()
	return s
}

// maxScrapes is how many may be answered at a time; more get status 503.
const maxScrapes = 4

// metricsHandler answers GET /metrics, in the format of Prometheus or, if that is asked for, of OpenMetrics, and shows the way there from
// everywhere else.
func metricsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+metricsPath, promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: maxScrapes, CoalesceGather: true,
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not found: the metrics are at GET "+metricsPath, http.StatusNotFound)
	})
	return mux
}

// metricsGrace is how long a scrape may take to end once the command ends.
const metricsGrace = 200 * time.Millisecond

// stop ends the server, and the connections that are idle at once.
func (s *metricsServer) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), metricsGrace)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // who is not served by now has gone, or reads nothing
	}
	if err := <-s.ended; !errors.Is(err, http.ErrServerClosed) {
		return configError("the metrics could not be served: %w", err)
	}
	return nil
}
