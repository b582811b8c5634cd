/*
** Probes in what is played: this program, run again as a tree of processes and threads that count
** their own calls, is recorded; the rows are as many, with the arguments they had.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>

#include "replay/elf_file.h"
#include "replay/play.h"
#include "replay/record.h"
#include "test/base/check.h"
#include "test/replay/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>

#define NOINLINE __attribute__((noinline, noclone))

/* ---- the program that is recorded */

typedef struct Told {
  unsigned long calls, sum;
} Told;

static Told told;

long play_counted(long a, long b);
NOINLINE long play_counted(long a, long b) {
  told.calls++;
  told.sum += (unsigned long)(a * 31 + b);
  __asm__ volatile("" ::: "memory");
  return a - b;
}

/* Appended to the file: what this process has counted. */
static void tell(const char *path) {
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, &told, sizeof told) != sizeof told) abort();
  close(fd);
  told = (Told){0};
}

static void *some_calls(void *arg) {
  const long n = (long)(intptr_t)arg;
  for (long i = 0; i < n; i++) {
    play_counted(i, n);
    if (i % 50 == 0) sched_yield();
  }
  return NULL;
}

static int workload(const char *self, const char *path, const char *how) {
  some_calls((void *)(intptr_t)(strcmp(how, "again") == 0 ? 77 : 1000));
  if (strcmp(how, "again") == 0) {
    tell(path);
    return 0;
  }
  pid_t pid = fork();
  if (pid == 0) {
    told = (Told){0};
    some_calls((void *)500);
    tell(path);
    execl(self, self, "workload", path, "again", (char *)NULL);
    _exit(1);
  }
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    if (pthread_create(&threads[i], NULL, some_calls, (void *)(intptr_t)(300 + i))) abort();
  }
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  int status;
  if (waitpid(pid, &status, 0) != pid || status) return 1;
  some_calls((void *)10);
  tell(path);
  return 0;
}

/* ---- the recording */

static char place[256], self[4096], counts[300], dir[300];

static void must(bool ok, const Fault *fault) {
  if (ok) return;
  printf("# %s\n", fault->text);
  abort();
}

static void record(void) {
  char *argv[] = {self, "workload", counts, "first", NULL};
  const RecordOptions options = {.dir = dir, .argv = argv, .hash_every = 1};
  RecordSummary summary;
  Fault fault = {0};
  must(record_run(&options, NULL, &summary, &fault), &fault);
  check(summary.status == 0, "recorded");
}

static Told read_told(void) {
  Told all = {0}, one;
  FILE *file = fopen(counts, "r");
  assert(file);
  while (fread(&one, sizeof one, 1, file) == 1) {
    all.calls += one.calls;
    all.sum += one.sum;
  }
  fclose(file);
  return all;
}

/* The number of the file in the recording. */
static uint32_t number_of(Recording *recording, const char *path) {
  TraceCursor *cursor;
  const Event *event;
  Fault fault = {0};
  uint32_t number = PROBE_NO_FILE;
  must(trace_open(recording, &cursor, &fault), &fault);
  while (trace_next(cursor, &event, &fault) && event) {
    for (int i = 0; event->kind == EVENT_FILE && i < event->nchunks; i++) {
      const Chunk *chunk = &event->chunks[i];
      if (chunk->kind == CHUNK_PATH && chunk->size == strlen(path) &&
          memcmp(chunk->bytes, path, chunk->size) == 0) {
        number = (uint32_t)event->aux;
      }
    }
  }
  trace_close(cursor);
  assert(number != PROBE_NO_FILE);
  return number;
}

/* Where a function of this program is in its file. */
static CodeRange find_function(const char *name) {
  ElfFile *elf;
  ElfSymbols symbols;
  ElfSymbol symbol;
  Fault fault = {0};
  CodeRange range = {0};
  must(elf_open(self, &elf, &fault) && elf_symbols(elf, ELF_SYMTAB, &symbols, &fault), &fault);
  for (size_t i = 0; i < symbols.count; i++) {
    if (!elf_symbol(&symbols, i, &symbol) || strcmp(symbol.name, name) != 0) continue;
    assert(elf_offset(elf, symbol.addr, &range.lo));
    range.hi = range.lo + symbol.size;
  }
  elf_symbols_finish(&symbols);
  elf_close(elf);
  assert(range.lo);
  return range;
}

