/*
** Reading a recording: see trace.h. Everything in the file is hostile until checked.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/trace_ahead.h"
#include "replay/trace_block.h"

struct Recording {
  char *dir;
  BlockList blocks;
  uint64_t id;
  Arena arena; /* what META says */
  const Chunk *meta;
  int nmeta;
};

struct TraceCursor {
  Recording *recording;
  Ahead *ahead; /* NULL: nobody loads blocks for us */
  size_t next;  /* number of the block to read next */
  LoadedBlock block;
  size_t at;            /* in the block */
  size_t block_at;      /* where the block stands in the file */
  size_t event_at;      /* where the last event stands in the block */
  uint64_t previous_ev; /* ordinals grow */
  Event event;
  Chunk *chunks;
  size_t chunk_capacity;
  uint64_t skip_below;
};

/* Block i, and soon the next. */
static bool load_block(TraceCursor *cursor, size_t i, Fault *fault) {
  const BlockList *list = &cursor->recording->blocks;
  cursor->at = 0;
  cursor->next = i + 1;
  cursor->block_at = list->places[i].at;
  cursor->previous_ev = list->places[i].first_ev - 1;
  if (!(cursor->ahead && ahead_take(cursor->ahead, i, &cursor->block)) &&
      !block_load(list, i, &cursor->block, fault)) {
    return false;
  }
  if (cursor->ahead) ahead_want(cursor->ahead, i + 1);
  return true;
}

/* ---- events */

static bool take(TraceCursor *cursor, size_t *at, size_t end, void *out, size_t size) {
  if (end - *at < size) return false;
  memcpy(out, cursor->block.raw + *at, size);
  *at += size;
  return true;
}

static bool decode_chunks(TraceCursor *cursor, size_t at, size_t end, int count, Fault *fault) {
  if (!array_grow(cursor->chunks, cursor->chunk_capacity, (size_t)count)) return fault_oom(fault);
  for (int i = 0; i < count; i++) {
    ChunkHead head;
    if (!take(cursor, &at, end, &head, sizeof head) || head.size > end - at) return false;
    cursor->chunks[i] = (Chunk){.kind = (ChunkKind)head.kind,
                                .addr = head.addr,
                                .bytes = cursor->block.raw + at,
                                .size = head.size};
    size_t padded = ((size_t)head.size + 7) & ~(size_t)7;
    if (padded > end - at) return false;
    at += padded;
  }
  cursor->event.nchunks = count;
  cursor->event.chunks = cursor->chunks;
  return at == end;
}

static bool decode(TraceCursor *cursor, Fault *fault) {
  size_t at = cursor->at;
  EventHead head;
  if (!take(cursor, &at, cursor->block.length, &head, sizeof head)) return false;
  if (head.size % 8 || head.size < sizeof head || head.size > cursor->block.length - cursor->at) {
    return false;
  }
  if (head.nargs > 6 || head.ev <= cursor->previous_ev || head.kind > EVENT_LAST) return false;
  size_t end = cursor->at + head.size;
  Event *event = &cursor->event;
  *event = (Event){.ev = head.ev,
                   .time = head.time,
                   .kind = (EventKind)head.kind,
                   .pid = head.pid,
                   .tid = head.tid,
                   .nr = head.nr,
                   .ret = head.ret,
                   .aux = head.aux,
                   .has_regs = head.flags & FLAG_REGS,
                   .has_hash = head.flags & FLAG_HASH,
                   .position = cursor->block_at};
  if (!take(cursor, &at, end, event->args, (size_t)head.nargs * 8) ||
      (event->has_regs && !take(cursor, &at, end, &event->regs, sizeof event->regs)) ||
      (event->has_hash && !take(cursor, &at, end, &event->hash, sizeof event->hash))) {
    return false;
  }
  if (!decode_chunks(cursor, at, end, head.nchunks, fault)) return false;
  cursor->event_at = cursor->at;
  cursor->at = end;
  cursor->previous_ev = head.ev;
  return true;
}

/* ---- many at once */

/* The event at `at` makes sense to its end. */
static bool check(const TraceCursor *cursor, size_t at, uint64_t previous_ev, EventHead *out) {
  const size_t left = cursor->block.length - at;
  if (left < sizeof *out) return false;
  memcpy(out, cursor->block.raw + at, sizeof *out);
  if (out->size % 8 || out->size < sizeof *out || out->size > left || out->nargs > 6 ||
      out->ev <= previous_ev || out->kind > EVENT_LAST) {
    return false;
  }
  const size_t end = at + out->size;
  size_t next = at + sizeof *out + (size_t)out->nargs * 8;
  if (out->flags & FLAG_REGS) next += sizeof(struct user_regs_struct);
  if (out->flags & FLAG_HASH) next += sizeof(uint64_t);
  for (int i = 0; i < out->nchunks; i++) {
    ChunkHead chunk;
    if (next > end || end - next < sizeof chunk) return false;
    memcpy(&chunk, cursor->block.raw + next, sizeof chunk);
    next += sizeof chunk + (((size_t)chunk.size + 7) & ~(size_t)7);
  }
  return next == end;
}

