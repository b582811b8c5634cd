/*
** Writes a recording that nobody made, for fixtures:
**
**   test-omni-forge DIR       a small run with one of everything
**   test-omni-forge           checks itself
**
** What a recorder would never write is in it as well: names that are no UTF-8, numbers that are not
** known, chunks of the wrong size.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "replay/trace.h"
#include "test/replay/scratch.h"

static TraceWriter *writer;
static uint64_t now;

static void add(Event event) {
  Fault fault = {0};
  now += 1000;
  event.ev = now / 1000;
  event.time = now;
  if (!event.pid) event.pid = event.tid = 100;
  if (!writer_add(writer, &event, &fault)) {
    fprintf(stderr, "forge: %s\n", fault.text);
    exit(1);
  }
}

static Chunk piece(ChunkKind kind, uint64_t addr, const void *bytes, size_t size) {
  return (Chunk){.kind = kind, .addr = addr, .bytes = bytes, .size = size};
}

static Chunk text(ChunkKind kind, uint64_t addr, const char *bytes) {
  return piece(kind, addr, bytes, strlen(bytes));
}

#define CALL(number, result, ...)                                                                  \
  (Event) {                                                                                        \
    .kind = EVENT_SYSCALL, .nr = (number), .ret = (result), .args = { __VA_ARGS__ }                \
  }
#define WITH(event, ...)                                                                           \
  with(event, (int)(sizeof(Chunk[]){__VA_ARGS__} / sizeof(Chunk)), (Chunk[]){__VA_ARGS__})

static Event with(Event event, int nchunks, const Chunk *chunks) {
  event.nchunks = nchunks;
  event.chunks = chunks;
  return event;
}

static Event by(Event event, int pid, int tid) {
  event.pid = pid;
  event.tid = tid;
  return event;
}

static void add_beginning(void) {
  add(WITH(((Event){.kind = EVENT_META}), piece(CHUNK_META, 0, "argv\0prog", 9),
           piece(CHUNK_META, 0, "argv\0-x", 7), piece(CHUNK_META, 0, "cwd\0/tmp", 8),
           piece(CHUNK_META, 0, "odd", 3), piece(CHUNK_META, 0, "", 0)));
  TraceFile about = {.device = 1, .inode = 2, .size = 8192, .mtime_ns = 3, .hash = 4};
  add(WITH(((Event){.kind = EVENT_FILE, .aux = 7}), text(CHUNK_PATH, 0, "/bin/prog"),
           piece(CHUNK_STAT, 0, &about, sizeof about)));
  struct {
    TraceMap map;
    char name[16];
  } code = {{.start = 0x400000,
             .end = 0x402000,
             .prot = PROT_READ | PROT_EXEC,
             .flags = MAP_PRIVATE,
             .file = 8},
            "/bin/prog"},
    stack = {{.start = 0x7ff000,
              .end = 0x800000,
              .prot = PROT_READ | PROT_WRITE,
              .flags = MAP_PRIVATE | MAP_GROWSDOWN},
             "[stack]"};
  add(WITH(((Event){.kind = EVENT_IMAGE, .has_regs = true, .regs = {.rip = 0x400100}}),
           text(CHUNK_PATH, 0, "/bin/prog"), piece(CHUNK_MAP, 0, &code, sizeof(TraceMap) + 9),
           piece(CHUNK_MAP, 0, &stack, sizeof(TraceMap) + 7), piece(CHUNK_MAP, 0, &stack, 5),
           text(CHUNK_OUT, 0x7ff800, "stack")));
}

static void add_calls(void) {
  add(WITH(CALL(SYS_openat, 3, (uint64_t)-100, 0x1000), text(CHUNK_PATH, 0x1000, "in.txt")));
  add(WITH(CALL(SYS_read, 5, 3, 0x2000, 100), text(CHUNK_OUT, 0x2000, "hello")));
  add(WITH(CALL(SYS_readv, 4, 3, 0x3000, 2), text(CHUNK_OUT, 0x2000, " w"),
           text(CHUNK_OUT, 0x2100, "or")));
  add(WITH(CALL(SYS_pread64, 2, 3, 0x2000, 2, 1), text(CHUNK_OUT, 0x2000, "el")));
  add(WITH(CALL(SYS_write, 6, 1, 0x2000, 6), text(CHUNK_IN, 0x2000, "out\0ab" + 0),
           piece(CHUNK_IN, 0x2003, "\0ab", 3)));
  add(WITH(CALL(SYS_sendmsg, 3, 4, 0x3000, 0), text(CHUNK_IN, 0x100, "name"),
           text(CHUNK_IN, 0x2000, "msg")));
  add(WITH(CALL(SYS_rename, -ENOENT, 0x1000, 0x1100), text(CHUNK_PATH, 0x1000, "a\xff"),
           text(CHUNK_PATH, 0x1100, "b")));
  add(CALL(SYS_write, 9, 2, 0x2000, 9)); /* its bytes are not there */
  add(CALL(9999, -1));
  add(CALL(SYS_pause, -514));
  add((Event){.kind = EVENT_ENTER, .nr = SYS_nanosleep});
}