/* ---- playing */

enum { COLUMNS = 1 << ROW_EV | 1 << ROW_TID | 1 << ROW_HIT | 1 << ROW_A0 | 1 << ROW_A1 };

typedef struct Played {
  Recording *recording;
  Player *player;
  ProbeFunction function;
  int fd, set;
} Played;

static void open_played(Played *played, uint64_t limit, bool int3) {
  Fault fault = {0};
  must(recording_open(dir, &played->recording, &fault), &fault);
  const PlayOptions options = {.hashes = true};
  must(player_open(played->recording, &options, &played->player, &fault), &fault);
  played->function = (ProbeFunction){.file = number_of(played->recording, self), .nparts = 1};
  played->function.parts[0] = find_function("play_counted");
  const ProbeSpec spec = {.columns = COLUMNS,
                          .returns = true,
                          .always_int3 = int3,
                          .limit = limit,
                          .functions = &played->function,
                          .nfunctions = 1};
  played->fd = memfd_create("rows", MFD_CLOEXEC);
  must(player_probe(played->player, &spec, played->fd, "key", 3, &played->set, &fault), &fault);
}

static void close_played(Played *played) {
  player_close(played->player);
  recording_close(played->recording);
  close(played->fd);
  check(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "nothing is left");
}

static void test_counts(bool int3) {
  Played played;
  PlayEnd end;
  ProbeCounts patched;
  Rows rows;
  RowState state;
  Fault fault = {0};
  const Told expected = read_told();
  open_played(&played, 0, int3);
  bool ok = player_run(played.player, UINT64_MAX, &end, &fault) && end.kind == PLAY_END;
  if (!ok) printf("# %s\n", fault.text);
  check(ok && end.hashes > 100, int3 ? "played with breakpoints" : "played with probes");
  must(player_rows(played.player, played.set, ROWS_COMPLETE, &patched, &fault), &fault);
  check(int3 ? patched.int3 > 0 && !patched.native : patched.native > 0, "patched as asked");
  uint64_t count, entries = 0, returns = 0, ev = 0;
  unsigned long sum = 0;
  bool ordered = true;
  must(rows_open(played.fd, &rows, &fault) && rows_count(&rows, &count, &state, &fault), &fault);
  const uint8_t *word = rows.layout.word;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t *row = rows_at(&rows, i);
    ordered &= row[word[ROW_EV]] >= ev;
    ev = row[word[ROW_EV]];
    returns += row_kind(row[0]) == ROW_RETURN;
    if (row_kind(row[0]) != ROW_ENTRY) continue;
    entries++;
    sum += row[word[ROW_A0]] * 31 + row[word[ROW_A1]];
  }
  printf("# %llu entries, the program counted %lu\n", (unsigned long long)entries, expected.calls);
  check(entries == expected.calls && returns == entries, "a row for each call, and its return");
  check(sum == expected.sum, "with the arguments it had");
  check(ordered, "in the order of events");
  check(state == ROWS_COMPLETE, "and the file says that it is whole");
  rows_close(&rows);
  close_played(&played);
}

static void test_limit(void) {
  Played played;
  PlayEnd end;
  Fault fault = {0};
  open_played(&played, 1301, false);
  must(player_run(played.player, UINT64_MAX, &end, &fault), &fault);
  check(end.kind == PLAY_LIMIT && end.set == played.set, "a limit ends it");
  Rows rows;
  RowState state;
  uint64_t count;
  must(rows_open(played.fd, &rows, &fault) && rows_count(&rows, &count, &state, &fault), &fault);
  check(count == 1301, "with so many rows");
  rows_close(&rows);
  must(player_run(played.player, UINT64_MAX, &end, &fault), &fault);
  check(end.kind == PLAY_END, "and it can go on");
  close_played(&played);
}

/* ---- moments: rows tell when, and there the program has what the row says */