size_t trace_copy(TraceCursor *cursor, TraceWant want, void *ctx, void *out, size_t size) {
  size_t at = cursor->event_at;
  uint64_t previous_ev = 0;
  EventHead head;
  while (at < cursor->block.length && check(cursor, at, previous_ev, &head)) {
    if (head.size > size - (at - cursor->event_at)) break;
    if (!want(ctx, &head, cursor->block.raw + at + sizeof head)) break;
    previous_ev = head.ev;
    at += head.size;
  }
  const size_t copied = at - cursor->event_at;
  if (copied) memcpy(out, cursor->block.raw + cursor->event_at, copied);
  return copied;
}

bool trace_skip(TraceCursor *cursor, size_t bytes, uint64_t *out_ev, size_t *out_count) {
  size_t at = cursor->event_at, end = at + bytes;
  EventHead head;
  *out_count = 0;
  while (at < end && at < cursor->block.length && check(cursor, at, 0, &head)) {
    *out_ev = head.ev;
    ++*out_count;
    at += head.size;
  }
  if (at != end) return false;
  cursor->at = end;
  cursor->previous_ev = *out_ev;
  return true;
}

bool trace_next(TraceCursor *cursor, const Event **out, Fault *fault) {
  const Recording *recording = cursor->recording;
  do {
    while (cursor->at >= cursor->block.length) {
      if (cursor->next >= recording->blocks.count) {
        *out = NULL;
        return true;
      }
      if (!load_block(cursor, cursor->next, fault)) return false;
    }
    if (!decode(cursor, fault)) {
      return blocks_corrupt(&recording->blocks, fault, "an event that makes no sense, in the block",
                            cursor->block_at);
    }
  } while (cursor->event.ev < cursor->skip_below);
  *out = &cursor->event;
  return true;
}

bool trace_seek(TraceCursor *cursor, uint64_t ev, Fault *fault) {
  const BlockList *list = &cursor->recording->blocks;
  size_t low = 0, high = list->count; /* the last block that begins at ev or before */
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    *(list->places[middle].first_ev <= ev ? &low : &high) = middle;
  }
  cursor->skip_below = ev;
  if (low < list->count && cursor->next == low + 1 && cursor->block.length > 0) {
    cursor->at = 0; /* it is in hand already */
    cursor->previous_ev = list->places[low].first_ev - 1;
    return true;
  }
  cursor->at = cursor->block.length = 0;
  cursor->next = low;
  return low >= list->count || load_block(cursor, low, fault);
}

bool trace_range(Recording *recording, uint64_t *out_first, uint64_t *out_last, Fault *fault) {
  *out_first = 1;
  *out_last = 0;
  if (!recording->blocks.count) return true;
  *out_first = recording->blocks.places[0].first_ev;
  TraceCursor *cursor = NULL;
  if (!trace_open(recording, &cursor, fault)) return false;
  const Event *event;
  bool ok = trace_seek(cursor, UINT64_MAX, fault);
  cursor->skip_below = 0;
  while (ok && (ok = trace_next(cursor, &event, fault)) && event) *out_last = event->ev;
  /* The last block of a cut recording may be empty after all. */
  if (ok && !*out_last && recording->blocks.count > 1) {
    ok = load_block(cursor, recording->blocks.count - 2, fault);
    cursor->next = recording->blocks.count;
    while (ok && (ok = trace_next(cursor, &event, fault)) && event) *out_last = event->ev;
  }
  trace_close(cursor);
  return ok;
}

bool trace_open(Recording *recording, TraceCursor **out, Fault *fault) {
  TraceCursor *cursor = calloc(1, sizeof *cursor);
  if (!cursor) return fault_oom(fault);
  cursor->recording = recording;
  *out = cursor;
  return true;
}

void trace_ahead(TraceCursor *cursor, const cpu_set_t *cpus) {
  if (!cursor->ahead) cursor->ahead = ahead_create(&cursor->recording->blocks, cpus);
}

void trace_close(TraceCursor *cursor) {
  if (!cursor) return;
  ahead_destroy(cursor->ahead);
  block_finish(&cursor->block);
  free(cursor->chunks);
  free(cursor);
}

/* ---- what META says */

