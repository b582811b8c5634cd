/*
** The recorder's side of a recording: see trace.h. Events gather in a block in memory; a full block
** is compressed and written by one write(), so that a killed recorder leaves at most one torn
** block.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/array.h"
#include "base/stop.h"
#include "replay/trace_format.h"

struct TraceWriter {
  char *dir;
  int dir_fd, fd;
  FileStore *files;
  uint8_t *block; /* events of the block in the making */
  size_t length, capacity;
  uint8_t *packed; /* header and compressed payload */
  size_t packed_capacity;
  uint64_t first_ev, events, raw, stored;
  uint32_t in_block;
  int64_t started;
  ZSTD_CCtx *zstd;
  bool failed; /* the disk refused: what follows would leave a hole */
};

uint64_t block_hash(const BlockHead *head, const void *payload) {
  BlockHead clean = *head;
  clean.hash = 0;
  uint64_t h = XXH3_64bits(&clean, sizeof clean);
  return head->stored ? XXH3_64bits_withSeed(payload, head->stored, h) : h;
}

static bool write_all(TraceWriter *writer, const void *bytes, size_t size, Fault *fault) {
  const char *next = bytes;
  for (size_t left = size; left;) {
    ssize_t n = write(writer->fd, next, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      writer->failed = true;
      return fault_set(fault, FAULT_IO, "recording \"%s\": events cannot be written: %s",
                       writer->dir, n < 0 ? strerror(errno) : "the disk is full");
    }
    next += n;
    left -= (size_t)n;
  }
  writer->stored += size;
  return true;
}

/* ---- blocks */

static bool write_block(TraceWriter *writer, uint32_t codec, const void *payload, size_t size,
                        Fault *fault) {
  BlockHead *head = (BlockHead *)writer->packed;
  *head = (BlockHead){.magic = BLOCK_MAGIC,
                      .codec = codec,
                      .raw = (uint32_t)writer->length,
                      .stored = (uint32_t)size,
                      .first_ev = writer->first_ev,
                      .events = writer->in_block};
  if (payload && size) memmove(writer->packed + sizeof *head, payload, size);
  head->hash = block_hash(head, writer->packed + sizeof *head);
  return write_all(writer, writer->packed, sizeof *head + size, fault);
}

bool writer_flush(TraceWriter *writer, Fault *fault) {
  if (writer->failed) return fault_set(fault, FAULT_IO, "recording: an earlier write failed");
  if (!writer->in_block) return true;
  size_t bound = ZSTD_compressBound(writer->length);
  if (!array_grow(writer->packed, writer->packed_capacity, sizeof(BlockHead) + bound)) {
    return fault_oom(fault);
  }
  uint8_t *payload = writer->packed + sizeof(BlockHead);
  size_t n = ZSTD_compressCCtx(writer->zstd, payload, bound, writer->block, writer->length, 1);
  bool packed = !ZSTD_isError(n) && n < writer->length;
  if (!(packed ? write_block(writer, CODEC_ZSTD, payload, n, fault)
               : write_block(writer, CODEC_RAW, writer->block, writer->length, fault))) {
    return false;
  }
  writer->raw += writer->length;
  writer->length = 0;
  writer->in_block = 0;
  return true;
}

/* ---- events */

static size_t padded(size_t size) { return (size + 7) & ~(size_t)7; }

static int count_args(const Event *event) {
  int n = 6;
  while (n > 0 && !event->args[n - 1]) n--;
  return n;
}

static void put(TraceWriter *writer, const void *bytes, size_t size) {
  if (size) memcpy(writer->block + writer->length, bytes, size);
  writer->length += size;
  while (writer->length % 8) writer->block[writer->length++] = 0;
}

static void put_chunks(TraceWriter *writer, const Event *event) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    ChunkHead head = {chunk->kind, (uint32_t)chunk->size, chunk->addr};
    put(writer, &head, sizeof head);
    put(writer, chunk->bytes, chunk->size);
  }
}

