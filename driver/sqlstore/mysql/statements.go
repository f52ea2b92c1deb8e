package mysql

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/luastore/store"
	"github.com/luastore/store/driver/sqlstore/internal/table"
)

// now is the clock of the server in microseconds since the Unix epoch, at the moment at which it is evaluated. NOW() would be that
// at which the statement began, before it waited for a row lock: what expired meanwhile would come to life again.
const now = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"

// live is the condition under which a row is an entry.
const live = "(expires IS NULL OR expires > " + now + ")"

// never is an expiry that no entry has, of rows that only hold a place. Rows that have expired are invisible.
const never = "-9223372036854775808"

// statements are the texts for one table. The first are about one key and never vary; those that end in a list of placeholders
// are for batches. A ttl is in microseconds, or NULL for never, which any sum with it is too.
type statements struct {
	get, entry, ttl, has         string
	set, setForever, setKeep     string
	delete, touch                string
	swap, swapKeep, swapDelete   string
	create                       string
	lock, update, replace        string
	list                         string
	getMany                      string
	setMany, setManyEnd          string
	setManyForeverEnd            string
	deleteMany, deleteManyEnd    string
	expired, reclaim, reclaimEnd string
	start, commit, rollback      string
	definition                   string
}

// tableDDL creates the table. The key is binary: it is ordered and compared by its bytes, all of them.
const tableDDL = "CREATE TABLE IF NOT EXISTS `%s` (" +
	"`key` VARBINARY(1024) NOT NULL PRIMARY KEY, " +
	"`value` LONGBLOB NOT NULL, " +
	"`expires` BIGINT NULL COMMENT 'microseconds since the Unix epoch; NULL: never', " +
	"KEY `%s_expires` (`expires`)" +
	") ENGINE=InnoDB ROW_FORMAT=DYNAMIC"

// newStatements returns the statements for a table whose name [table.CheckName] accepts. Values longer than maxBytes are not
// fetched.
func newStatements(name string, maxBytes int) statements {
	fill := strings.NewReplacer(
		"{t}", "`"+name+"`", "{now}", now, "{live}", live, "{never}", never,
		// The length comes with the value: what is too long is known without being fetched.
		"{value}", fmt.Sprintf("LENGTH(`value`), CASE WHEN LENGTH(`value`) <= %d THEN `value` END", maxBytes),
		"{limit}", fmt.Sprint(table.SweepRows),
	).Replace
	const upsert = " ON DUPLICATE KEY UPDATE `value` = VALUES(`value`), expires = "
	// A row to be inserted is made before it waits for the lock of one that another deletes, and its expiry would count from
	// then. So the key is taken first, by a row that nobody can see, or by doing nothing to the one that there is.
	const place, placed = "(?, '', {never})", "VALUES(expires) = {never}"
	const upsertPlaced = " ON DUPLICATE KEY UPDATE `value` = IF(" + placed + ", `value`, VALUES(`value`)), expires = IF(" + placed + ", expires, {now} + ?)"
	return statements{
		get:   fill("SELECT {value} FROM {t} WHERE `key` = ? AND {live}"),
		entry: fill("SELECT {value}, expires - {now} FROM {t} WHERE `key` = ? AND {live}"),
		ttl:   fill("SELECT expires - {now} FROM {t} WHERE `key` = ? AND {live}"),
		has:   fill("SELECT 1 FROM {t} WHERE `key` = ? AND {live}"),

		set:        fill("INSERT INTO {t} (`key`, `value`, expires) VALUES " + place + ", (?, ?, 0)" + upsertPlaced),
		setForever: fill("INSERT INTO {t} (`key`, `value`, expires) VALUES (?, ?, NULL)" + upsert + "NULL"),
		setKeep:    fill("INSERT INTO {t} (`key`, `value`, expires) VALUES (?, ?, NULL)" + upsert + "IF(expires > {now}, expires, NULL)"),
		// A deletion of this form takes a hint, and an error when it is killed: the other form is answered as if it had found nothing.
		delete: fill("DELETE {t} FROM {t} FORCE INDEX (PRIMARY) WHERE `key` = ? AND {live}"),
		touch:  fill("UPDATE {t} SET expires = {now} + ? WHERE `key` = ? AND {live}"),

		swap:       fill("UPDATE {t} SET `value` = ?, expires = {now} + ? WHERE `key` = ? AND `value` = ? AND {live}"),
		swapKeep:   fill("UPDATE {t} SET `value` = ? WHERE `key` = ? AND `value` = ? AND {live}"),
		swapDelete: fill("DELETE {t} FROM {t} FORCE INDEX (PRIMARY) WHERE `key` = ? AND `value` = ? AND {live}"),
		// The clock is read once, when the row is locked, as the expiry of a second row of the same key.
		create: fill("INSERT INTO {t} (`key`, `value`, expires) VALUES " + place + ", (?, ?, {now}) ON DUPLICATE KEY UPDATE " +
			"`value` = IF(expires < VALUES(expires), VALUES(`value`), `value`), expires = IF(expires < VALUES(expires), VALUES(expires) + ?, expires)"),

		lock:    fill("SELECT {value}, {live} FROM {t} WHERE `key` = ? FOR UPDATE"),
		update:  fill("UPDATE {t} SET `value` = ? WHERE `key` = ?"),
		replace: fill("UPDATE {t} SET `value` = ?, expires = {now} + ? WHERE `key` = ?"),

		// Expired rows come too, so that a page costs what its limit says.
		list: fill("SELECT `key`, {live} FROM {t} FORCE INDEX (PRIMARY) WHERE `key` >= ? AND `key` < ? ORDER BY `key` LIMIT ?"),

		getMany:           fill("SELECT `key`, {value} FROM {t} FORCE INDEX (PRIMARY) WHERE {live} AND `key` IN ("),
		setMany:           fill("INSERT INTO {t} (`key`, `value`, expires) VALUES "),
		setManyEnd:        fill(upsertPlaced),
		setManyForeverEnd: upsert + "NULL",
		// Without the hint a large batch would scan, and lock, the whole of a small table.
		deleteMany:    fill("DELETE {t} FROM {t} FORCE INDEX (PRIMARY) WHERE `key` IN ("),
		deleteManyEnd: fill(") AND {live}"),

		// The time of the statement is a constant, which the index can be searched for; the deletion looks at the clock again.
		expired:    fill("SELECT `key` FROM {t} WHERE expires <= CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) ORDER BY expires LIMIT {limit}"),
		reclaim:    fill("DELETE {t} FROM {t} FORCE INDEX (PRIMARY) WHERE `key` IN ("),
		reclaimEnd: fill(") AND NOT {live}"),

		// Whatever completion_type is: a chained transaction would take in the writes that follow.
		start:    "START TRANSACTION",
		commit:   "COMMIT AND NO CHAIN NO RELEASE",
		rollback: "ROLLBACK AND NO CHAIN NO RELEASE",

		definition: fmt.Sprintf(tableDDL, name, name),
	}
}

