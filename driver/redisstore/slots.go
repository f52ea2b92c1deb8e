package redisstore

import (
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// slotCount is how many slots a cluster has.
const slotCount = 16384

// slotOf returns the slot of a key: the CRC16 (XMODEM) of what stands between the first { and the next }, if that is anything, else of all of it
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
func slotOf(key string) int {
	if _, after, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(after, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc % slotCount)
}

var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()

// A slotRange is slots of one primary.
type slotRange struct {
	first, last int
	primary     string   // its address
	replicas    []string // addresses
}

var errSlots = errors.New("its answer to CLUSTER SLOTS is not understood")

// parseSlots reads the answer to CLUSTER SLOTS of the server at asked. No slot has two primaries.
func parseSlots(reply rueidis.RedisMessage, asked string) ([]slotRange, error) {
	entries, err := reply.ToArray()
	if err != nil {
		return nil, err
	}
	var taken [slotCount]bool
	ranges := make([]slotRange, 0, min(len(entries), slotCount))
	for i := range entries {
		r, err := parseRange(entries[i], asked)
		if err != nil {
			return nil, err
		}
		for slot := r.first; slot <= r.last; slot++ {
			if taken[slot] {
				return nil, errSlots
			}
			taken[slot] = true
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

func parseRange(entry rueidis.RedisMessage, asked string) (r slotRange, err error) {
	fields, err := entry.ToArray()
	if err != nil || len(fields) < 3 {
		return r, errSlots
	}
	first, err1 := fields[0].ToInt64()
	last, err2 := fields[1].ToInt64()
	if err1 != nil || err2 != nil || first < 0 || first > last || last >= slotCount {
		return r, errSlots
	}
	r.first, r.last = int(first), int(last)
	for i, server := range fields[2:] {
		address, ok := parseServer(server, asked)
		switch {
		case i == 0 && !ok:
			return r, errSlots
		case i == 0:
			r.primary = address
		case ok:
			r.replicas = append(r.replicas, address)
		}
	}
	return r, nil
}

// parseServer reads where a server is. One without a host, or that does not know its own, is where the question went.
func parseServer(server rueidis.RedisMessage, asked string) (address string, ok bool) {
	fields, err := server.ToArray()
	if err != nil || len(fields) < 2 {
		return "", false
	}
	host, err := fields[0].ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		return "", false
	}
	port, err := fields[1].ToInt64()
	if err != nil || port <= 0 || port > 65535 {
		return "", false
	}
	return whole(net.JoinHostPort(host, strconv.FormatInt(port, 10)), asked)
}

// whole returns an address that a server of a cluster named, with the host of the server that named it where it has none. It reports
// whether that is an address. IPv6 hosts come with brackets or without.
func whole(address, asked string) (string, bool) {
	colon := strings.LastIndexByte(address, ':')
	if colon < 0 {
		return "", false
	}
	host, port := address[:colon], address[colon+1:]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	if host == "" || host == "?" {
		host, _, _ = net.SplitHostPort(asked)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" || !validHost(host) || !printable(host) || strings.Contains(host, ",") {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}
