/*
** Recordings made by hand: a program of a few instructions, and what it is to be told.
*/
#ifndef TENFOLD_TEST_REPLAY_FORGE_H
#define TENFOLD_TEST_REPLAY_FORGE_H

#include <stdarg.h>
#include <sys/mman.h>

#include "replay/trace.h"
#include "test/replay/scratch.h"

enum { FORGE_TID = 1000, FORGE_CHUNKS = 8, FORGE_BYTES = 1 << 16 };
#define FORGE_CODE ((uint64_t)0x400000)
#define FORGE_DATA ((uint64_t)0x500000)
#define FORGE_STACK ((uint64_t)0x7ffff0000000) /* its end */

typedef struct Forge {
  char dir[256], path[300];
  TraceWriter *writer;
  Event event;
  Chunk chunks[FORGE_CHUNKS];
  uint8_t bytes[FORGE_BYTES];
  size_t nbytes;
} Forge;

static inline void forge_must(bool ok, const Fault *fault) {
  if (ok) return;
  printf("# %s\n", fault->text);
  abort();
}

/* ---- an event in the making */

static inline void forge_event(Forge *forge, EventKind kind, int32_t tid) {
  forge->event = (Event){.kind = kind, .pid = FORGE_TID, .tid = tid, .chunks = forge->chunks};
  forge->nbytes = 0;
}

static inline void forge_chunk(Forge *forge, ChunkKind kind, uint64_t addr, const void *bytes,
                               size_t size) {
  assert(forge->nbytes + size <= FORGE_BYTES && forge->event.nchunks < FORGE_CHUNKS);
  memcpy(forge->bytes + forge->nbytes, bytes, size);
  forge->chunks[forge->event.nchunks++] = (Chunk){kind, addr, forge->bytes + forge->nbytes, size};
  forge->nbytes += size;
}

static inline void forge_map(Forge *forge, uint64_t start, uint64_t size, uint32_t prot,
                             uint32_t flags, uint32_t file) {
  const TraceMap map = {
      .start = start, .end = start + size, .prot = prot, .flags = flags, .file = file};
  forge_chunk(forge, CHUNK_MAP, 0, &map, sizeof map);
}

static inline void forge_add(Forge *forge) {
  Fault fault = {0};
  forge_must(writer_add(forge->writer, &forge->event, &fault), &fault);
}

/* ---- what most recordings have */

static inline void forge_open(Forge *forge) {
  Fault fault = {0};
  memset(forge, 0, sizeof *forge);
  scratch_make(forge->dir, sizeof forge->dir);
  snprintf(forge->path, sizeof forge->path, "%s/r", forge->dir);
  forge_must(writer_create(forge->path, &forge->writer, &fault), &fault);
  forge_event(forge, EVENT_META, FORGE_TID);
  forge_chunk(forge, CHUNK_META, 0, "argv\0forged", 11);
  forge_add(forge);
}

/* The IMAGE, not yet added: code, a page of data, a stack. */
static inline void forge_image(Forge *forge, const void *code, size_t size, size_t entry) {
  forge_event(forge, EVENT_IMAGE, FORGE_TID);
  forge_map(forge, FORGE_CODE, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0);
  forge_map(forge, FORGE_DATA, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
  forge_map(forge, FORGE_STACK - 8192, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN,
            0);
  forge_chunk(forge, CHUNK_OUT, FORGE_CODE, code, size);
  forge->event.has_regs = true;
  forge->event.regs.rip = FORGE_CODE + entry;
  forge->event.regs.rsp = FORGE_STACK - 64;
  forge->event.regs.eflags = 0x202;
}

/* A call, not yet added. */
static inline void forge_call(Forge *forge, int32_t tid, int nr, int64_t ret, int nargs, ...) {
  va_list list;
  forge_event(forge, EVENT_SYSCALL, tid);
  forge->event.nr = nr;
  forge->event.ret = ret;
  va_start(list, nargs);
  for (int i = 0; i < nargs; i++) forge->event.args[i] = va_arg(list, uint64_t);
  va_end(list);
}

static inline Recording *forge_done(Forge *forge) {
  Fault fault = {0};
  Recording *recording;
  forge_must(writer_close(forge->writer, true, NULL, &fault), &fault);
  forge_must(recording_open(forge->path, &recording, &fault), &fault);
  return recording;
}

static inline void forge_close(Forge *forge, Recording *recording) {
  recording_close(recording);
  scratch_remove(forge->dir);
}

#endif
