// Package natsstore keeps entries in a key-value bucket of NATS JetStream 2.11 or later, on one server or replicated on three or five.
//
// Each entry is the last message of a subject, which holds nothing but the stored form of package value, so that any client of the
// bucket can read it: sessions:u1 is the key sessions.u1 of the bucket. See below for other keys.
//
//	reg.Define("sessions", store.Definition{Open: natsstore.Opener(&natsstore.Options{
//		Servers: "nats1:4222,nats2:4222,nats3:4222", Bucket: "sessions", Replicas: 3,
//	})})
//
// # URLs
//
// [ParseURL] takes
//
//	nats://[user:password@|token@]host[:port][,host[:port]...][/bucket]
//	natss://...                                                            requires TLS
//
// with port 4222 and the bucket luastore by default, and these parameters; any other is an error:
//
//	replicas      servers that hold the bucket: 1, 3 or 5; default 1 for a bucket that is made, any for one that is there
//	storage       file or memory; default file for a bucket that is made, any for one that is there
//	max_bytes     that the bucket may hold; default as many as the account may store
//	create        false: the bucket has to be there; default true
//	reads         quorum or lease, see Reads; default quorum
//	creds         file with the JWT of a user and its seed, as nsc writes it
//	nkey          file with the seed of a user's NKey
//	token_file    file with a token
//	domain        JetStream domain of the bucket; default that of the server
//	inbox_prefix  begins the subjects of replies, for users who may not subscribe to _INBOX.>; default _INBOX
//	client_name   what the server shows for the connection; default none
//	dial_timeout  bound on connecting to a server; default 5s, 2s where there are several
//	ca            PEM file with the authorities to trust; default those of the system (TLS only)
//	cert, key     PEM files with the certificate of this client and its key; default none (TLS only)
//	server_name   name that the certificates of the servers must bear; default the host of each (TLS only)
//
// There is no parameter that leaves a server unverified. Files are read at each connection.
//
// # Bucket
//
// A bucket that is missing is made: a stream KV_<bucket> with the subjects $KV.<bucket>.>, that refuses what does not fit rather than drop
// anything, whose reads come from its leader (allow_direct off) and whose messages may have a time to live (allow_msg_ttl). Its history is
// 64, though this driver leaves one message for each subject: each of its messages tells the server to drop those before (Nats-Rollup). A
// server that drops them by itself, for a history of 1, does not note it on its disk, and brings them back when it is killed after the
// newest one, a deletion or an entry that expired, has been dropped too. One that is there and would break what this driver promises is
// refused with what to change.
//
// A key is written with a dot for each colon that does not make an empty token, and = with two hexadecimal digits for every byte but
// letters, digits, - / and _ (and for _ at the very beginning); a dot at the end is followed by =.
//
// # Writes
//
// A set is one message, acknowledged when a majority of the replicas has it. What depends on what is there (delete, touch, compare and swap,
// increments, and a set that keeps its expiry) reads the last message of the subject, unless this driver has just read or written it, and
// stores one that expects it to be the last still; if it is not, the same begins again, within the context. A deletion stores a message
// that says so and which the server drops after a second. It does not delete the message itself: the servers do not order that after a
// swap that is under way, so that both would succeed. Only in a full bucket, where nothing else is left, it does.
//
// Increments of one key that come while one is under way go out together, in one message, and each gets a sum of its own.
//
// # Reads
//
// The leader answers reads by itself, without the replicas. One that is cut off from them goes on doing so for ten seconds and more, and
// its clients would see what was overwritten long since. Where there are replicas a read is therefore followed by an entry in the log of
// the leader, which a majority has to follow (the deletion of a message that cannot be there); reads that are under way at the same time
// share it. That is reads=quorum.
//
// When a leader that was cut off comes back there are two of them until the old one hears of the other, for a second at most, and each
// request gets two answers. That of the new one comes before the majority's, as a rule: where two answers have come by then a read is
// made again, and a write that one of them refused is done if the other one stored it, also a little later. A write that was refused while
// no majority answers has an unknown outcome. What is left of that second: an answer of the new leader that is later than the majority's, by some
// microseconds in one read of two thousand as measured, later where values or listings are long, leaves that of the old one the only one.
//
// With reads=lease a leader that a majority has followed, in a write too, is trusted for the next 50 ms, so that busy readers hardly ever
// wait for that. It is sound as far as timers are: who followed an entry helps nobody else to lead for four seconds, or for 100 ms after
// somebody tried. It is not while there are two leaders, as above, nor where a leader hands over by order of an operator and then stands
// still for 10 ms or more between the order to its successor and the end of its own reign: reads may then find what was there before.
//
// # Expiry
//
// An entry with a time to live has the moment of its end in a header (Luastore-Expires, in ms since 1970), by the clock of the leader. What
// time it is there the driver estimates from replies that tell it, no older than a minute, with an error of half a round trip and what
// clocks drift since; it asks every five seconds while it needs it, and anew after each reconnection. Writers take the latest time that it
// may be and readers the earliest, so that an entry never ends early, and late by a round trip at most. After a failover the clock of
// the new leader decides: keep the clocks of the servers together. The server drops an expired entry five seconds later, by the time to live
// of the message (Nats-TTL).
//
// # Connection
//
// A driver has one connection to one of the servers of the URL, on which all calls share, and goes to the next one when it breaks, when the
// server does not answer a ping for a second after a call ended without a reply, or when it has answered no call for three seconds though
// there are others: at the next call, at most twice a second in all. Servers that the cluster tells of are not used: name all. A read whose
// reply is lost is sent again. A write is sent again only where nobody got it; one whose reply was lost answers
// [store.ErrUnknownOutcome]. Nothing is kept to be sent on the next connection, so that a write that failed otherwise never appears later.
//
// A call ends with its context, whatever the server does.
//
// # Caveats
//
//   - Servers acknowledge what they have written but not synced: sync_interval is 2 minutes by default. A loss of power of the one server, or
//     of a majority at a time, may lose acknowledged writes. sync_interval: always ends that, and costs a sync for each write.
//   - A full bucket (max_bytes) refuses to replace entries too, and lets delete them.
//   - The default max_payload of a server, 1 MiB, is that of a value and its headers: raise it, to 2 MiB for instance, for values of 1 MiB.
//   - List asks the leader for all subjects under the whole parts of the prefix, once for all pages of a walk, and for the message of each key
//     of the page, with its value: the first page of a hundred thousand keys takes a tenth of a second and 3 MB.
//   - Do not make a bucket anew, or change its replicas, under a running driver: open it again.
//   - Others who write into the bucket have to keep to its headers: a message without them is an entry that never expires.
//   - A bucket with reads of replicas (allow_direct), as "nats kv add" makes them, is refused.
package natsstore