static bool read_meta(Recording *recording, Fault *fault) {
  TraceCursor *cursor = NULL;
  if (!trace_open(recording, &cursor, fault)) return false;
  const Event *event = NULL;
  bool ok = trace_next(cursor, &event, fault);
  if (ok && event && event->kind == EVENT_META) {
    Chunk *meta = arena_array(&recording->arena, (size_t)event->nchunks, sizeof *meta);
    for (int i = 0; meta && i < event->nchunks; i++) {
      meta[i] = event->chunks[i];
      char *copy = arena_strndup(&recording->arena, (const char *)meta[i].bytes, meta[i].size);
      meta[i].bytes = (const uint8_t *)copy;
      if (!copy) meta = NULL;
    }
    recording->meta = meta;
    recording->nmeta = meta ? event->nchunks : 0;
    ok = meta || fault_oom(fault);
  } else if (ok) {
    ok = fault_set(fault, FAULT_CORRUPT, "recording \"%s\": it ends before it begins",
                   recording->dir);
  }
  trace_close(cursor);
  return ok;
}

static const char *find_meta(const Recording *recording, const char *key, int skip) {
  size_t length = strlen(key) + 1; /* with its NUL */
  for (int i = 0; i < recording->nmeta; i++) {
    const Chunk *chunk = &recording->meta[i];
    if (chunk->kind != CHUNK_META || chunk->size < length) continue;
    if (memcmp(chunk->bytes, key, length) == 0 && skip-- == 0) {
      return (const char *)chunk->bytes + length;
    }
  }
  return NULL;
}

const char *recording_meta(const Recording *recording, const char *key) {
  return find_meta(recording, key, 0);
}

const char *recording_argv(const Recording *recording, int i) {
  return find_meta(recording, "argv", i);
}

const char *recording_dir(const Recording *recording) { return recording->dir; }
bool recording_is_cut(const Recording *recording) { return !recording->blocks.whole; }
uint64_t recording_id(const Recording *recording) { return recording->id; }

/* ---- opening */

static bool start_reading(Recording *recording, Fault *fault) {
  FileHead head;
  if (!blocks_read(&recording->blocks, 0, &head, sizeof head)) {
    return fault_set(fault, FAULT_CORRUPT, "recording \"%s\": only %zu bytes of events",
                     recording->dir, recording->blocks.size);
  }
  if (memcmp(head.magic, TRACE_MAGIC, sizeof head.magic) != 0) {
    return fault_set(fault, FAULT_CORRUPT, "recording \"%s\": \"events\" is no file of events",
                     recording->dir);
  }
  if (head.version != TRACE_VERSION) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "recording \"%s\": it has version %" PRIu32 " of the format, not %d",
                     recording->dir, head.version, TRACE_VERSION);
  }
  recording->id = head.id;
  return blocks_list(&recording->blocks, fault) && read_meta(recording, fault);
}

static bool open_events(Recording *recording, Fault *fault) {
  char *path = arena_printf(&recording->arena, "%s/events", recording->dir);
  if (!path) return fault_oom(fault);
  /* O_NONBLOCK: a FIFO of that name is refused, not waited for. */
  recording->blocks.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (recording->blocks.fd < 0) {
    return fault_set(fault, errno == ENOENT || errno == ENOTDIR ? FAULT_NOTFOUND : FAULT_IO,
                     "recording \"%s\": %s", recording->dir, strerror(errno));
  }
  struct stat st;
  if (fstat(recording->blocks.fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": unreadable", recording->dir);
  }
  recording->blocks.size = (size_t)st.st_size;
  return true;
}

static bool open_recording(const char *dir, const void *bytes, size_t size, Recording **out,
                           Fault *fault) {
  Recording *recording = calloc(1, sizeof *recording);
  if (!recording) return fault_oom(fault);
  recording->blocks.fd = -1;
  recording->blocks.bytes = bytes;
  recording->blocks.size = size;
  recording->blocks.dir = recording->dir = arena_strdup(&recording->arena, dir);
  if (!recording->dir || !(bytes || open_events(recording, fault)) ||
      !start_reading(recording, fault)) {
    recording_close(recording);
    return fault_oom(fault); /* unless there is a better reason already */
  }
  *out = recording;
  return true;
}

bool recording_open(const char *dir, Recording **out, Fault *fault) {
  return open_recording(dir, NULL, 0, out, fault);
}

bool recording_of_bytes(const void *bytes, size_t size, Recording **out, Fault *fault) {
  return open_recording("(memory)", bytes, size, out, fault);
}

void recording_close(Recording *recording) {
  if (!recording) return;
  blocks_finish(&recording->blocks);
  arena_finish(&recording->arena);
  free(recording);
}
