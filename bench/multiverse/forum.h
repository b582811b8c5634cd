/*
** A class forum of the size that the paper measures: 5,000 users in 1,000 classes of 150 students
** and 5 of staff each, and posts of which one in twenty is private and one in five anonymous. Each
** user is staff in one class and a student in 30 others, picked at random. Post i is of class i
** modulo 1,000, so that whoever asks can tell which posts a user may see.
*/
#ifndef TENFOLD_BENCH_MULTIVERSE_FORUM_H
#define TENFOLD_BENCH_MULTIVERSE_FORUM_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  CLASSES = 1000,
  USERS = 5000,
  CLASSES_OF_USER = 31,
  MEMBERS = USERS * CLASSES_OF_USER / CLASSES
};

/* xorshift64*: the same forum on every machine. */
typedef struct Chance {
  uint64_t state;
} Chance;

static inline int pick(Chance *chance, int n) {
  chance->state ^= chance->state >> 12;
  chance->state ^= chance->state << 25;
  chance->state ^= chance->state >> 27;
  return (int)((chance->state * 0x2545F4914F6CDD1Dull >> 33) % (uint64_t)n);
}

/* ---- who is in what */

static struct Forum {
  int classes[USERS][CLASSES_OF_USER]; /* the first: as staff */
  int members[CLASSES][MEMBERS];
  bool enrolled;
} forum;

static inline bool forum_has(int user, int rounds, int class) {
  for (int k = 0; k < rounds; k++) {
    if (forum.classes[user][k] == class) return true;
  }
  return false;
}

/* One place in each class for every fifth of the users, none twice in a class: two that would be
** change places with others. */
static inline void forum_deal(Chance *chance, int k) {
  for (int u = 0; u < USERS; u++) forum.classes[u][k] = u % CLASSES;
  for (int pass = 0, again = 1; again; pass++) {
    again = 0;
    for (int u = 0; u < USERS; u++) {
      const int own = forum.classes[u][k];
      if (pass > 0 && !forum_has(u, k, own)) continue;
      const int other = pick(chance, USERS);
      forum.classes[u][k] = forum.classes[other][k];
      forum.classes[other][k] = own;
      again = 1;
    }
    for (int u = 0; !again && u < USERS; u++) again = forum_has(u, k, forum.classes[u][k]);
  }
}

static inline void forum_enrol(void) {
  static int counts[CLASSES];
  Chance chance = {7};
  if (forum.enrolled) return;
  forum.enrolled = true;
  for (int k = 0; k < CLASSES_OF_USER; k++) forum_deal(&chance, k);
  for (int u = 0; u < USERS; u++) {
    for (int k = 0; k < CLASSES_OF_USER; k++) {
      const int class = forum.classes[u][k];
      forum.members[class][counts[class]++] = u;
    }
  }
}

static inline int forum_class(int user, int k) {
  forum_enrol();
  return forum.classes[user][k];
}

static inline int forum_member(int class, int i) {
  forum_enrol();
  return forum.members[class][i];
}

/* ---- posts */

typedef struct Post {
  int id, class, author;
  bool anon, private;
  char content[81];
} Post;

static inline Post forum_post(Chance *chance, int id) {
  Post post = {.id = id, .class = id % CLASSES};
  post.author = forum_member(post.class, pick(chance, MEMBERS));
  post.anon = pick(chance, 5) == 0;
  post.private = pick(chance, 20) == 0;
  for (int i = 0; i < 80; i++) post.content[i] = (char)('a' + pick(chance, 26));
  return post;
}

/* ---- in SQLite */

static inline void check(sqlite3 *db, int rc) {
  if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE) return;
  fprintf(stderr, "%s\n", sqlite3_errmsg(db));
  exit(2);
}

