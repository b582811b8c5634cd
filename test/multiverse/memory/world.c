/*
** A forum: schema, policy, writes and questions.
*/
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/memory/memory.h"

/* ---- chance ---------------------------------------------------------------------------------- */

static uint64_t state;

void begin_chance(uint64_t seed) {
  state = seed * UINT64_C(0x9E3779B97F4A7C15) + 77;
  for (int i = 0; i < 10; i++) below(2);
}

unsigned below(unsigned n) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (unsigned)((state * UINT64_C(0x2545F4914F6CDD1D)) >> 40) % n;
}

bool happens(unsigned percent) { return below(100) < percent; }

void put(Line *line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  line->length +=
      (size_t)vsnprintf(line->at + line->length, sizeof line->at - line->length, format, args);
  va_end(args);
  if (line->length >= sizeof line->at) abort();
}

/* ---- what there is --------------------------------------------------------------------------- */

const char *const schema[] = {
    "CREATE TABLE Post(id INTEGER PRIMARY KEY, class INT, author INT, anon INT DEFAULT 0, "
    "private INT DEFAULT 0, content TEXT CHECK (content <> ''))",
    /* rowids of its own, which VACUUM changes */
    "CREATE TABLE Note(owner INT, topic TEXT, weight REAL UNIQUE, body, parent INT)",
    "CREATE TABLE Enrollment(uid INT, class INT, role TEXT)", "CREATE TABLE Log(what TEXT)",
    "CREATE INDEX post_class ON Post(class, id)", "CREATE INDEX note_topic ON Note(topic)",
    "CREATE TRIGGER post_moved AFTER UPDATE OF class ON Post BEGIN "
    "UPDATE Note SET body = new.class WHERE parent = new.id; INSERT INTO Log VALUES ('moved'); END",
    "CREATE TRIGGER post_gone AFTER DELETE ON Post BEGIN DELETE FROM Note WHERE parent = old.id; "
    "END",
    NULL};

const char *const policy[] = {
    "INSERT INTO multiverse_groups VALUES "
    "('student', 'SELECT uid, class AS gid FROM Enrollment WHERE role = ''student'''), "
    "('staff', 'SELECT uid, class AS gid FROM Enrollment WHERE role <> ''student''')",
    "INSERT INTO multiverse_rules(tbl, action, grp, rule) VALUES "
    "('Post', 'allow', NULL, 'author = :uid'), "
    "('Post', 'allow', 'student', 'class = :gid AND NOT private'), "
    "('Post', 'allow', 'staff', 'class = :gid'), "
    "('Post', 'deny', NULL, 'content = ''spam'' AND author IS NOT :uid'), "
    "('Post', 'insert', NULL, '1'), ('Post', 'update', NULL, '1'), ('Post', 'delete', NULL, '1'), "
    "('Note', 'allow', NULL, 'owner = :uid OR (weight >= 5 AND NOT owner > :uid)'), "
    "('Note', 'insert', NULL, '1'), ('Note', 'update', NULL, '1'), ('Note', 'delete', NULL, '1')",
    "INSERT INTO multiverse_rules(tbl, action, rule, col, value, unless_grp, unless) VALUES "
    "('Post', 'rewrite', 'anon AND author <> :uid', 'author', '-1', 'staff', 'class = :gid'), "
    "('Post', 'rewrite', 'private AND author <> :uid', 'content', '''post '' || id', NULL, NULL), "
    "('Note', 'rewrite', 'owner <> :uid', 'topic', 'upper(topic)', NULL, NULL)",
    NULL};

static bool strict; /* posts of 3 are denied, too */

void begin_policy(void) { strict = false; }

const char *change_policy(void) {
  strict = !strict;
  return strict ? "INSERT INTO multiverse_rules(tbl, action, rule) VALUES ('Post', 'deny', 'author "
                  "IN (3, 3.5)')"
                : "DELETE FROM multiverse_rules WHERE rule = 'author IN (3, 3.5)'";
}

