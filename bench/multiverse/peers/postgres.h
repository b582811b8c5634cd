/*
** PostgreSQL with row level security, and a view that rewrites: the same data, policy and queries.
** A server of its own in a scratch folder, reached by a socket there, asked by pgbench. Settings
** favour it: the user's identity is given with the connection, no fsync, all in shared buffers.
*/
#ifndef TENFOLD_BENCH_MULTIVERSE_POSTGRES_H
#define TENFOLD_BENCH_MULTIVERSE_POSTGRES_H

#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "bench/multiverse/forum.h"

typedef struct Postgres {
  const char *missing; /* why there is none */
  char bin[200], folder[200];
  uid_t uid;
  gid_t gid;
  pid_t server;
  int fewest; /* processes of the server */
} Postgres;

enum { POSTGRES_WORDS = 24 };

/* In the child: becomes the program, as PostgreSQL's user where we are root. */
static inline void postgres_become(const Postgres *pg, const char *program, char **words,
                                   const char *output) {
  char path[300];
  snprintf(path, sizeof path, "%s/%s", pg->bin, program);
  words[0] = path; /* where they look for one another */
  int out = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600), in = open("/dev/null", O_RDONLY);
  if (out < 0 || in < 0) _exit(126);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  if (getuid() == 0 && (setgid(pg->gid) || setuid(pg->uid))) _exit(126);
  if (chdir(pg->folder)) _exit(126);
  execv(path, words);
  _exit(127);
}

/* Starts a program of PostgreSQL; words end with NULL. */
static inline pid_t postgres_start(const Postgres *pg, const char *output, const char *program,
                                   const char *const *rest) {
  char *words[POSTGRES_WORDS] = {(char *)program};
  for (int i = 0; rest[i] && i < POSTGRES_WORDS - 2; i++) words[i + 1] = (char *)rest[i];
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) postgres_become(pg, program, words, output);
  return child;
}

