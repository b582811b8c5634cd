/*
** The table of calls against the kernel: names and numbers of the system's header; the ranges of
** what it says is written against what is written; and callers that lie.
*/
#define _GNU_SOURCE
#include "replay/syscalls.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/base/check.h"
#include "test/replay/calls/oracle.h"

/* ---- the arena */

enum { ARENA = 1 << 20, GAP = 256, PIECES = 64, MANY_RANGES = 512 };

typedef struct Piece {
  uint64_t at, size;
} Piece;

static uint8_t *arena, before[ARENA];
static size_t arena_used;
static Piece pieces[PIECES];
static int npieces;
static const char *folder;

static uint8_t *room(size_t size) {
  size_t start = (arena_used + GAP + 63) & ~(size_t)63;
  if (npieces == PIECES || start + size > ARENA) abort();
  arena_used = start + size;
  pieces[npieces++] = (Piece){(uint64_t)(arena + start), size};
  return arena + start;
}

static uint64_t lists(const char *text, int width) {
  uint8_t *start = NULL;
  uint64_t values[64];
  int count = 0;
  for (char *end = (char *)text; *end; count++)
    values[count] = strtoull(end + (count > 0 && *end == ','), &end, 0);
  start = room((size_t)(count * width));
  for (int i = 0; i < count; i++) memcpy(start + i * width, &values[i], (size_t)width);
  return (uint64_t)start;
}

static void fill_message(struct msghdr *message, bool sending) {
  struct iovec *parts = (struct iovec *)room(2 * sizeof *parts);
  for (int i = 0; i < 2; i++) parts[i] = (struct iovec){room(i ? 200 : 5), i ? 200 : 5};
  *message = (struct msghdr){.msg_iov = parts, .msg_iovlen = 2};
  if (sending) return;
  message->msg_name = room(40);
  message->msg_namelen = 40;
  message->msg_control = room(120);
  message->msg_controllen = 120;
}

static uint64_t make_messages(int count, bool sending) {
  struct mmsghdr *all = (struct mmsghdr *)room((size_t)count * sizeof *all);
  for (int i = 0; i < count; i++) fill_message(&all[i].msg_hdr, sending);
  return (uint64_t)all;
}

static uint64_t make_vector(const char *text) {
  struct iovec parts[16];
  int count = 0;
  for (char *end = (char *)text; *end; count++) {
    size_t size = strtoul(end + (count > 0), &end, 0);
    parts[count] = (struct iovec){room(size), size};
  }
  uint8_t *at = room((size_t)count * sizeof *parts);
  memcpy(at, parts, (size_t)count * sizeof *parts);
  return (uint64_t)at;
}

static uint64_t make_text(const char *prefix, const char *text) {
  size_t size = strlen(prefix) + strlen(text) + 1;
  char *at = (char *)room(size);
  snprintf(at, size, "%s%s", prefix, text);
  return (uint64_t)at;
}

static uint64_t make_path(const char *name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return make_text("", path);
}

static uint64_t make_arg(const char *word) {
  switch (*word) {
  case '@':
    return (uint64_t)(int64_t)world_fd(word[1]);
  case '/':
    return make_text("", word);
  case '%':
    return make_path(word + 1);
  case '\'':
    return make_text("", word + 1);
  case 'b':
    return (uint64_t)room(strtoul(word + 1, NULL, 0));
  case 'z': {
    size_t size = strtoul(word + 1, NULL, 0);
    return (uint64_t)memset(room(size), 0, size);
  }
  case 'd':
    return lists(word + 1, 4);
  case 'q':
    return lists(word + 1, 8);
  case 'v':
    return make_vector(word + 1);
  case 'M':
    return make_messages(1, false);
  case 'S':
    return make_messages(1, true);
  case 'm':
    return make_messages(atoi(word + 1), false);
  case 's':
    return make_messages(atoi(word + 1), true);
  case '!':
    return 0x1000;
  default:
    return (uint64_t)strtoll(word, NULL, 0);
  }
}

/* ---- one call, in a process of its own */

static size_t read_own(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  struct iovec here = {out, size}, there = {(void *)addr, size};
  ssize_t got = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
  return got < 0 ? 0 : (size_t)got;
}

static bool covered(const CallRange *ranges, int count, uint64_t at) {
  for (int i = 0; i < count; i++)
    if (ranges[i].out && at >= ranges[i].addr && at - ranges[i].addr < ranges[i].size) return true;
  return false;
}

/* No byte changed but is covered. *changed counts. */
static bool all_covered(const CallRange *ranges, int count, const char *who, const Case *test,
                        int *changed) {
  *changed = 0;
  for (size_t i = 0; i < ARENA; i++) {
    if (arena[i] == before[i]) continue;
    ++*changed;
    if (covered(ranges, count, (uint64_t)(arena + i))) continue;
    for (int p = 0; p < npieces; p++)
      if ((uint64_t)(arena + i) - pieces[p].at < pieces[p].size)
        printf("# %s %s: %s leaves out byte %d of piece %d\n", test->call, test->args, who,
               (int)((uint64_t)(arena + i) - pieces[p].at), p);
    return false;
  }
  return true;
}

