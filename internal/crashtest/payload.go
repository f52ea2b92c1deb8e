package crashtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// An id names one value that was ever written to a folder. The zero id names none: it stands for an absent entry.
type id struct {
	Run    int // the child that wrote it, from 1
	Writer int
	N      int // of the writer's values
	Size   int // length of what follows the first line, without the checksum
}

func (v id) String() string {
	if v == (id{}) {
		return "nothing"
	}
	return fmt.Sprintf("value %d.%d.%d", v.Run, v.Writer, v.N)
}

// bytes returns the value under key: a line that tells all about it, bytes that follow from that, and a checksum.
func (v id) bytes(key string) []byte {
	b := fmt.Appendf(nil, "%s %d %d %d %d\n", key, v.Run, v.Writer, v.N, v.Size)
	random := rand.New(rand.NewPCG(uint64(v.Run)<<8|uint64(v.Writer), uint64(v.N)))
	for range v.Size {
		b = append(b, byte(random.Uint32()))
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// identify returns the id of the value that was read under key, or an error if a byte of it is not as it was written.
func identify(key string, b []byte) (id, error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	var v id
	var of string
	if _, err := fmt.Sscanf(string(line), "%s %d %d %d %d", &of, &v.Run, &v.Writer, &v.N, &v.Size); err != nil {
		return id{}, fmt.Errorf("torn value: its %d bytes begin with %.60q", len(b), b)
	}
	if of != key {
		return id{}, fmt.Errorf("the value of another key: %v of %q", v, of)
	}
	if v.Size < 0 || v.Size > mostBytes || !bytes.Equal(b, v.bytes(key)) {
		return id{}, fmt.Errorf("torn value: %v has %d bytes that are not all as they were written", v, len(b))
	}
	return v, nil
}