// fixed are the texts to prepare: those with parameters that do not vary.
func (s *statements) fixed() map[string]bool {
	fixed := map[string]bool{}
	for _, text := range []string{
		s.get, s.entry, s.ttl, s.has, s.set, s.setForever, s.setKeep, s.delete, s.touch, s.swap, s.swapKeep, s.swapDelete, s.create,
		s.lock, s.update, s.replace, s.list,
	} {
		fixed[text] = true
	}
	return fixed
}

// setup are the statements that a session begins with: whatever the server is set to, statements mean the same. Those in comments
// are for MariaDB and for MySQL alone. Without gap locks, writers of different keys do not wait for each other; strict, the server
// cuts no value short. A server whose SYSDATE is NOW refuses the time zone, see [now].
func setup(timeout time.Duration) []string {
	seconds := max(int(math.Ceil(timeout.Seconds())), 1)
	return []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET NAMES utf8mb4, autocommit = 1, completion_type = 0, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', " +
			"time_zone = IF(SLEEP(0.002) = 0 AND SYSDATE(6) = NOW(6), '" + sysdateIsNow + "', '+00:00'), " +
			"sql_select_limit = 18446744073709551615, sql_big_selects = 1, sql_safe_updates = 0, sql_auto_is_null = 0, " +
			"unique_checks = 1, foreign_key_checks = 1, " +
			fmt.Sprintf("innodb_lock_wait_timeout = %d, lock_wait_timeout = %[1]d /*M! , max_statement_time = %.3f, in_predicate_conversion_threshold = 0 */ "+
				"/*!80000 , max_execution_time = %d, range_optimizer_max_mem_size = 0 */", seconds, timeout.Seconds(), timeout.Milliseconds()),
	}
}

// sysdateIsNow is no time zone.
const sysdateIsNow = "sysdate-is-now"

// micros is a ttl as statements take it: rounded up, nothing expires early.
func micros(ttl time.Duration) any {
	if ttl <= 0 { // of a new entry, KeepTTL is never
		return nil
	}
	return int64((ttl + time.Microsecond - 1) / time.Microsecond)
}

// timeLeft turns the microseconds that an entry has left into a ttl. Less than a millisecond, or none by the time it was looked
// at, is no ttl to a store.
func timeLeft(micros *int64) time.Duration {
	if micros == nil {
		return 0
	}
	return max(time.Duration(min(*micros, math.MaxInt64/int64(time.Microsecond)))*time.Microsecond, store.MinTTL)
}