/* Every range lies in one of the buffers that the call got. */
static bool all_within(const CallRange *ranges, int count, const Case *test) {
  for (int i = 0; i < count; i++) {
    bool within = false;
    for (int p = 0; p < npieces && !within; p++)
      within = ranges[i].addr - pieces[p].at < pieces[p].size &&
               ranges[i].addr - pieces[p].at + ranges[i].size <= pieces[p].size;
    if (within) continue;
    printf("# %s %s: range %d of %d bytes is not in a buffer\n", test->call, test->args, i,
           (int)ranges[i].size);
    return false;
  }
  return true;
}

static void on_alarm(int signal) { (void)signal; }

static void prepare(const Case *test) {
  struct sigaction action = {.sa_handler = on_alarm};
  struct itimerval soon = {.it_value.tv_usec = 30000, .it_interval.tv_usec = 30000};
  if (test->special & CHILD && fork() == 0) _exit(3);
  if (!(test->special & SIGNALLED)) {
    alarm(20);
    return;
  }
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &soon, NULL);
}

static bool expected(const Case *test, int64_t ret) {
  bool ok = test->special & MAY_FAIL || (test->error ? ret == -test->error : ret >= 0);
  if (!ok) printf("# %s %s: returned %lld\n", test->call, test->args, (long long)ret);
  return ok;
}

/* Exit status: 0 all is as it should be, and the kernel wrote; 2 it did not; 1 a failure. */
static int run_case(const Case *test, int pattern) {
  static CallRange targets[MANY_RANGES], ranges[MANY_RANGES];
  uint64_t args[6] = {0};
  char words[512], *rest = words;
  long nr = call_number(test->call);
  int count = 0, changed = 0;
  arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(arena, pattern, ARENA);
  world_make(folder);
  prepare(test);
  snprintf(words, sizeof words, "%s", test->args);
  for (char *word; (word = strsep(&rest, " ")) && count < 6;)
    if (*word) args[count++] = make_arg(word);
  int ntargets = call_targets(nr, args, read_own, NULL, targets, MANY_RANGES);
  bool blocks = call_may_block(nr, args, read_own, NULL);
  memcpy(before, arena, ARENA);
  int64_t ret = syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
  if (ret == -1) ret = -errno;
  int nranges = call_ranges(nr, args, ret, read_own, NULL, ranges, MANY_RANGES);
  bool ok = nr >= 0 && expected(test, ret) && nranges >= 0 && (ntargets >= 0 || test->error);
  ok = ok && all_covered(ranges, nranges, "what was written", test, &changed);
  ok =
      ok && (ntargets < 0 || all_covered(targets, ntargets, "what may be written", test, &changed));
  ok = ok && (ret == -EFAULT || test->special & LOOSE || all_within(ranges, nranges, test));
  if (test->special & SIGNALLED && !blocks) {
    printf("# %s waits, and is said not to\n", test->call);
    ok = false;
  }
  if (nranges < 0) printf("# %s %s: is said to be unknown\n", test->call, test->args);
  fflush(stdout);
  return ok ? changed ? 0 : 2 : 1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  return remove(path);
}

