package storeotel_test

import (
	"context"
	"fmt"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/memstore"
	"github.com/luastore/store/storeotel"
)

func Example() {
	ctx := context.Background()
	reader := sdkmetric.NewManualReader() // a program has an exporter here
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))

	telemetry, err := storeotel.New(&storeotel.Options{MeterProvider: provider})
	if err != nil {
		fmt.Println(err)
		return
	}
	reg := store.New(&store.Options{Observe: telemetry.Observe})

	if err := reg.Define("cache", store.Definition{Open: memstore.Opener(nil)}); err != nil {
		fmt.Println(err)
		return
	}
	err = reg.Do(ctx, func(ctx context.Context) error {
		cache, err := store.Get(ctx, "cache")
		if err != nil {
			return err
		}
		return store.Save(ctx, cache, "user:42", "dark", 0)
	})
	if err != nil {
		fmt.Println(err)
	}
	if err := reg.Close(ctx); err != nil {
		fmt.Println(err)
	}

	var measured metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &measured); err != nil {
		fmt.Println(err)
	}
	for _, m := range measured.ScopeMetrics[0].Metrics {
		fmt.Println(m.Name)
	}
	// Unordered output:
	// db.client.operation.duration
	// luastore.store.io
	// luastore.store.opens
	// luastore.store.closes
	// luastore.store.connections
	// luastore.store.leases
}

// The host knows what is behind its stores.
func ExampleOptions_system() {
	telemetry, err := storeotel.New(&storeotel.Options{
		System: func(id string) string {
			if id == "session_store" {
				return "redis"
			}
			return "" // storeotel.DefaultSystem
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	reg := store.New(&store.Options{Observe: telemetry.Observe})
	fmt.Println(reg.Close(context.Background()))
	// Output: <nil>
}