void put_seen(Line *out, const char *table, int uid) {
  if (*table == 'N') {
    put(out,
        "(SELECT rowid AS r, owner, CASE WHEN owner <> %d THEN upper(topic) ELSE topic END AS "
        "topic, weight, body, parent FROM Note WHERE owner = %d OR (weight >= 5 AND NOT owner > "
        "%d))",
        uid, uid, uid);
    return;
  }
  put(out,
      "(SELECT id, class, CASE WHEN anon AND author <> %d AND NOT EXISTS (SELECT 1 FROM Enrollment "
      "AS e WHERE e.uid = %d AND e.role <> 'student' AND e.class = p.class) THEN -1 ELSE author "
      "END AS author, anon, private, CASE WHEN private AND author <> %d THEN 'post ' || id ELSE "
      "content END AS content FROM Post AS p WHERE (author = %d OR (NOT private AND EXISTS (SELECT "
      "1 FROM Enrollment AS e WHERE e.uid = %d AND e.role = 'student' AND e.class = p.class)) OR "
      "EXISTS (SELECT 1 FROM Enrollment AS e WHERE e.uid = %d AND e.role <> 'student' AND e.class "
      "= p.class)) AND (content = 'spam' AND author IS NOT %d) IS NOT TRUE AND (%d AND author = 3) "
      "IS NOT TRUE)",
      uid, uid, uid, uid, uid, uid, uid, strict);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void put_number(Line *out, unsigned n) {
  put(out, happens(8) ? "NULL" : happens(5) ? "'%u'" : happens(5) ? "%u.0" : "%u", below(n));
}

/* The last is a number for a column of texts: not for questions, whose plain form has no types. */
static const char *const words[] = {"'spam'", "'hello'",  "'x'",   "'Long and longer than words'",
                                    "NULL",   "'post 3'", "'été'", "17"};

static void put_word(Line *out) { put(out, "%s", words[below(8)]); }

static void put_topic(Line *out) {
  static const char *const topics[] = {"'a'", "'b'", "'A'", "'exam'", "'EXAM'", "NULL"};
  put(out, "%s", topics[below(6)]);
}

static void put_body(Line *out) {
  static const char *const bodies[] = {"NULL", "1", "2.5", "x'00ff'", "'text'", "x''", "''"};
  put(out, "%s", bodies[below(7)]);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static void put_post(Line *out) {
  put(out, happens(70) ? "(%u, " : "(NULL, ", below(KEYS));
  put_number(out, CLASSES);
  put(out, ", ");
  put_number(out, USERS);
  put(out, ", %u, %u, ", below(4) == 0, below(5) == 0);
  if (happens(4)) {
    put(out, "''"); /* fails */
  } else {
    put_word(out);
  }
  put(out, ")");
}

static void put_note(Line *out) {
  put(out, "(");
  put_number(out, USERS);
  put(out, ", ");
  put_topic(out);
  put(out, ", %u.5, ", below(12));
  put_body(out);
  put(out, ", %u)", below(KEYS));
}

static void put_rows(Line *out, void (*row)(Line *)) {
  const unsigned n = 1 + below(3);
  put(out, " VALUES ");
  for (unsigned i = 0; i < n; i++) {
    if (i) put(out, ", ");
    row(out);
  }
}

static void put_change_of_post(Line *out) {
  switch (below(5)) {
  case 0:
    put(out, "class = ");
    put_number(out, CLASSES);
    break;
  case 1:
    put(out, "author = ");
    put_number(out, USERS);
    break;
  case 2:
    put(out, "private = NOT private, anon = 1 - anon");
    break;
  case 3:
    put(out, "content = CASE id %% 7 WHEN 0 THEN '' ELSE 'new' END"); /* fails midway */
    break;
  default:
    put(out, "content = ");
    put_word(out);
  }
}

static void put_where(Line *out) {
  switch (below(4)) {
  case 0:
    put(out, "class = %u", below(CLASSES));
    break;
  case 1:
    put(out, "author = %u", below(USERS));
    break;
  default:
    put(out, "id = %u", below(KEYS));
  }
}

void choose_membership(Line *out) {
  const char *role = happens(50) ? "'student'" : "'ta'";
  switch (below(3)) {
  case 0:
    put(out, "UPDATE Enrollment SET role = %s WHERE uid = %u", role, below(USERS));
    break;
  case 1:
    put(out, "DELETE FROM Enrollment WHERE uid = %u AND class = %u", below(USERS), below(CLASSES));
    break;
  default:
    put(out, "INSERT INTO Enrollment VALUES (%u, %u, %s)", below(USERS), below(CLASSES), role);
  }
}

void choose_write(Line *out) {
  static const char *const insert[] = {"INSERT", "INSERT OR REPLACE", "INSERT OR REPLACE",
                                       "INSERT OR IGNORE", "INSERT OR FAIL"};
  switch (below(11)) {
  case 0:
  case 1:
    put(out, "%s INTO Post", insert[below(5)]);
    put_rows(out, put_post);
    break;
  case 2:
    put(out, "%s INTO Note", insert[below(5)]);
    put_rows(out, put_note);
    break;
  case 3:
    put(out, "INSERT INTO Post");
    put_rows(out, put_post);
    put(out, " ON CONFLICT (id) DO UPDATE SET content = excluded.content, class = excluded.class");
    break;
  case 4:
  case 5:
    put(out, "UPDATE Post SET ");
    put_change_of_post(out);
    put(out, " WHERE ");
    put_where(out);
    break;
  case 6:
    put(out, "UPDATE OR REPLACE Post SET id = %u WHERE id = %u", below(KEYS), below(KEYS));
    break;
  case 7:
    put(out, "UPDATE OR REPLACE Note SET weight = %u.5, topic = ", below(12));
    put_topic(out);
    put(out, " WHERE rowid %% 5 = %u", below(5));
    break;
  case 8:
    put(out, "DELETE FROM Post WHERE ");
    put_where(out);
    break;
  case 9:
    put(out, happens(10) ? "DELETE FROM Note" : "DELETE FROM Note WHERE owner = %u", below(USERS));
    break;
  default:
    choose_membership(out);
  }
}

void choose_own_write(Line *said, Line *meant, int uid) {
  Line row = {0};
  switch (below(5)) {
  case 0:
    put_post(&row);
    put(said, "INSERT INTO Post VALUES %s", row.at);
    put(meant, "%s", said->at);
    break;
  case 1:
    put_note(&row);
    put(said, "INSERT INTO Note VALUES %s", row.at);
    put(meant, "%s", said->at);
    break;
  case 2: {
    Line change = {0};
    put(&change, "private = %u, content = ", below(2));
    put_word(&change);
    put_where(&row);
    put(said, "UPDATE Post SET %s WHERE %s", change.at, row.at);
    put(meant, "UPDATE Post SET %s WHERE id IN (SELECT id FROM ", change.at);
    put_seen(meant, "Post", uid);
    put(meant, " AS Post WHERE %s)", row.at);
    break;
  }
  case 3:
    put(&row, "owner = %u", below(USERS));
    put(said, "UPDATE Note SET body = 'own' WHERE %s", row.at);
    put(meant, "UPDATE Note SET body = 'own' WHERE rowid IN (SELECT r FROM ");
    put_seen(meant, "Note", uid);
    put(meant, " AS Note WHERE %s)", row.at);
    break;
  default:
    put_where(&row);
    put(said, "DELETE FROM Post WHERE %s", row.at);
    put(meant, "DELETE FROM Post WHERE id IN (SELECT id FROM ");
    put_seen(meant, "Post", uid);
    put(meant, " AS Post WHERE %s)", row.at);
  }
}

/* ---- questions ------------------------------------------------------------------------------- */

static void put_post_terms(Line *out) {
  switch (below(8)) {
  case 0:
  case 1:
  case 2:
    put(out, "class = ");
    put_number(out, CLASSES);
    break;
  case 3:
    put(out, "author = %u", below(USERS));
    break;
  case 4:
    put(out, "id = ");
    put_number(out, KEYS);
    break;
  case 5:
    put(out, "class = %u AND author = %d", below(CLASSES), (int)below(USERS) - 1);
    break;
  case 6:
    put(out, "content = %s", words[below(7)]);
    break;
  default:
    put(out, "class = %u AND id %s %u AND private <= %u", below(CLASSES),
        happens(50) ? ">" : "<=", below(KEYS), below(2));
  }
}

static void put_note_terms(Line *out) {
  switch (below(4)) {
  case 0:
    put(out, "owner = ");
    put_number(out, USERS);
    break;
  case 1:
    put(out, "topic = ");
    put_topic(out);
    break;
  case 2:
    put(out, "weight = %u.5", below(12));
    break;
  default:
    put(out, "parent = %u AND weight > %u", below(KEYS), below(12));
  }
}

void choose_question(Line *asked, Line *plain, int uid, bool *ordered) {
  static const char *const results[] = {"*", "*", "*", "count(*), total(author), max(content)",
                                        "author, class"};
  Line seen = {0}, other = {0}, terms = {0};
  put_seen(&seen, "Post", uid);
  put_seen(&other, "Note", uid);
  *ordered = false;
  switch (below(6)) {
  case 0:
    put_note_terms(&terms);
    put(asked, "SELECT owner, topic, weight, body, parent FROM Note WHERE %s", terms.at);
    put(plain, "SELECT owner, topic, weight, body, parent FROM %s AS Note WHERE %s", other.at,
        terms.at);
    break;
  case 1:
    put_post_terms(&terms);
    put(&terms, " ORDER BY id %s LIMIT %u", happens(60) ? "DESC" : "ASC", below(6));
    put(asked, "SELECT * FROM Post WHERE %s", terms.at);
    put(plain, "SELECT * FROM %s AS Post WHERE %s", seen.at, terms.at);
    *ordered = true;
    break;
  case 2:
    put_post_terms(&terms);
    put(asked, "SELECT Post.id, author, weight FROM Post JOIN Note ON parent = Post.id WHERE %s",
        terms.at);
    put(plain,
        "SELECT Post.id, author, weight FROM %s AS Post JOIN %s AS Note ON parent = Post.id "
        "WHERE %s",
        seen.at, other.at, terms.at);
    break;
  default: {
    const char *result = results[below(5)];
    put_post_terms(&terms);
    put(asked, "SELECT %s FROM Post WHERE %s", result, terms.at);
    put(plain, "SELECT %s FROM %s AS Post WHERE %s", result, seen.at, terms.at);
  }
  }
}

const char *choose_change(void) {
  static const char *const changes[] = {"VACUUM",
                                        "CREATE INDEX IF NOT EXISTS post_author ON Post(author)",
                                        "DROP INDEX IF EXISTS post_author",
                                        "DROP INDEX IF EXISTS post_class",
                                        "CREATE INDEX IF NOT EXISTS post_class ON Post(class, id)",
                                        "ANALYZE",
                                        "REINDEX",
                                        "PRAGMA user_version = 5",
                                        "DELETE FROM Post",
                                        "ALTER TABLE Log ADD COLUMN more"};
  return changes[below(9 + (below(8) == 0))];
}