typedef struct Wanted {
  Moment moment;
  uint64_t a0, a1;
} Wanted;

enum { WANTED = 120, VISITED = 24 };

/* Every 17th row, the moments shuffled; their number. */
static size_t choose(Wanted *out, uint64_t base) {
  Played played;
  PlayEnd end;
  Rows rows;
  RowState state;
  Fault fault = {0};
  uint64_t count;
  size_t n = 0;
  open_played(&played, 0, false);
  must(player_run(played.player, UINT64_MAX, &end, &fault), &fault);
  must(rows_open(played.fd, &rows, &fault) && rows_count(&rows, &count, &state, &fault), &fault);
  const uint8_t *word = rows.layout.word;
  for (uint64_t i = 0; i < count && n < WANTED; i += 17) {
    const uint64_t *row = rows_at(&rows, i);
    if (row_kind(row[0]) != ROW_ENTRY) continue;
    out[n++] = (Wanted){{row[word[ROW_EV]], (int32_t)row[word[ROW_TID]],
                         base + played.function.parts[0].lo, row[word[ROW_HIT]]},
                        row[word[ROW_A0]],
                        row[word[ROW_A1]]};
  }
  for (size_t i = 0; i < n; i++) {
    const size_t k = i * 7919 % n;
    const Wanted other = out[i];
    out[i] = out[k];
    out[k] = other;
  }
  rows_close(&rows);
  close_played(&played);
  return n;
}

/* Where the program's file is mapped from its beginning. */
static uint64_t find_base(void) {
  Recording *recording;
  Player *player;
  PlayView view;
  Fault fault = {0};
  const PlayOptions options = {0};
  uint64_t base = 0;
  must(recording_open(dir, &recording, &fault) &&
           player_open(recording, &options, &player, &fault) &&
           player_view(player, 0, &view, &fault),
       &fault);
  for (size_t i = 0; i < view.maps->count && !base; i++) {
    if (strcmp(view.maps->ranges[i].name, self) == 0) base = view.maps->ranges[i].start;
  }
  player_close(player);
  recording_close(recording);
  assert(base);
  return base;
}

static bool is_there(Player *player, const Wanted *wanted) {
  PlayView view;
  Fault fault = {0};
  uint8_t code[16], original[16];
  FILE *file = fopen(self, "r");
  must(player_view(player, wanted->moment.tid, &view, &fault) &&
           player_read(player, &view, wanted->moment.addr, code, sizeof code, &fault),
       &fault);
  const CodeRange range = find_function("play_counted");
  bool ok = file && fseek(file, (long)range.lo, SEEK_SET) == 0 &&
            fread(original, 1, sizeof original, file) == sizeof original &&
            memcmp(code, original, sizeof code) == 0;
  if (file) fclose(file);
  return ok && view.regs.rip == wanted->moment.addr && view.regs.rdi == wanted->a0 &&
         view.regs.rsi == wanted->a1;
}

static void test_moments(void) {
  static Wanted wanted[WANTED];
  Moment list[WANTED];
  Played played = {0};
  PlayEnd end = {0};
  Fault fault = {0};
  const PlayOptions options = {.hashes = true};
  size_t n = choose(wanted, find_base()), met = 0, right = 0;
  bool seen[WANTED] = {false};
  for (size_t i = 0; i < n; i++) list[i] = wanted[i].moment;
  must(recording_open(dir, &played.recording, &fault) &&
           player_open(played.recording, &options, &played.player, &fault) &&
           player_moments(played.player, list, n, &fault),
       &fault);
  while (player_run(played.player, UINT64_MAX, &end, &fault) && end.kind == PLAY_MOMENT) {
    met++;
    right += !seen[end.moment] && is_there(played.player, &wanted[end.moment]);
    seen[end.moment] = true;
  }
  if (fault.code) printf("# %s\n", fault.text);
  printf("# %zu moments\n", n);
  check(end.kind == PLAY_END && n > 100 && met == n, "every moment comes, and nothing diverges");
  check(right == n, "once, with the registers of its row and the program's code");
  player_close(played.player);

  must(player_open(played.recording, &options, &played.player, &fault), &fault);
  check(player_goto(played.player, &wanted[3].moment, &fault) &&
            is_there(played.player, &wanted[3]),
        "one alone");
  Moment never = wanted[3].moment;
  never.hit = 1000000;
  player_close(played.player);
  must(player_open(played.recording, &options, &played.player, &fault), &fault);
  check(!player_goto(played.player, &never, &fault) && fault.code == FAULT_NOTFOUND,
        "a moment that never comes");
  printf("# %s\n", fault.text);
  player_close(played.player);
  recording_close(played.recording);
}