static void add_processes(void) {
  add(CALL(SYS_fork, 101));
  add(by(WITH(CALL(SYS_write, 3, 1, 0x2000, 3), text(CHUNK_IN, 0x2000, "kid")), 101, 101));
  add(CALL(SYS_clone, 102, 0x10f00));
  siginfo_t info = {.si_signo = SIGTERM, .si_code = SI_USER, .si_pid = 55};
  add(by(
      WITH(((Event){
               .kind = EVENT_SIGNAL, .nr = SIGTERM, .has_regs = true, .regs = {.rip = 0x400800}}),
           piece(CHUNK_SIGINFO, 0, &info, sizeof info), text(CHUNK_POINT, 0x10, "point")),
      100, 102));
  add(by((Event){.kind = EVENT_SIGNAL, .nr = 40}, 100, 102));
  add(by(WITH(((Event){.kind = EVENT_SIGNAL, .nr = 99}), piece(CHUNK_SIGINFO, 0, &info, 3)), 100,
         102));
  add((Event){.kind = EVENT_TRAP, .nr = TRAP_RDTSC, .has_regs = true});
  add(by((Event){.kind = EVENT_SWITCH, .has_hash = true, .hash = ~0u}, 100, 102));
  add(by(CALL(SYS_exit, 0, 4), 100, 102));
  add(by((Event){.kind = EVENT_EXIT, .nr = 4}, 100, 102));
  add(by((Event){.kind = EVENT_EXIT, .nr = 0}, 101, 101));
  add(by((Event){.kind = EVENT_END, .ret = 11}, 101, 101));
  add(WITH(CALL(SYS_exit_group, 0, 3), text((ChunkKind)77, 1, "?")));
  add((Event){.kind = EVENT_EXIT, .nr = 3});
  add((Event){.kind = EVENT_END, .ret = 3 << 8});
  add(WITH(((Event){.kind = EVENT_NOTE}), text(CHUNK_PATH, 0, "a remark")));
}

static void forge(const char *dir) {
  Fault fault = {0};
  now = 0;
  bool ok = writer_create(dir, &writer, &fault);
  if (ok) {
    add_beginning();
    add_calls();
    add_processes();
    ok = writer_close(writer, true, NULL, &fault);
  }
  if (ok) return;
  fprintf(stderr, "forge: %s\n", fault.text);
  exit(1);
}

int main(int argc, char **argv) {
  char folder[256], dir[300];
  if (argc == 2) {
    forge(argv[1]);
    return 0;
  }
  scratch_make(folder, sizeof folder);
  snprintf(dir, sizeof dir, "%s/forged", folder);
  forge(dir);
  Recording *recording;
  Fault fault = {0};
  uint64_t first, last;
  assert(recording_open(dir, &recording, &fault) && !recording_is_cut(recording));
  assert(trace_range(recording, &first, &last, &fault) && last == now / 1000);
  recording_close(recording);
  scratch_remove(folder);
  return 0;
}