static inline void run(sqlite3 *db, const char *sql) {
  check(db, sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static inline sqlite3_stmt *prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  check(db, sqlite3_prepare_v2(db, sql, -1, &stmt, NULL));
  return stmt;
}

static const char forum_tables[] =
    "CREATE TABLE Post(id INTEGER PRIMARY KEY, class INTEGER NOT NULL, author INTEGER NOT NULL,"
    "  anon INTEGER NOT NULL, priv INTEGER NOT NULL, content TEXT NOT NULL);"
    "CREATE TABLE Enrollment(uid INTEGER, class INTEGER, role TEXT);";

static const char forum_indexes[] = "CREATE INDEX post_class ON Post(class);"
                                    "CREATE INDEX post_author ON Post(author);"
                                    "CREATE INDEX enrollment_uid ON Enrollment(uid, class, role);";

static inline void forum_fill(sqlite3 *db, int posts) {
  Chance chance = {42};
  run(db, "BEGIN");
  run(db, forum_tables);
  sqlite3_stmt *stmt = prepare(db, "INSERT INTO Enrollment VALUES(?1, ?2, ?3)");
  for (int i = 0; i < USERS * CLASSES_OF_USER; i++) {
    int k = i % CLASSES_OF_USER;
    sqlite3_bind_int(stmt, 1, i / CLASSES_OF_USER);
    sqlite3_bind_int(stmt, 2, forum_class(i / CLASSES_OF_USER, k));
    sqlite3_bind_text(stmt, 3, k ? "student" : "ta", -1, SQLITE_STATIC);
    check(db, sqlite3_step(stmt));
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  stmt = prepare(db, "INSERT INTO Post VALUES(?1, ?2, ?3, ?4, ?5, ?6)");
  for (int i = 0; i < posts; i++) {
    Post post = forum_post(&chance, i);
    sqlite3_bind_int(stmt, 1, i);
    sqlite3_bind_int(stmt, 2, post.class);
    sqlite3_bind_int(stmt, 3, post.author);
    sqlite3_bind_int(stmt, 4, post.anon);
    sqlite3_bind_int(stmt, 5, post.private);
    sqlite3_bind_text(stmt, 6, post.content, -1, SQLITE_STATIC);
    check(db, sqlite3_step(stmt));
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  run(db, forum_indexes);
  run(db, "COMMIT; ANALYZE");
}

static const char forum_policy[] =
    "INSERT INTO multiverse_groups(name, members) VALUES"
    "  ('student', 'SELECT uid, class AS gid FROM Enrollment WHERE role = ''student'''),"
    "  ('staff', 'SELECT uid, class AS gid FROM Enrollment WHERE role <> ''student''');"
    "INSERT INTO multiverse_rules(tbl, action, grp, rule) VALUES"
    "  ('Post', 'allow', NULL, 'author = :uid'),"
    "  ('Post', 'allow', 'student', 'class = :gid AND NOT priv'),"
    "  ('Post', 'allow', 'staff', 'class = :gid'),"
    "  ('Post', 'insert', NULL,"
    "   'author = :uid AND class IN (SELECT class FROM Enrollment WHERE uid = :uid)');"
    "INSERT INTO multiverse_rules(tbl, action, rule, col, value, unless_grp, unless) VALUES"
    "  ('Post', 'rewrite', 'anon AND author <> :uid', 'author', '-1', 'staff', 'class = :gid');";

/* Extensions are in the folder above the one this program is in. */
static inline void forum_load(sqlite3 *db) {
  char path[4096], *message = NULL;
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 16);
  for (int up = 0; up < 2 && length > 0; up++) {
    while (length > 0 && path[--length] != '/') continue;
  }
  if (length <= 0) exit(2);
  memcpy(path + length, "/multiverse", sizeof "/multiverse");
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  if (sqlite3_load_extension(db, path, NULL, &message) != SQLITE_OK) {
    fprintf(stderr, "%s\n", message ? message : path);
    exit(2);
  }
}

static const char forum_token[] = "0123456789abcdef";

static inline void forum_enter(sqlite3 *db, int user) {
  sqlite3_stmt *stmt = prepare(db, "SELECT multiverse_enter(json_object('uid', ?1), ?2)");
  sqlite3_bind_int(stmt, 1, user);
  sqlite3_bind_text(stmt, 2, forum_token, -1, SQLITE_STATIC);
  check(db, sqlite3_step(stmt));
  check(db, sqlite3_finalize(stmt));
}

static inline void forum_leave(sqlite3 *db) {
  sqlite3_stmt *stmt = prepare(db, "SELECT multiverse_leave(?1)");
  sqlite3_bind_text(stmt, 1, forum_token, -1, SQLITE_STATIC);
  check(db, sqlite3_step(stmt));
  check(db, sqlite3_finalize(stmt));
}

/* ---- time */

/* Of this process, seconds: what other processes do to the clock is not in it. */
static inline double now_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