/* All of its stack that there is, and its registers. */
typedef struct Seen {
  struct user_regs_struct regs;
  uint8_t stack[1024];
} Seen;

static void see(Player *player, const Moment *moment, Seen *out) {
  PlayView view;
  Fault fault = {0};
  *out = (Seen){0};
  must(player_goto(player, moment, &fault) && player_view(player, moment->tid, &view, &fault) &&
           player_read(player, &view, view.regs.rsp, out->stack, sizeof out->stack, &fault),
       &fault);
  out->regs = view.regs;
}

/* A moment, another behind it, and the first again. */
static bool sees_the_same(Player *player, const Moment *a, const Moment *b) {
  Seen first, later, again;
  if (a->ev > b->ev) return sees_the_same(player, b, a);
  see(player, a, &first);
  see(player, b, &later);
  see(player, a, &again);
  return memcmp(&first, &again, sizeof first) == 0 && memcmp(&first, &later, sizeof first) != 0;
}

/* Here and there in time, with states kept on the way; and from one of them on with probes. */
static void test_back(void) {
  static Wanted wanted[WANTED];
  Played played = {0};
  PlayEnd end = {0};
  Fault fault = {0};
  const PlayOptions options = {.hashes = true, .checkpoints = 12, .checkpoint_ns = 1000};
  size_t n = choose(wanted, find_base()), right = 0;
  if (n > VISITED) n = VISITED;
  must(recording_open(dir, &played.recording, &fault) &&
           player_open(played.recording, &options, &played.player, &fault) &&
           player_run(played.player, UINT64_MAX, &end, &fault),
       &fault);
  check(end.kind == PLAY_END && end.hashes > 100, "played with states kept on the way");
  const uint64_t hashes = end.hashes;
  for (size_t i = 0; i < n; i++) {
    if (player_goto(played.player, &wanted[i].moment, &fault)) {
      right += is_there(played.player, &wanted[i]);
    } else {
      printf("# %s\n", fault.text);
      fault_clear(&fault);
    }
  }
  check(right == n && n > 4, "every moment is found in any order");
  check(sees_the_same(played.player, &wanted[1].moment, &wanted[2].moment),
        "and has the same bytes when it is come back to");
  bool ok = player_rewind(played.player, 0, &fault);
  check(!ok && fault.code == FAULT_INVALID, "not before the beginning");
  fault_clear(&fault);
  ok = player_rewind(played.player, UINT64_MAX, &fault) &&
       player_run(played.player, UINT64_MAX, &end, &fault) && end.hashes == hashes;
  check(ok, "from the last one on to the end");
  ok = player_rewind(played.player, wanted[0].moment.ev / 2 + 10, &fault) &&
       player_run(played.player, UINT64_MAX, &end, &fault) && end.hashes == hashes;
  if (!ok) printf("# %s\n", fault.text);
  check(ok, "and from one in the middle");
  player_close(played.player);
  recording_close(played.recording);
  check(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD, "nothing is left");
}

int main(int argc, char **argv) {
  ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  assert(n > 0);
  if (argc == 4 && strcmp(argv[1], "workload") == 0) return workload(self, argv[2], argv[3]);
  setbuf(stdout, NULL);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* for what is recorded: it would trace itself */
  scratch_make(place, sizeof place);
  snprintf(counts, sizeof counts, "%s/counts", place);
  snprintf(dir, sizeof dir, "%s/recording", place);
  record();
  test_counts(false);
  test_counts(true);
  test_limit();
  test_moments();
  test_back();
  scratch_remove(place);
  return checks_end();
}
