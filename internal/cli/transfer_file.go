package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// A partState says how far an export to a file has come. It is kept beside the file, so that the export can go on from there.
type partState struct {
	Store      string    `json:"store"`
	Prefix     string    `json:"prefix"`
	At         time.Time `json:"at"`         // when the export began
	Cursor     string    `json:"cursor"`     // of the next page
	Bytes      int64     `json:"bytes"`      // of the file that are settled
	Entries    int64     `json:"entries"`    // in them
	Unreadable int64     `json:"unreadable"` // left out before them
}

// A part is a file that is being exported to: under another name until it is whole, with its state beside it.
type part struct {
	path  string // of the file when it is whole
	file  *os.File
	state partState
	wrote int64     // bytes of the file
	saved time.Time // when the state was saved last
}

// Ends of the names of what is not whole, and of its state.
const (
	partSuffix  = ".part"
	stateSuffix = ".part.state"
)

func (p *part) partPath() string  { return p.path + partSuffix }
func (p *part) statePath() string { return p.path + stateSuffix }

// newStatePath is where a state is written before it takes the place of the one before.
func (p *part) newStatePath() string { return p.statePath() + ".new" }

// saveEvery is how often the state is saved at most: the file is synced before, which takes time.
const saveEvery = time.Second

// openPart opens the file of an export, of which fresh is the state at its beginning. It goes on with an export that was begun
// and not ended, unless the options say to begin anew; then and where there is none, Cursor is "". An export of something else, and one that
// is under way, are not touched.
func openPart(o exportOptions, fresh partState) (*part, error) {
	p := &part{path: o.output, state: fresh}
	if err := p.open(); err != nil {
		return nil, err
	}
	if err := p.begin(o, fresh); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// errLocked is a file that another process has open alone.
var errLocked = errors.New("another export to this file is under way: wait for its end, or name another file")

// open opens the file, for this export alone. A name that leads elsewhere is not followed: what it leads to is no export.
func (p *part) open() error {
	file, err := openRegular(p.partPath())
	if err != nil {
		return usageError("-o %s: %w", p.path, err)
	}
	p.file = file
	return nil
}

// openRegular opens a file for one process alone, and makes it where it is not there.
func openRegular(path string) (*os.File, error) {
	named, err := os.Lstat(path)
	if err == nil && !named.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: remove it, or name another file", path)
	}
	file, err := openAlone(path)
	if err != nil {
		return nil, err
	}
	opened, err := file.Stat()
	if err == nil {
		named, err = os.Lstat(path)
	}
	if err != nil || !os.SameFile(named, opened) { // it got its name, or was put in the place of another, just now
		file.Close()
		return nil, errLocked
	}
	return file, nil
}

// begin finds out where to go on.
func (p *part) begin(o exportOptions, fresh partState) error {
	if err := checkOutput(o.output, o.force); err != nil { // another export may have ended just now
		return err
	}
	if !o.restart {
		if err := p.resume(fresh); err != nil {
			return err
		}
	}
	if info, err := p.file.Stat(); err != nil || info.Size() < p.state.Bytes {
		p.state = fresh // what the state tells of is not there
	}
	return outputError(p.rewind())
}

// resume takes the state that was saved, if there is one and it is of the same entries.
func (p *part) resume(fresh partState) error {
	begun, err := p.load()
	switch {
	case err != nil || begun == nil:
		return err
	case begun.Store != fresh.Store || begun.Prefix != fresh.Prefix:
		return usageError("%s holds an export of store %q with prefix %q that was not ended: end that one, or give --restart to begin anew",
			p.partPath(), begun.Store, begun.Prefix)
	}
	p.state = *begun
	return nil
}

// load returns the state of an export that was not ended, nil where there is none.
func (p *part) load() (*partState, error) {
	text, err := os.ReadFile(p.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var begun partState
	if err == nil {
		err = json.Unmarshal(text, &begun)
	}
	if err != nil {
		return nil, usageError("cannot go on with the export in %s: %w: give --restart to begin anew", p.partPath(), err)
	}
	return &begun, nil
}

// rewind cuts the file to what the state tells of. A state that was saved goes first where nothing is left that it tells of.
func (p *part) rewind() error {
	p.wrote = p.state.Bytes
	if p.state.Cursor == "" {
		if err := p.forget(); err != nil {
			return err
		}
	}
	if err := p.file.Truncate(p.wrote); err != nil {
		return err
	}
	_, err := p.file.Seek(p.wrote, io.SeekStart)
	return err
}

// forget removes the state that was saved, if there is one, and what is left where saving it was cut off.
func (p *part) forget() error {
	return errors.Join(removed(p.statePath()), removed(p.newStatePath()))
}

// removed removes a file, if it is there.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Write writes to the file.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.wrote += int64(n)
	return n, err
}

// reach tells that everything up to a cursor was written, and saves the state now and then.
func (p *part) reach(cursor string, entries, unreadable int64) error {
	p.state.Cursor, p.state.Bytes, p.state.Entries, p.state.Unreadable = cursor, p.wrote, entries, unreadable
	if time.Since(p.saved) < saveEvery {
		return nil
	}
	return p.save()
}

// save makes what was reached last survive this process and a loss of power.
func (p *part) save() error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	text, err := json.Marshal(p.state)
	if err != nil {
		return err
	}
	if err := writeSynced(p.newStatePath(), text); err != nil {
		return err
	}
	p.saved = time.Now()
	return os.Rename(p.newStatePath(), p.statePath())
}

// writeSynced writes a new file, in the place of any other, that is on the disk when it returns.
func writeSynced(path string, text []byte) error {
	if err := removed(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// stop ends an export that is not whole, for another to go on with.
func (p *part) stop() error {
	var err error
	if p.state.Cursor != "" {
		err = p.save()
	}
	return errors.Join(err, p.file.Close())
}

// done gives the file its name.
func (p *part) done() error {
	if err := p.file.Sync(); err != nil {
		return errors.Join(err, p.file.Close())
	}
	if err := renameOpen(p.file, p.path); err != nil {
		return err
	}
	syncFolder(filepath.Dir(p.path))
	return p.forget()
}

// renameOpen gives an open file another name, and closes it: after that, where the system can, so that nobody else writes to it meanwhile.
func renameOpen(file *os.File, path string) error {
	if runtime.GOOS == "windows" {
		if err := file.Close(); err != nil {
			return err
		}
		return os.Rename(file.Name(), path)
	}
	return errors.Join(os.Rename(file.Name(), path), file.Close())
}

// syncFolder makes a new name in a folder survive a loss of power, on the systems that can.
func syncFolder(path string) {
	if folder, err := os.Open(path); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
}
