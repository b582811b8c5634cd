/*
** The format of recordings: what is written is read again; what is torn, changed or forged is
** noticed.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/trace_ahead.h"
#include "replay/trace_format.h"
#include "test/replay/scratch.h"

enum { EVENTS = 5000 };

static Fault fault;

static void check(bool ok) {
  if (!ok) fprintf(stderr, "%s\n", fault.text);
  assert(ok);
}

/* Event i of the test: its shape hangs on i, so that every part is sometimes there. */
static void fill(int i, Event *event, Chunk *chunks, uint8_t *bytes) {
  *event = (Event){.kind = i ? EVENT_SYSCALL : EVENT_META, .pid = 100 + i % 3, .tid = 200 + i};
  event->nr = i % 400;
  event->ret = i % 7 ? i * 12345LL : -i;
  event->aux = (uint64_t)i << 40;
  for (int k = 0; k < i % 7; k++) event->args[k] = (uint64_t)(i + 1) * (unsigned)(k + 1);
  event->has_regs = i % 5 == 0;
  if (event->has_regs) memset(&event->regs, i, sizeof event->regs);
  event->has_hash = i % 2;
  if (event->has_hash) event->hash = (uint64_t)i * 0x9E3779B97F4A7C15u;
  event->nchunks = i ? i % 4 : 1;
  event->chunks = chunks;
  for (int k = 0; k < event->nchunks; k++) {
    size_t size = (size_t)(i * 7 + k * 13) % 3000;
    for (size_t b = 0; b < size; b++) bytes[b] = (uint8_t)(b * (unsigned)i + b / 16);
    chunks[k] = (Chunk){CHUNK_OUT, (uint64_t)i << 12, bytes, size};
  }
  if (!i) chunks[0] = (Chunk){CHUNK_META, 0, (const uint8_t *)"argv\0true", 9};
}

static void check_equal(const Event *a, const Event *b) {
  assert(a->kind == b->kind && a->pid == b->pid && a->tid == b->tid && a->nr == b->nr);
  assert(a->ret == b->ret && a->aux == b->aux);
  assert(memcmp(a->args, b->args, sizeof a->args) == 0);
  assert(a->has_regs == b->has_regs && a->has_hash == b->has_hash && a->hash == b->hash);
  assert(memcmp(&a->regs, &b->regs, sizeof a->regs) == 0);
  assert(a->nchunks == b->nchunks);
  for (int k = 0; k < a->nchunks; k++) {
    const Chunk *x = &a->chunks[k], *y = &b->chunks[k];
    assert(x->kind == y->kind && x->addr == y->addr && x->size == y->size);
    assert(memcmp(x->bytes, y->bytes, x->size) == 0);
  }
}

static void write_events(const char *dir, bool complete) {
  TraceWriter *writer;
  check(writer_create(dir, &writer, &fault));
  for (int i = 0; i < EVENTS; i++) {
    Event event;
    Chunk chunks[4];
    uint8_t bytes[3000];
    fill(i, &event, chunks, bytes);
    check(writer_add(writer, &event, &fault));
    assert(event.ev == (uint64_t)i + 1);
  }
  check(writer_close(writer, complete, NULL, &fault));
}

/* With another thread that loads blocks, or without. */
static bool ahead;

static void open_cursor(Recording *recording, TraceCursor **out) {
  cpu_set_t cpus;
  check(trace_open(recording, out, &fault));
  assert(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
  if (ahead) trace_ahead(*out, &cpus);
}

/* Reads from ev on to the end; how many there were. */
static int read_events(Recording *recording, uint64_t ev) {
  TraceCursor *cursor;
  open_cursor(recording, &cursor);
  if (ev) check(trace_seek(cursor, ev, &fault));
  int i = ev ? (int)ev - 1 : 0, count = 0;
  for (;; i++, count++) {
    const Event *event;
    check(trace_next(cursor, &event, &fault));
    if (!event) break;
    Event wanted;
    Chunk chunks[4];
    uint8_t bytes[3000];
    fill(i, &wanted, chunks, bytes);
    assert(event->ev == (uint64_t)i + 1);
    check_equal(event, &wanted);
  }
  trace_close(cursor);
  return count;
}

/* To and fro, over several blocks. */
static void test_seeks(Recording *recording) {
  static const uint64_t places[] = {EVENTS, 1, EVENTS / 2, EVENTS / 2 + 1, EVENTS / 3, 2, EVENTS};
  TraceCursor *cursor;
  const Event *event;
  open_cursor(recording, &cursor);
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    check(trace_seek(cursor, places[i], &fault));
    for (uint64_t ev = places[i]; ev <= EVENTS && ev < places[i] + EVENTS / 4; ev++) {
      check(trace_next(cursor, &event, &fault));
      assert(event && event->ev == ev);
    }
  }
  trace_close(cursor);
}

