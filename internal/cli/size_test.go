package cli

import "testing"

func TestSize_ReadsAndShows(t *testing.T) {
	for text, want := range map[string]struct {
		bytes size
		shown string
	}{
		"256MB":               {256 << 20, "256 MB"},
		"1GB":                 {1 << 30, "1 GB"},
		"64MiB":               {64 << 20, "64 MB"},
		"2048 kib":            {2 << 20, "2 MB"},
		"1500KB":              {1500 << 10, "1500 KB"},
		"1024":                {1024, "1 KB"},
		"1000001":             {1000001, "1000001 bytes"},
		"7B":                  {7, "7 bytes"},
		" 3 gIb ":             {3 << 30, "3 GB"},
		"9223372036854775807": {1<<63 - 1, "9223372036854775807 bytes"},
	} {
		var got size
		if err := got.Set(text); err != nil || got != want.bytes || got.String() != want.shown {
			t.Errorf("%q: got %d, %q, %v", text, got, &got, err)
		}
	}
}

func TestSize_RefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{"", "MB", "0", "0MB", "-1", "-1MB", "1.5GB", "1M", "1 TB", "1e6", "x", "MBMB", "9223372036854775808", "9223372036854775807KB", "1MBMB"} {
		var got size
		if err := got.Set(text); err == nil || got != 0 {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
}
