/*
** The in-process log: what is recorded with it is what is recorded without it, what strace sees,
** and what replay finds; whatever comes in between: signals, threads, deaths, a killed recorder.
**
** Oracles: objdump for the places, strace and the recorder without the log for the calls, the
** hashes of the player for everything else.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/inside_inner.h"
#include "replay/play.h"
#include "replay/record.h"
#include "replay/syscalls.h"
#include "test/base/check.h"
#include "test/replay/oracle.h"
#include "test/replay/scratch.h"

static char place[256], program[300], folder[300];

/* ---- places in a file */

static bool is_site(InsideFile *file, uint64_t offset) {
  InsideSite site;
  Fault fault = {0};
  check(inside_file_site(file, offset, &site, &fault), "a place is looked at");
  return site.size > 0;
}

/* Those that can be rewritten, of every `syscall` that objdump finds. */
static size_t count_listed(const char *path, InsideFile *file) {
  FILE *listing = oracle_open("objdump -d --no-show-raw-insn '%s'", path);
  char line[512];
  size_t listed = 0;
  while (fgets(line, sizeof line, listing)) {
    unsigned long long at;
    char name[32] = "";
    if (sscanf(line, " %llx: %31s", &at, name) != 2 || strcmp(name, "syscall") != 0) continue;
    listed += is_site(file, at);
  }
  oracle_close(listing);
  return listed;
}

/* Those that can be, wherever the two bytes stand. */
static size_t count_all(const char *path, InsideFile *file) {
  FILE *bytes = fopen(path, "rb");
  size_t count = 0;
  int before = 0;
  check(bytes != NULL, "libc can be read");
  for (uint64_t at = 0;; at++) {
    const int byte = getc(bytes);
    if (byte == EOF) break;
    if (before == 0x0f && byte == 0x05) count += is_site(file, at - 1);
    before = byte;
  }
  fclose(bytes);
  return count;
}

static void test_sites(void) {
  const char *path = "/usr/lib/x86_64-linux-gnu/libc.so.6"; /* offsets are addresses in its code */
  InsideFile *file;
  Fault fault = {0};
  check(inside_file_open(path, &file, &fault) && file, "libc is looked at");
  const size_t all = count_all(path, file);
  check(all > 200, "libc has places");
  check(count_listed(path, file) == all, "all of them are what objdump calls syscall");
  check(!is_site(file, 0) && !is_site(file, UINT64_MAX), "none where there is no code");
  inside_file_close(file);
  check(inside_file_open("/etc/passwd", &file, &fault) && !file, "a text has none");
  check(inside_file_open("/nowhere", &file, &fault) && !file, "nor has what is not there");
  check(!is_site(NULL, 1), "what has no code has no places");
}

/* ---- recordings */

enum { HASH_EVERY = 150 }; /* events; a run of fewer is not worth the player's log */

static uint64_t logged; /* by the last recording, without a stop */

static bool record_hashed(const char *dir, RecordCalls calls, uint64_t hash_every,
                          char *const *argv, int *out_status) {
  const RecordOptions options = {
      .dir = dir, .argv = argv, .calls = calls, .hash_every = hash_every};
  RecordSummary summary;
  Fault fault = {0};
  const bool ok = record_run(&options, NULL, &summary, &fault);
  if (!ok) printf("# %s\n", fault.text);
  *out_status = summary.status;
  logged = summary.inside;
  return ok;
}

static bool record(const char *dir, bool inside, char *const *argv, int *out_status) {
  return record_hashed(dir, inside ? CALLS_INSIDE : CALLS_STOP, HASH_EVERY, argv, out_status);
}

static bool play_with(const char *dir, bool every_stop, PlayEnd *out) {
  Recording *recording;
  Player *player = NULL;
  Fault fault = {0};
  const PlayOptions options = {.hashes = true, .every_stop = every_stop};
  if (!recording_open(dir, &recording, &fault)) return false;
  const bool ok = player_open(recording, &options, &player, &fault) &&
                  player_run(player, UINT64_MAX, out, &fault);
  if (!ok) printf("# %s\n", fault.text);
  player_close(player);
  recording_close(recording);
  return ok && out->kind == PLAY_END;
}

/* With calls that are answered in the process, and without: it comes to the same end. */
static bool play(const char *dir, PlayEnd *out) {
  PlayEnd plain;
  const bool ok = play_with(dir, false, out) && play_with(dir, true, &plain);
  return ok && out->ev == plain.ev && out->hashes == plain.hashes && !plain.inside;
}

static const char *dir_of(const char *name, bool inside) {
  static char dirs[2][600];
  snprintf(dirs[inside], sizeof dirs[0], "%s/%s-%d", place, name, inside);
  return dirs[inside];
}

typedef struct Reading {
  Recording *recording;
  TraceCursor *cursor;
  int marks;
} Reading;

