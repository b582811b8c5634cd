/*
** The recorder's side of a recording: see trace.h. Events gather in a block in memory.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/stop.h"
#include "replay/trace_pack.h"

struct TraceWriter {
  char *dir;
  int dir_fd;
  FileStore *files;
  EventBlock block; /* in the making */
  Packer *packer;
  uint64_t events, raw;
  int64_t started;
};

bool writer_flush(TraceWriter *writer, Fault *fault) {
  if (!writer->block.events) return true;
  writer->raw += writer->block.length;
  return packer_take(writer->packer, &writer->block, fault);
}

/* ---- events */

static size_t padded(size_t size) { return (size + 7) & ~(size_t)7; }

static int count_args(const Event *event) {
  int n = 6;
  while (n > 0 && !event->args[n - 1]) n--;
  return n;
}

static void put(TraceWriter *writer, const void *bytes, size_t size) {
  if (size) memcpy(writer->block.bytes + writer->block.length, bytes, size);
  writer->block.length += size;
  while (writer->block.length % 8) writer->block.bytes[writer->block.length++] = 0;
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

/* For an event of so many bytes, which becomes the last one. */
static bool make_room(TraceWriter *writer, size_t size, uint64_t ev, Fault *fault) {
  EventBlock *block = &writer->block;
  if (block->events && block->length + size > BLOCK_FILL && !writer_flush(writer, fault)) {
    return false;
  }
  if (!array_extend(block->bytes, block->capacity, block->length + size)) return fault_oom(fault);
  if (!block->events++) block->first_ev = ev;
  writer->events = ev;
  return true;
}

bool writer_add(TraceWriter *writer, Event *event, Fault *fault) {
  size_t size = 0;
  const uint64_t ev = event->ev ? event->ev : writer->events + 1;
  if (!event_size(event, &size, fault) || !make_room(writer, size, ev, fault)) return false;
  if (!event->ev) event->time = (uint64_t)(clock_now() - writer->started);
  event->ev = ev;
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
  return writer->block.length < BLOCK_FILL || writer_flush(writer, fault);
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
    if (!make_room(writer, head.size, writer->events + 1, fault)) return false;
    head.ev = writer->events;
    head.time = head.time > (uint64_t)writer->started ? head.time - (uint64_t)writer->started : 0;
    put(writer, &head, sizeof head);
    put(writer, from + sizeof head, head.size - sizeof head);
  }
  return writer->block.length < BLOCK_FILL || writer_flush(writer, fault);
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

/* ---- beginning and end */

static bool open_dir(TraceWriter *writer, int *out_fd, Fault *fault) {
  if (mkdir(writer->dir, 0777) != 0 && errno != EEXIST) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": the folder cannot be made: %s",
                     writer->dir, strerror(errno));
  }
  writer->dir_fd = open(writer->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (writer->dir_fd < 0) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": %s", writer->dir, strerror(errno));
  }
  *out_fd = openat(writer->dir_fd, "events", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (*out_fd < 0 && errno == EEXIST) {
    return fault_set(fault, FAULT_BUSY, "recording \"%s\": there is one already", writer->dir);
  }
  if (*out_fd < 0 || mkdirat(writer->dir_fd, "files", 0777) != 0) {
    fault_set(fault, FAULT_IO, "recording \"%s\": nothing can be made in it: %s", writer->dir,
              strerror(errno));
    if (*out_fd >= 0) close(*out_fd);
    return false;
  }
  return true;
}

static bool start_writing(TraceWriter *writer, int fd, Fault *fault) {
  FileHead head = {.magic = TRACE_MAGIC, .version = TRACE_VERSION};
  if (getrandom(&head.id, sizeof head.id, 0) != (ssize_t)sizeof head.id) {
    close(fd);
    return fault_set(fault, FAULT_IO, "recording: no random number: %s", strerror(errno));
  }
  if (!packer_create(fd, writer->dir, &head, &writer->packer, fault)) return false;
  int files = openat(writer->dir_fd, "files", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  writer->files = files >= 0 ? file_store_create(files) : NULL;
  if (files >= 0 && !writer->files) close(files);
  return writer->files || fault_oom(fault);
}

static void writer_destroy(TraceWriter *writer) {
  packer_destroy(writer->packer);
  if (writer->dir_fd >= 0) close(writer->dir_fd);
  file_store_destroy(writer->files);
  free(writer->block.bytes);
  free(writer->dir);
  free(writer);
}

bool writer_create(const char *dir, TraceWriter **out, Fault *fault) {
  TraceWriter *writer = calloc(1, sizeof *writer);
  int fd = -1;
  if (!writer) return fault_oom(fault);
  writer->dir_fd = -1;
  writer->started = clock_now();
  writer->dir = strdup(dir);
  bool ok = writer->dir ? open_dir(writer, &fd, fault) && start_writing(writer, fd, fault)
                        : fault_oom(fault);
  if (!ok) {
    writer_destroy(writer);
    return false;
  }
  *out = writer;
  return true;
}

bool writer_close(TraceWriter *writer, bool complete, WriterSize *out, Fault *fault) {
  if (!writer) return true;
  bool ok = writer_flush(writer, fault);
  ok = packer_finish(writer->packer, ok && complete, fault) && ok;
  if (out) *out = (WriterSize){writer->events, writer->raw, packer_stored(writer->packer)};
  writer_destroy(writer);
  return ok;
}