static void test_round_trip(const char *dir) {
  write_events(dir, true);
  Recording *recording;
  check(recording_open(dir, &recording, &fault));
  assert(!recording_is_cut(recording) && recording_id(recording));
  assert(strcmp(recording_argv(recording, 0), "true") == 0 && !recording_argv(recording, 1));
  for (int way = 0; way < 2; way++) {
    ahead = way;
    assert(read_events(recording, 0) == EVENTS);
    assert(read_events(recording, 1) == EVENTS);
    assert(read_events(recording, EVENTS) == 1);
    assert(read_events(recording, 2345) == EVENTS - 2344);
    assert(read_events(recording, EVENTS + 1) == 0);
    test_seeks(recording);
  }
  ahead = false;
  uint64_t first, last;
  check(trace_range(recording, &first, &last, &fault));
  assert(first == 1 && last == EVENTS);
  recording_close(recording);
  TraceWriter *writer;
  assert(!writer_create(dir, &writer, &fault) && fault.code == FAULT_BUSY);
  fault_clear(&fault);
}

static uint8_t *slurp(const char *path, size_t *out_size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  assert(fd >= 0 && fstat(fd, &st) == 0);
  uint8_t *bytes = malloc((size_t)st.st_size);
  assert(bytes && read(fd, bytes, (size_t)st.st_size) == st.st_size);
  close(fd);
  *out_size = (size_t)st.st_size;
  return bytes;
}

/* A reader that has it open is told, wherever the cut is; seeking again in one block works. */
static void test_cut_while_open(const char *dir, const char *path, size_t size) {
  Recording *recording;
  TraceCursor *cursor;
  const Event *event;
  check(recording_open(dir, &recording, &fault));
  open_cursor(recording, &cursor);
  for (uint64_t ev = 12; ev > 2; ev -= 3) {
    check(trace_seek(cursor, ev, &fault));
    check(trace_next(cursor, &event, &fault));
    assert(event->ev == ev);
  }
  assert(truncate(path, (off_t)size / 2) == 0);
  bool ok = true;
  while (ok && event) ok = trace_next(cursor, &event, &fault);
  assert(!ok && fault.code == FAULT_CORRUPT);
  fault_clear(&fault);
  trace_close(cursor);
  recording_close(recording);
}

/* However much of the file is left: either refused, or its events up to some point. */
static void test_torn(const uint8_t *bytes, size_t size) {
  int most = 0;
  for (size_t left = 0; left < size; left += 1 + size / 97) {
    Recording *recording;
    if (!recording_of_bytes(bytes, left, &recording, &fault)) {
      assert(fault.code == FAULT_CORRUPT);
      fault_clear(&fault);
      continue;
    }
    assert(recording_is_cut(recording));
    int count = read_events(recording, 0);
    assert(count >= most && count <= EVENTS);
    most = count;
    recording_close(recording);
  }
  assert(most > EVENTS / 2);
}

/* A changed byte is noticed, wherever it is (but in the id and in reserved fields of the head). */
static void test_changed(uint8_t *bytes, size_t size) {
  for (size_t at = 24; at < size; at += 1 + size / 301) {
    bytes[at] ^= 0x40;
    Recording *recording;
    bool bad = !recording_of_bytes(bytes, size, &recording, &fault);
    if (!bad) {
      bad = recording_is_cut(recording); /* a header that claims more than there is */
      TraceCursor *cursor;
      open_cursor(recording, &cursor);
      const Event *event = NULL;
      while (!bad) {
        bad = !trace_next(cursor, &event, &fault);
        if (!bad && !event) break;
      }
      trace_close(cursor);
      recording_close(recording);
    }
    if (!bad) fprintf(stderr, "byte %zu of %zu\n", at, size);
    assert(bad);
    fault_clear(&fault);
    bytes[at] ^= 0x40;
  }
}

static void test_files(const char *dir, const char *source) {
  TraceWriter *writer;
  check(writer_create(dir, &writer, &fault));
  uint32_t first, second, third;
  scratch_write(source, "one");
  check(writer_file(writer, source, source, &first, &fault));
  check(writer_file(writer, source, source, &second, &fault));
  assert(first == second);
  scratch_write(source, "two");
  check(writer_file(writer, source, source, &third, &fault));
  assert(third != first);
  assert(!writer_file(writer, "/nowhere", "/nowhere", &third, &fault) && fault.code == FAULT_IO);
  fault_clear(&fault);
  check(writer_close(writer, true, NULL, &fault));
  char path[1024];
  snprintf(path, sizeof path, "%s/files/%u", dir, first);
  size_t size;
  uint8_t *bytes = slurp(path, &size);
  assert(size == 3 && memcmp(bytes, "one", 3) == 0);
  free(bytes);
}

int main(void) {
  char dir[256], path[512], source[512], events[600];
  scratch_make(dir, sizeof dir);
  snprintf(path, sizeof path, "%s/a", dir);
  test_round_trip(path);
  snprintf(events, sizeof events, "%s/events", path);
  size_t size;
  uint8_t *bytes = slurp(events, &size);
  for (int way = 0; way < 2; way++) {
    ahead = way;
    test_torn(bytes, size);
    test_changed(bytes, size);
  }
  free(bytes);
  test_cut_while_open(path, events, size);
  snprintf(path, sizeof path, "%s/b", dir);
  snprintf(source, sizeof source, "%s/source", dir);
  test_files(path, source);
  Recording *recording;
  assert(!recording_open(source, &recording, &fault) && fault.code == FAULT_NOTFOUND);
  scratch_remove(dir);
  puts("trace: ok");
  return 0;
}