static void open_reading(Reading *reading, const char *dir) {
  Fault fault = {0};
  *reading = (Reading){0};
  if (!recording_open(dir, &reading->recording, &fault) ||
      !trace_open(reading->recording, &reading->cursor, &fault)) {
    oracle_die(dir, fault.text);
  }
}

static void close_reading(Reading *reading) {
  trace_close(reading->cursor);
  recording_close(reading->recording);
}

/* The next call between the program's marks; NULL: none. */
static const Event *next_call(Reading *reading) {
  const Event *event;
  Fault fault = {0};
  for (;;) {
    if (!trace_next(reading->cursor, &event, &fault)) oracle_die("a recording", fault.text);
    if (!event) return NULL;
    if (event->kind != EVENT_SYSCALL) continue;
    if (event->nr == call_number("getppid")) {
      reading->marks++;
    } else if (reading->marks == 1) {
      return event;
    }
    if (reading->marks == 2) return NULL;
  }
}

/* Times, numbers of files and random ones differ from run to run. */
static bool is_varied(int nr) {
  const char *name = call_name(nr);
  return name && (strstr(name, "stat") || strcmp(name, "getdents64") == 0 ||
                  strcmp(name, "getrandom") == 0);
}

static bool same_call(const Event *a, const Event *b) {
  bool same = a->nr == b->nr && a->ret == b->ret && a->nchunks == b->nchunks &&
              memcmp(a->args, b->args, sizeof a->args) == 0;
  for (int i = 0; same && i < a->nchunks; i++) {
    const Chunk *x = &a->chunks[i], *y = &b->chunks[i];
    same = x->kind == y->kind && x->addr == y->addr && x->size == y->size &&
           (is_varied(a->nr) || !x->size || memcmp(x->bytes, y->bytes, x->size) == 0);
  }
  return same;
}

static size_t compare(const char *name) {
  Reading plain, inside;
  size_t count = 0;
  bool same = true;
  open_reading(&plain, dir_of(name, false));
  open_reading(&inside, dir_of(name, true));
  while (same) {
    const Event *a = next_call(&plain), *b = next_call(&inside);
    if (!a || !b) {
      same = !a && !b;
      break;
    }
    same = same_call(a, b);
    if (!same) {
      printf("# call %zu: %s = %lld, not %s = %lld, as it is without the log\n", count,
             call_name(b->nr), (long long)b->ret, call_name(a->nr), (long long)a->ret);
    }
    count++;
  }
  close_reading(&plain);
  close_reading(&inside);
  check(same, "the calls are those recorded without the log");
  return count;
}

/* Names and results, call by call. */
static bool agrees_with_strace(const char *name, char *const *argv) {
  char command[2048] = "", line[4096];
  for (int i = 0; argv[i]; i++) {
    snprintf(command + strlen(command), sizeof command - strlen(command), " '%s'", argv[i]);
  }
  FILE *list =
      oracle_open("strace -qq -s 0 -o '%s/strace'%s; cat '%s/strace'", place, command, place);
  Reading reading;
  int marks = 0;
  bool same = true;
  open_reading(&reading, dir_of(name, true));
  while (fgets(line, sizeof line, list) && marks < 2) {
    char call[64];
    const char *equals = NULL;
    for (const char *at = strstr(line, " = "); at; at = strstr(at + 1, " = ")) equals = at;
    if (sscanf(line, "%63[a-z0-9_](", call) != 1 || !equals) continue;
    if (strcmp(call, "getppid") == 0) marks++;
    if (marks != 1 || strcmp(call, "getppid") == 0) continue;
    const Event *event = next_call(&reading);
    const char *value = equals + 3;
    const bool failed = *value == '-';
    char known[32];
    snprintf(known, sizeof known, "syscall_0x%x", event ? (unsigned)event->nr : 0);
    const char *ours = event && call_name(event->nr) ? call_name(event->nr) : known;
    const char *error = event && event->ret < 0 ? errno_name((int)-event->ret) : NULL;
    same = event && strcmp(ours, call) == 0 &&
           (failed ? error && strncmp(value + 3, error, strlen(error)) == 0
                   : event->ret == strtoll(value, NULL, 0) || event->ret >> 32);
    if (same) continue;
    printf("# strace has %s# and the recording %s = %lld\n", line, ours,
           event ? (long long)event->ret : 0);
    break;
  }
  while (fgets(line, sizeof line, list)) {
  }
  close_reading(&reading);
  pclose(list); /* the program's own status */
  return same && marks == 2;
}

