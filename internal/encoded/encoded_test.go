package encoded_test

import (
	"reflect"
	"testing"

	"github.com/luastore/store/internal/encoded"
)

func TestValue_CannotBeMadeElsewhere(t *testing.T) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[encoded.Value]()) {
		if f.IsExported() {
			t.Errorf("field %s is exported: a struct literal of another module could be assigned to a Value", f.Name)
		}
	}
}

func TestValue_HoldsWhatItWasMadeOf(t *testing.T) {
	if got := string(encoded.Of([]byte("v")).Bytes()); got != "v" {
		t.Errorf("got %q", got)
	}
	if (encoded.Value{}).Bytes() != nil {
		t.Error("the zero Value holds something")
	}
}