static bool event_size(const Event *event, size_t *out, Fault *fault) {
  size_t size = sizeof(EventHead) + (size_t)count_args(event) * 8;
  if (event->has_regs) size += sizeof event->regs;
  if (event->has_hash) size += 8;
  if (event->nchunks > TRACE_MAX_CHUNKS) {
    return fault_set(fault, FAULT_LIMIT, "recording: an event has %d pieces, the limit is %d",
                     event->nchunks, TRACE_MAX_CHUNKS);
  }
  for (int i = 0; i < event->nchunks && size <= BLOCK_LIMIT; i++) {
    size_t chunk = event->chunks[i].size;
    size += sizeof(ChunkHead) + (chunk > BLOCK_LIMIT ? BLOCK_LIMIT + 1 : padded(chunk));
  }
  if (size > BLOCK_LIMIT) {
    return fault_set(fault, FAULT_LIMIT, "recording: an event of %zu bytes, the limit is %d", size,
                     BLOCK_LIMIT);
  }
  *out = size;
  return true;
}

bool writer_add(TraceWriter *writer, Event *event, Fault *fault) {
  size_t size = 0;
  if (!event_size(event, &size, fault)) return false;
  if (writer->in_block && writer->length + size > BLOCK_FILL && !writer_flush(writer, fault)) {
    return false;
  }
  if (!array_grow(writer->block, writer->capacity, writer->length + size)) return fault_oom(fault);
  if (!event->ev) {
    event->ev = writer->events + 1;
    event->time = (uint64_t)(clock_now() - writer->started);
  }
  writer->events = event->ev;
  if (!writer->in_block++) writer->first_ev = event->ev;
  EventHead head = {.size = (uint32_t)size,
                    .kind = (uint8_t)event->kind,
                    .nargs = (uint8_t)count_args(event),
                    .nchunks = (uint16_t)event->nchunks,
                    .flags = (event->has_regs ? FLAG_REGS : 0) | (event->has_hash ? FLAG_HASH : 0),
                    .pid = event->pid,
                    .tid = event->tid,
                    .nr = event->nr,
                    .ev = event->ev,
                    .time = event->time,
                    .ret = event->ret,
                    .aux = event->aux};
  put(writer, &head, sizeof head);
  put(writer, event->args, (size_t)head.nargs * 8);
  if (event->has_regs) put(writer, &event->regs, sizeof event->regs);
  if (event->has_hash) put(writer, &event->hash, 8);
  put_chunks(writer, event);
  return writer->length < BLOCK_FILL || writer_flush(writer, fault);
}

bool writer_add_raw(TraceWriter *writer, const void *bytes, size_t size, uint64_t *out_count,
                    Fault *fault) {
  const uint8_t *from = bytes, *end = from + size;
  for (EventHead head; from < end; from += head.size, ++*out_count) {
    memcpy(&head, from, (size_t)(end - from) < sizeof head ? 0 : sizeof head);
    if ((size_t)(end - from) < sizeof head || head.size < sizeof head || head.size % 8 ||
        head.size > (size_t)(end - from)) {
      return fault_set(fault, FAULT_CORRUPT,
                       "recording: an event that makes no sense is not written");
    }
    if (writer->in_block && writer->length + head.size > BLOCK_FILL &&
        !writer_flush(writer, fault)) {
      return false;
    }
    if (!array_grow(writer->block, writer->capacity, writer->length + head.size)) {
      return fault_oom(fault);
    }
    head.ev = ++writer->events;
    head.time = head.time > (uint64_t)writer->started ? head.time - (uint64_t)writer->started : 0;
    if (!writer->in_block++) writer->first_ev = head.ev;
    put(writer, &head, sizeof head);
    put(writer, from + sizeof head, head.size - sizeof head);
  }
  return writer->length < BLOCK_FILL || writer_flush(writer, fault);
}