static void test_calls(const char *what, size_t least, size_t least_logged) {
  char *argv[] = {program, (char *)(uintptr_t)what, folder, NULL};
  int plain, inside;
  PlayEnd end;
  check(record(dir_of(what, false), false, argv, &plain) && logged == 0,
        "a program is recorded, every call a stop");
  check(record(dir_of(what, true), true, argv, &inside) && plain == inside, "and with the log");
  check(logged >= least_logged, "most of its calls are logged");
  check(compare(what) >= least, "and makes as many calls as are wanted");
  check(agrees_with_strace(what, argv), "strace has the same calls");
  check(play(dir_of(what, true), &end), "the recording is played exactly");
  check(end.hashes >= end.ev / HASH_EVERY * 3 / 4, "with as many hashes as were wanted");
  check(end.inside >= least_logged * 9 / 10, "most of it without a stop");
  check(play(dir_of(what, false), &end), "and so is what was recorded without the log");
}

/* Without an order that could be compared. */
static void test_played(const char *what, int signals, uint64_t least_played) {
  char *argv[] = {program, (char *)(uintptr_t)what, NULL};
  int status;
  PlayEnd end;
  Reading reading;
  const Event *event;
  Fault fault = {0};
  int found = 0;
  check(record(dir_of(what, true), true, argv, &status) && status == 0 && logged > 900, what);
  check(play(dir_of(what, true), &end) && end.hashes > 0, "it is played exactly");
  check(end.inside >= least_played, "much of it without a stop");
  open_reading(&reading, dir_of(what, true));
  while (trace_next(reading.cursor, &event, &fault) && event) found += event->kind == EVENT_SIGNAL;
  close_reading(&reading);
  check(!fault.code && found >= signals, "it got its signals");
}

/* ---- ends */

static int count_calls(const char *dir, const char *name) {
  Reading reading;
  const Event *event;
  Fault fault = {0};
  int found = 0;
  open_reading(&reading, dir);
  while (trace_next(reading.cursor, &event, &fault) && event) {
    found += event->kind == EVENT_SYSCALL && event->nr == call_number(name);
  }
  close_reading(&reading);
  return found;
}

static void test_death(void) {
  char *argv[] = {program, (char *)(uintptr_t) "dies", (char *)(uintptr_t) "4321", NULL};
  int status;
  PlayEnd end;
  const char *dir = dir_of("dies", true);
  check(record(dir, true, argv, &status) && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
        "a program dies behind its calls");
  check(count_calls(dir, "lseek") == 4321, "all of them are there");
  check(play(dir, &end), "it is played to its death");
}

/* Nobody asks for the log, and for hashes, and none of the calls is a stop by itself. */
static void test_by_default(void) {
  char *argv[] = {program, (char *)(uintptr_t) "dies", (char *)(uintptr_t) "300000", NULL};
  const char *dir = dir_of("default", true);
  int status, hashed = 0, calls = 0;
  Reading reading;
  const Event *event;
  PlayEnd end;
  Fault fault = {0};
  check(record_hashed(dir, CALLS_USUAL, 0, argv, &status) && logged >= 290000, "calls are logged");
  open_reading(&reading, dir);
  while (trace_next(reading.cursor, &event, &fault) && event) {
    if (event->kind != EVENT_SYSCALL || event->nr != call_number("lseek")) continue;
    calls++;
    hashed += event->has_hash;
  }
  close_reading(&reading);
  check(calls == 300000 && hashed > 0, "now and then there is a hash nevertheless");
  check(play(dir, &end), "it is played");
}

/* Until the recording has some bytes. */
static void await_bytes(const char *dir, off_t bytes) {
  char path[700];
  struct stat st = {0};
  snprintf(path, sizeof path, "%s/events", dir);
  while (stat(path, &st) != 0 || st.st_size < bytes) usleep(10000);
}

static void test_killed_recorder(void) {
  char *argv[] = {program, (char *)(uintptr_t) "long", NULL};
  const char *dir = dir_of("long", true);
  int status;
  PlayEnd end;
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    record(dir, true, argv, &status);
    _exit(0);
  }
  await_bytes(dir, 150000);
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  check(play(dir, &end) && end.ev > 1000, "what a killed recorder leaves is played to its end");
}

int main(void) {
  char command[1024];
  scratch_make(place, sizeof place);
  snprintf(program, sizeof program, "%s/inside", place);
  snprintf(folder, sizeof folder, "%s/folder", place);
  snprintf(command, sizeof command, "gcc -O2 -w -o '%s' test/replay/subjects/inside.c -lpthread",
           program);
  if (mkdir(folder, 0700) != 0 || system(command) != 0) oracle_die(command, "failed");
  test_sites();
  test_calls("files", 12000, 13000);
  test_calls("errors", 120, 0);
  test_played("signals", 20, 900);
  test_played("blocked", 0, 900);
  test_played("held", 20, 0);
  test_played("threads", 0, 900);
  test_played("polls", 0, 900);
  test_played("processes", 0, 900);
  test_death();
  test_by_default();
  test_killed_recorder();
  scratch_remove(place);
  return checks_end();
}
