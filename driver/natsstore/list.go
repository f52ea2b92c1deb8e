package natsstore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/luastore/store"
)

// The leader tells the subjects of a bucket that begin with whole tokens, all at once: that is the cheapest way to find keys, and those that are
// there throughout are among them whatever is written meanwhile. Which of them are live only their messages tell, so the keys of a page are
// asked for, many at a time.

const (
	// maxLook is how many keys one List looks at that turn out to be gone.
	maxLook = 10_000
	// overlap is how many subjects the next part of a long list has in common with the one before, so that deletions between the two
	// let none slip through.
	overlap = 1_000
)

// List returns a page of keys in byte order. The cursor is the last key that was looked at.
func (d *Driver) List(ctx context.Context, prefix, cursor string, limit int) (store.Page, error) {
	after, err := parseCursor(cursor)
	if err != nil {
		return store.Page{}, err
	}
	if ctx.Err() != nil {
		return store.Page{}, d.ended(ctx)
	}
	w, keys := d.walks.resume(prefix, cursor, after)
	if w == nil {
		w = d.walks.begin(prefix)
		keys, err = d.keys(ctx, prefix, after)
	}
	page := store.Page{}
	if err == nil {
		page, keys, err = d.page(ctx, keys, limit)
	}
	if err != nil {
		d.walks.keep(w, nil, "", "")
		return store.Page{}, d.readError(ctx, err)
	}
	last, _ := parseCursor(page.Next) // it is one
	d.walks.keep(w, keys, page.Next, last)
	return page, nil
}

// page looks at keys until there are enough live ones for a page, or too many that are gone. It returns those that it did not look at too.
func (d *Driver) page(ctx context.Context, keys []string, limit int) (page store.Page, rest []string, err error) {
	for looked := 0; len(keys) > 0; {
		part := keys[:min(len(keys), max(limit-len(page.Keys), 1))]
		keys = keys[len(part):]
		if err := d.appendLive(ctx, &page, part); err != nil {
			return page, nil, err
		}
		looked += len(part)
		if len(keys) > 0 && (len(page.Keys) >= limit || looked >= max(limit, maxLook)) {
			page.Next = cursorOf(part[len(part)-1])
			break
		}
	}
	return page, keys, nil
}

// appendLive appends those of keys that are live.
func (d *Driver) appendLive(ctx context.Context, page *store.Page, keys []string) error {
	var failed error
	d.loadMany(ctx, d.subjectsOf(keys), func(i int, e entry, err error) {
		if err == nil {
			_, err = d.alive(ctx, &e)
		}
		switch {
		case err != nil && failed == nil:
			failed = err
		case err == nil && e.value != nil:
			page.Keys = append(page.Keys, keys[i])
		}
	})
	return failed
}

// keys returns the keys of the bucket that begin with prefix and come after a key, in byte order.
func (d *Driver) keys(ctx context.Context, prefix, after string) ([]string, error) {
	subjects, err := d.subjectsUnder(ctx, prefix)
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(subjects))
	for _, subject := range subjects {
		key, ok := parseKey(subject[len(d.subjects):])
		if ok && strings.HasPrefix(key, prefix) && (after == "" || key > after) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// subjectsUnder returns all subjects of keys that begin with prefix, and others.
func (d *Driver) subjectsUnder(ctx context.Context, prefix string) ([]string, error) {
	written := string(appendPrefix([]byte(d.subjects), prefix))
	filter := written[:strings.LastIndexByte(written, '.')+1] + ">"
	var all []string
	for offset := 0; ; {
		info, err := d.askSubjects(ctx, filter, offset)
		if err != nil {
			return nil, err
		}
		part := make([]string, 0, len(info.State.Subjects))
		for subject := range info.State.Subjects {
			if strings.HasPrefix(subject, d.subjects) {
				part = append(part, subject)
			}
		}
		slices.Sort(part)
		if len(all) > 0 && len(part) > 0 && part[0] > all[len(all)-1] {
			all, offset = nil, 0 // more were deleted meanwhile than parts overlap: some may be missing
			continue
		}
		all = append(all, part...)
		if offset+len(part) >= info.Total {
			return all, nil
		}
		offset += max(len(part)-overlap, 1)
	}
}

// askSubjects asks the leader for the subjects that match filter, in parts where there are many.
func (d *Driver) askSubjects(ctx context.Context, filter string, offset int) (*streamInfo, error) {
	request, err := json.Marshal(struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset,omitempty"`
	}{filter, offset})
	if err != nil {
		return nil, err
	}
	ask := d.readSure
	if d.trusted() {
		ask = d.read
	}
	for begun := time.Now(); ; {
		msg, err := ask(ctx, "STREAM.INFO."+d.stream, request)
		if err != nil {
			return nil, err
		}
		info, err := parseInfo(msg)
		if !errors.Is(err, errNoLeader) || time.Since(begun) >= handover || pause(ctx, handoverPause) != nil {
			return info, err
		}
	}
}

// cursorOf makes a cursor of the last key that was looked at.
func cursorOf(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// parseCursor returns the key that a cursor stands for. Another one is another position under the same prefix.
func parseCursor(cursor string) (string, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return "", invalid("invalid cursor: want the one that the page before returned")
	}
	return string(key), nil
}
