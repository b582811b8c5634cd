/*
** The layout of DIR/events in C: shared by reader and writer, and by tests that forge recordings.
*/
#ifndef TENFOLD_REPLAY_TRACE_FORMAT_H
#define TENFOLD_REPLAY_TRACE_FORMAT_H

#include "replay/trace.h"

#define TRACE_MAGIC "omnitrc\n"

enum {
  BLOCK_MAGIC = 0x4B4C424F, /* "OBLK" */
  BLOCK_FILL = 1 << 20,     /* a block is written when it has so many bytes */
  BLOCK_LIMIT = (1 << 30) + (1 << 28)
};

enum { EVENT_LAST = EVENT_ENTER };
enum { CODEC_RAW, CODEC_ZSTD, CODEC_END };
enum { FLAG_REGS = 1, FLAG_HASH = 2 };

typedef struct FileHead {
  char magic[8];
  uint32_t version, reserved;
  uint64_t id;
} FileHead;

typedef struct BlockHead {
  uint32_t magic, codec, raw, stored;
  uint64_t first_ev;
  uint32_t events, reserved;
  uint64_t hash;
} BlockHead;

typedef struct EventHead {
  uint32_t size;
  uint8_t kind, nargs;
  uint16_t nchunks;
  uint32_t flags;
  int32_t pid, tid, nr;
  uint64_t ev, time;
  int64_t ret;
  uint64_t aux;
} EventHead;

typedef struct ChunkHead {
  uint32_t kind, size;
  uint64_t addr;
} ChunkHead;

_Static_assert(sizeof(FileHead) == 24 && sizeof(BlockHead) == 40, "no padding");
_Static_assert(sizeof(EventHead) == 56 && sizeof(ChunkHead) == 16, "no padding");

/* Events from the one that was read last on, as they stand in its block, as long as they make
** sense, `want` says yes and they fit into `size` bytes: how many bytes were copied to out. `rest`
** is what stands behind the head: arguments, registers, hash, chunks. */
typedef bool (*TraceWant)(void *ctx, const EventHead *head, const uint8_t *rest);
size_t trace_copy(TraceCursor *cursor, TraceWant want, void *ctx, void *out, size_t size);
/* So many bytes of these have been read: the ordinal of the last event in them, and how many there
** are. False: no event ends there. */
bool trace_skip(TraceCursor *cursor, size_t bytes, uint64_t *out_ev, size_t *out_count);

/* Of the header (with hash 0) and payload. */
uint64_t block_hash(const BlockHead *head, const void *payload);

/* A recording whose events are these bytes, which must outlive it; it has no files. */
bool recording_of_bytes(const void *bytes, size_t size, Recording **out, Fault *fault);

/* XXH3 of the bytes of an open file, from its start; also its size. */
bool file_hash(int fd, uint64_t *out_hash, uint64_t *out_size, Fault *fault);

/* The files of a recording on the writer's side. `dir` is DIR/files. */
typedef struct FileStore FileStore;

FileStore *file_store_create(int dir);
void file_store_destroy(FileStore *store);
/* The number of the file; *out_new tells that it has just been copied and `*out` describes it. With
** `shared` a number stands for a file, else for what is in it. */
bool file_store_add(FileStore *store, const char *fd_path, const char *path, bool shared,
                    uint32_t *out_file, bool *out_new, TraceFile *out, Fault *fault);

#endif