static inline bool postgres_run(const Postgres *pg, const char *output, const char *program,
                                const char *const *rest) {
  int status = -1;
  pid_t child = postgres_start(pg, output, program, rest);
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static inline const char *postgres_path(const Postgres *pg, char *out, const char *name) {
  snprintf(out, 256, "%s/%s", pg->folder, name);
  return out;
}

static inline bool postgres_sql(const Postgres *pg, const char *sql) {
  char output[256];
  const char *const words[] = {"-X",       "-q",       "-At", "-v",       "ON_ERROR_STOP=1",
                               "-h",       pg->folder, "-U",  "postgres", "-d",
                               "postgres", "-c",       sql,   NULL};
  return postgres_run(pg, postgres_path(pg, output, "said"), "psql", words);
}

/* ---- the forum there */

static const char postgres_tables[] =
    "CREATE TABLE post(id int PRIMARY KEY, class int NOT NULL, author int NOT NULL,"
    "  anon boolean NOT NULL, priv boolean NOT NULL, content text NOT NULL);"
    "CREATE TABLE enrollment(uid int, class int, role text);";

static const char postgres_policy[] =
    "CREATE INDEX ON post(class, id); CREATE INDEX ON post(author);"
    "CREATE INDEX ON enrollment(uid, class, role);"
    "CREATE ROLE app LOGIN; GRANT SELECT ON post, enrollment TO app;"
    "CREATE TABLE open_post AS TABLE post; ALTER TABLE open_post ADD PRIMARY KEY (id);"
    "CREATE INDEX ON open_post(class, id); CREATE INDEX ON open_post(author);"
    "GRANT SELECT ON open_post TO app;"
    "ALTER TABLE post ENABLE ROW LEVEL SECURITY;"
    "CREATE POLICY seen ON post FOR SELECT TO app USING ("
    "  author = (SELECT current_setting('app.uid')::int)"
    "  OR (NOT priv AND class IN (SELECT class FROM enrollment"
    "      WHERE uid = (SELECT current_setting('app.uid')::int) AND role = 'student'))"
    "  OR class IN (SELECT class FROM enrollment"
    "      WHERE uid = (SELECT current_setting('app.uid')::int) AND role <> 'student'));"
    "CREATE VIEW seen WITH (security_barrier, security_invoker) AS SELECT id, class,"
    "  CASE WHEN anon AND author <> (SELECT current_setting('app.uid')::int)"
    "    AND class NOT IN (SELECT class FROM enrollment"
    "      WHERE uid = (SELECT current_setting('app.uid')::int) AND role <> 'student')"
    "  THEN -1 ELSE author END AS author, anon, priv, content FROM post;"
    "GRANT SELECT ON seen TO app;";

static inline bool postgres_write_rows(const Postgres *pg, int posts) {
  char path[256];
  Chance chance = {42};
  FILE *f = fopen(postgres_path(pg, path, "post.csv"), "w");
  if (!f) return false;
  for (int i = 0; i < posts; i++) {
    Post post = forum_post(&chance, i);
    fprintf(f, "%d,%d,%d,%d,%d,%s\n", i, post.class, post.author, post.anon, post.private,
            post.content);
  }
  if (fclose(f)) return false;
  f = fopen(postgres_path(pg, path, "enrollment.csv"), "w");
  if (!f) return false;
  for (int i = 0; i < USERS * CLASSES_OF_USER; i++) {
    int user = i / CLASSES_OF_USER, k = i % CLASSES_OF_USER;
    fprintf(f, "%d,%d,%s\n", user, forum_class(user, k), k ? "student" : "ta");
  }
  return fclose(f) == 0;
}

static inline bool postgres_fill(const Postgres *pg, int posts) {
  char copy[600];
  if (!postgres_write_rows(pg, posts) || !postgres_sql(pg, postgres_tables)) return false;
  snprintf(copy, sizeof copy, "COPY post FROM '%s/post.csv' (FORMAT csv)", pg->folder);
  if (!postgres_sql(pg, copy)) return false;
  snprintf(copy, sizeof copy, "COPY enrollment FROM '%s/enrollment.csv' (FORMAT csv)", pg->folder);
  return postgres_sql(pg, copy) && postgres_sql(pg, postgres_policy) &&
         postgres_sql(pg, "VACUUM ANALYZE");
}

/* ---- the server */

static inline bool postgres_find(Postgres *pg) {
  glob_t found;
  bool there = glob("/usr/lib/postgresql/*/bin/pgbench", 0, NULL, &found) == 0;
  if (there) {
    snprintf(pg->bin, sizeof pg->bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(pg->bin, '/') = 0;
    globfree(&found);
  }
  struct passwd *user = getpwnam("postgres");
  if (user) {
    pg->uid = user->pw_uid;
    pg->gid = user->pw_gid;
  }
  return there && (user || getuid() != 0);
}

/* A server with nothing in it. */
static inline bool postgres_serve(Postgres *pg) {
  char data[256], output[256];
  const char *root = getenv("TMPDIR");
  snprintf(pg->folder, sizeof pg->folder, "%s/multiverse-bench-XXXXXX", root ? root : "/tmp");
  if (!mkdtemp(pg->folder)) return false;
  if (getuid() == 0 && chown(pg->folder, pg->uid, pg->gid)) return false;
  postgres_path(pg, data, "data");
  postgres_path(pg, output, "server");
  const char *const init[] = {"-D", data, "-A", "trust", "-U", "postgres", "--no-sync", NULL};
  const char *const serve[] = {
      "-D", data,        "-k", pg->folder,           "-c", "listen_addresses=",
      "-c", "fsync=off", "-c", "shared_buffers=1GB", "-c", "max_parallel_workers_per_gather=0",
      "-c", "jit=off",   "-c", "autovacuum=off",     NULL};
  if (!postgres_run(pg, output, "initdb", init)) return false;
  pg->server = postgres_start(pg, output, "postgres", serve);
  const struct timespec pause = {0, 100000000};
  for (int i = 0; i < 100; i++) {
    if (postgres_sql(pg, "SELECT 1")) return true;
    nanosleep(&pause, NULL);
  }
  return false;
}

static inline void postgres_end(Postgres *pg) {
  char command[300];
  if (pg->server > 0) {
    kill(pg->server, SIGINT); /* a fast shutdown */
    waitpid(pg->server, NULL, 0);
  }
  if (!pg->folder[0]) return;
  snprintf(command, sizeof command, "rm -rf '%s'", pg->folder);
  if (system(command)) fprintf(stderr, "%s is left behind\n", pg->folder);
}

static inline void postgres_begin(Postgres *pg, int posts) {
  if (!postgres_find(pg)) {
    pg->missing = "PostgreSQL is not installed";
  } else if (!postgres_serve(pg)) {
    pg->missing = "its server did not start";
  } else if (!postgres_fill(pg, posts)) {
    pg->missing = "it refused the forum's data";
  }
}

/* ---- asking it */

/* CPU seconds of what the server has started and has seen end. */
static inline double postgres_cpu(const Postgres *pg) {
  char path[64], line[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pg->server);
  FILE *f = fopen(path, "r");
  bool got = f && fgets(line, sizeof line, f);
  if (f) fclose(f);
  if (!got) return 0;
  char *at = strrchr(line, ')');
  long user = 0, system = 0;
  /* state is field 3; the children's times are 16 and 17 */
  for (int field = 2; at && field < 16; field++) at = strchr(at + 1, ' ');
  if (!at || sscanf(at, " %ld %ld", &user, &system) != 2) return 0;
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Processes of the server. */
static inline int postgres_children(const Postgres *pg) {
  char path[96];
  int count = 0, pid;
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pg->server, (int)pg->server);
  FILE *f = fopen(path, "r");
  while (f && fscanf(f, "%d", &pid) == 1) count++;
  if (f) fclose(f);
  return count;
}

/* Until what has been asked has ended, and its time is known: the fewest processes ever seen. */
static inline void postgres_settle(Postgres *pg) {
  const struct timespec pause = {0, 10000000};
  for (int i = 0; i < 100; i++) {
    const int now = postgres_children(pg);
    if (now < pg->fewest || !pg->fewest) pg->fewest = now;
    if (i > 10 && now == pg->fewest) return;
    nanosleep(&pause, NULL);
  }
}

static inline double children_cpu(void) {
  struct rusage use;
  getrusage(RUSAGE_CHILDREN, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static inline long postgres_done(const char *path) {
  char line[256];
  long count = 0;
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f)) {
    (void)sscanf(line, "number of transactions actually processed: %ld", &count);
  }
  if (f) fclose(f);
  return count;
}

/* Queries per CPU second of client and backend; 0 when it could not. */
static inline double postgres_ask(Postgres *pg, const char *script, int user, int seconds,
                                  int seed) {
  char path[256], output[256], duration[16], random[32], options[64];
  FILE *f = fopen(postgres_path(pg, path, "script.sql"), "w");
  if (!f) return 0;
  fputs(script, f);
  fclose(f);
  chmod(path, 0644);
  snprintf(duration, sizeof duration, "%d", seconds);
  snprintf(random, sizeof random, "--random-seed=%d", seed);
  snprintf(options, sizeof options, "-c app.uid=%d", user);
  setenv("PGOPTIONS", options, 1);
  const char *const words[] = {"-n", "-M", "prepared", "-T", duration, random,     "-f",
                               path, "-h", pg->folder, "-U", "app",    "postgres", NULL};
  postgres_settle(pg);
  double before = postgres_cpu(pg), own = children_cpu();
  bool ok = postgres_run(pg, postgres_path(pg, output, "answer"), "pgbench", words);
  own = children_cpu() - own;
  unsetenv("PGOPTIONS");
  postgres_settle(pg);
  const double backend = postgres_cpu(pg) - before;
  return ok && backend > 0 ? (double)postgres_done(output) / (own + backend) : 0;
}

#endif