static int in_process(const Case *test, int pattern) {
  char name[] = "/tmp/calls-XXXXXX";
  int status = 0;
  folder = mkdtemp(name);
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(run_case(test, pattern));
  waitpid(pid, &status, 0);
  nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
  if (WIFSIGNALED(status)) printf("# %s %s: signal %d\n", test->call, test->args, WTERMSIG(status));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void test_kernel(void) {
  static bool seen[CALL_END];
  int distinct = 0, wrote = 0;
  for (int i = 0; i < ncases; i++) {
    char what[128];
    int first = in_process(&cases[i], 0xa5), second = in_process(&cases[i], 0x3c);
    bool ok = (first == 0 || first == 2) && (second == 0 || second == 2);
    snprintf(what, sizeof what, "%s %.90s", cases[i].call, cases[i].args);
    check(ok, what);
    wrote += ok && (first == 0 || second == 0);
    long nr = call_number(cases[i].call);
    if (nr >= 0 && !seen[nr]) distinct += seen[nr] = true;
  }
  printf("# %d calls of %d kinds were made, %d of them wrote\n", ncases, distinct, wrote);
  check(distinct >= 120, "at least 120 kinds of calls");
  check(wrote >= 120, "at least 120 that write");
}

/* ---- names */

static void test_names(void) {
  FILE *header = fopen("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "r");
  char line[256], name[128];
  int nr = 0, count = 0;
  bool same = true;
  while (header && fgets(line, sizeof line, header)) {
    if (sscanf(line, "#define __NR_%127s %d", name, &nr) != 2) continue;
    const char *known = call_name(nr);
    if (!known || strcmp(known, name) != 0 || call_number(name) != nr)
      printf("# %d is %s, not %s\n", nr, name, known ? known : "nothing"), same = false;
    count++;
  }
  if (header) fclose(header);
  check(same && count > 350, "names and numbers are the header's");
  check(!call_name(-1) && !call_name(CALL_END) && !call_name(400), "no others");
  check(!call_name(LONG_MAX) && !call_name(LONG_MIN) && call_number("nothing") == -1, "at all");
  check_text(errno_name(2), "ENOENT", "ENOENT");
  check_text(errno_name(516), "ERESTART_RESTARTBLOCK", "a restart");
  check(!errno_name(0) && !errno_name(-1) && !errno_name(4000) && !errno_name(INT_MIN), "no errno");
}

static void test_shapes(void) {
  bool ok = true;
  int known = 0;
  for (long nr = 0; nr < CALL_END; nr++) {
    const CallInfo *info = call_info(nr);
    if (!info) continue;
    known++;
    bool sound = info->nargs >= 0 && info->nargs <= 6 && info->fd_arg < info->nargs &&
                 !(info->path_args >> info->nargs) &&
                 (info->class == CALL_REFUSED) == !!info->refusal;
    if (!sound) printf("# %s is out of shape\n", info->name);
    ok = ok && sound;
  }
  printf("# %d calls in the table\n", known);
  check(ok, "every line of the table is in shape");
  const CallInfo *open_at = call_info(SYS_openat), *rename_at = call_info(SYS_renameat2);
  check(open_at->nargs == 4 && open_at->fd_arg == 0 && open_at->path_args == 2, "openat");
  check(rename_at->nargs == 5 && rename_at->path_args == (2 | 8), "renameat2 has two paths");
  check(call_info(SYS_symlinkat)->fd_arg == 1, "symlinkat has its descriptor in the middle");
  uint64_t filter[6] = {22 /* PR_SET_SECCOMP */}, name[6] = {15 /* PR_SET_NAME */};
  check(call_refusal(SYS_prctl, filter) == EINVAL && !call_refusal(SYS_prctl, name), "prctl");
  check(call_refusal(SYS_rseq, name) == ENOSYS && !call_refusal(9999, name), "rseq");
}

/* ---- liars */

static size_t read_nothing(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr, (void)out, (void)size;
  return 0;
}

static size_t read_all_ones(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr;
  memset(out, 0xff, size);
  return size;
}

static size_t read_sevens(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr;
  memset(out, 7, size);
  return size;
}

static size_t read_half(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr;
  memset(out, 1, size / 2);
  return size / 2;
}

static bool is_bounded(long nr, const uint64_t args[6], int64_t ret, CallReader read) {
  static CallRange ranges[16];
  int counts[2] = {call_ranges(nr, args, ret, read, NULL, ranges, 16),
                   call_targets(nr, args, read, NULL, ranges, 0)};
  call_may_block(nr, args, read, NULL);
  call_refusal(nr, args);
  for (int i = 0; i < counts[0] && i < 16; i++)
    if (ranges[i].size > 1u << 30 || ranges[i].addr + ranges[i].size < ranges[i].addr) return false;
  return counts[0] >= -1 && counts[1] >= -1 && counts[0] <= CALL_MAX_RANGES &&
         counts[1] <= CALL_MAX_RANGES;
}

static void test_liars(void) {
  static const CallReader readers[] = {read_nothing, read_all_ones, read_sevens, read_half};
  static const uint64_t values[] = {0, 1, 0x1000, INT_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
  static const int64_t results[] = {0, 1, -EFAULT, -EINTR, -EINVAL, INT64_MAX, INT64_MIN};
  bool ok = true;
  for (long nr = -1; nr <= CALL_END; nr++)
    for (int i = 0; i < 7 * 7 * 4; i++) {
      uint64_t value = values[i % 7], odd = values[(i + i / 7) % 7];
      uint64_t args[6] = {odd, value, value, odd, value, odd};
      ok = is_bounded(nr, args, results[i / 7 % 7], readers[i / 49]) && ok;
    }
  check(ok, "whatever is asked, the answer is bounded");
  uint64_t vector[6] = {1, 0x1000, UINT64_MAX};
  CallRange ranges[4];
  int count = call_ranges(SYS_readv, vector, INT64_MAX, read_sevens, NULL, ranges, 4);
  check(count > 0 && count <= CALL_MAX_RANGES, "an endless iovec is cut");
}

int main(void) {
  test_names();
  test_shapes();
  test_liars();
  test_kernel();
  return checks_end();
}