static bool add_file(TraceWriter *writer, const char *fd_path, const char *path, bool shared,
                     uint32_t *out_file, Fault *fault) {
  bool added;
  TraceFile about;
  if (!file_store_add(writer->files, fd_path, path, shared, out_file, &added, &about, fault)) {
    return fault_prefix(fault, "recording \"%s\": ", writer->dir);
  }
  if (!added) return true;
  Chunk chunks[] = {
      {.kind = CHUNK_PATH, .bytes = (const uint8_t *)path, .size = strlen(path)},
      {.kind = CHUNK_STAT, .bytes = (const uint8_t *)&about, .size = sizeof about},
  };
  Event event = {.kind = EVENT_FILE, .aux = *out_file, .nchunks = 2, .chunks = chunks};
  return writer_add(writer, &event, fault);
}

bool writer_file(TraceWriter *writer, const char *fd_path, const char *path, uint32_t *out_file,
                 Fault *fault) {
  return add_file(writer, fd_path, path, false, out_file, fault);
}

bool writer_shared_file(TraceWriter *writer, const char *fd_path, const char *path,
                        uint32_t *out_file, Fault *fault) {
  return add_file(writer, fd_path, path, true, out_file, fault);
}

void writer_size(const TraceWriter *writer, uint64_t *out_events, uint64_t *out_raw,
                 uint64_t *out_stored) {
  if (out_events) *out_events = writer->events;
  if (out_raw) *out_raw = writer->raw + writer->length;
  if (out_stored) *out_stored = writer->stored;
}

/* ---- beginning and end */

static bool open_dir(TraceWriter *writer, Fault *fault) {
  if (mkdir(writer->dir, 0777) != 0 && errno != EEXIST) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": the folder cannot be made: %s",
                     writer->dir, strerror(errno));
  }
  writer->dir_fd = open(writer->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (writer->dir_fd < 0) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": %s", writer->dir, strerror(errno));
  }
  writer->fd = openat(writer->dir_fd, "events", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (writer->fd < 0 && errno == EEXIST) {
    return fault_set(fault, FAULT_BUSY, "recording \"%s\": there is one already", writer->dir);
  }
  if (writer->fd < 0 || mkdirat(writer->dir_fd, "files", 0777) != 0) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": nothing can be made in it: %s",
                     writer->dir, strerror(errno));
  }
  return true;
}

static bool start_writing(TraceWriter *writer, Fault *fault) {
  FileHead head = {.magic = TRACE_MAGIC, .version = TRACE_VERSION};
  if (getrandom(&head.id, sizeof head.id, 0) != (ssize_t)sizeof head.id) {
    return fault_set(fault, FAULT_IO, "recording: no random number: %s", strerror(errno));
  }
  writer->zstd = ZSTD_createCCtx();
  int files = openat(writer->dir_fd, "files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  writer->files = files >= 0 ? file_store_create(files) : NULL;
  if (files >= 0 && !writer->files) close(files);
  if (!writer->zstd || !writer->files) return fault_oom(fault);
  return write_all(writer, &head, sizeof head, fault);
}

static void writer_destroy(TraceWriter *writer) {
  if (writer->fd >= 0) close(writer->fd);
  if (writer->dir_fd >= 0) close(writer->dir_fd);
  file_store_destroy(writer->files);
  ZSTD_freeCCtx(writer->zstd);
  free(writer->block);
  free(writer->packed);
  free(writer->dir);
  free(writer);
}

bool writer_create(const char *dir, TraceWriter **out, Fault *fault) {
  TraceWriter *writer = calloc(1, sizeof *writer);
  if (!writer) return fault_oom(fault);
  writer->fd = writer->dir_fd = -1;
  writer->started = clock_now();
  writer->dir = strdup(dir);
  bool ok =
      writer->dir ? open_dir(writer, fault) && start_writing(writer, fault) : fault_oom(fault);
  if (!ok) {
    writer_destroy(writer);
    return false;
  }
  *out = writer;
  return true;
}

bool writer_close(TraceWriter *writer, bool complete, Fault *fault) {
  if (!writer) return true;
  bool ok = !writer->failed && writer_flush(writer, fault);
  if (ok && complete) {
    ok = array_grow(writer->packed, writer->packed_capacity, sizeof(BlockHead))
             ? write_block(writer, CODEC_END, NULL, 0, fault)
             : fault_oom(fault);
  }
  writer_destroy(writer);
  return ok;
}
