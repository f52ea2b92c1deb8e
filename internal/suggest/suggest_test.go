package suggest

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"session_store", "cache_store", "cache", "url", "prefix", "a"}
	for name, want := range map[string]string{
		"sesion_store": "session_store", "session_stroe": "session_store", "cach": "cache", "ulr": "url", "urls": "url", "perfix": "prefix",
		"cache": "cache", "": "", "x": "", "b": "", "something": "", "cachestore": "cache_store", "ur": "url",
	} {
		got, ok := Closest(name, known)
		if got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, got, ok, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q and %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
