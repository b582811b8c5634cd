/*
** libFuzzer: events of a hostile recording that are copied many at once, as the player does to
** answer calls in the process. Copies are whole events that make sense, the same that are read one
** by one, and behind what is skipped the next one follows.
*/
#include "test/replay/fuzz_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS = 4096, COPY = 1 << 16 };

static volatile uint64_t touched;

/* One by one, until something is wrong. */
typedef struct Plain {
  uint64_t ev[EVENTS];
  int32_t nr[EVENTS];
  size_t count;
} Plain;

static void read_plain(Recording *recording, Plain *out) {
  Fault fault = {0};
  TraceCursor *cursor;
  const Event *event;
  out->count = 0;
  fuzz_must(trace_open(recording, &cursor, &fault), "no cursor");
  while (out->count < EVENTS && trace_next(cursor, &event, &fault) && event) {
    out->ev[out->count] = event->ev;
    out->nr[out->count++] = event->nr;
  }
  trace_close(cursor);
}

/* What the player looks at. */
typedef struct Wish {
  uint8_t mask;
  size_t most, count;
} Wish;

static bool want(void *ctx, const EventHead *head, const uint8_t *rest) {
  Wish *wish = ctx;
  const uint8_t *at = rest;
  for (int i = 0; i < head->nargs * 8; i++) touched += *at++;
  if (head->flags & FLAG_REGS) at += sizeof(struct user_regs_struct);
  if (head->flags & FLAG_HASH) at += 8;
  for (int i = 0; i < head->nchunks; i++) {
    ChunkHead chunk;
    memcpy(&chunk, at, sizeof chunk);
    at += sizeof chunk;
    for (uint32_t k = 0; k < chunk.size; k++) touched += at[k];
    at += ((size_t)chunk.size + 7) / 8 * 8;
  }
  fuzz_must(at == (const uint8_t *)rest - sizeof *head + head->size, "an event that is not whole");
  if (wish->count >= wish->most || (head->nr & wish->mask)) return false;
  wish->count++;
  return true;
}

/* Whole events, which are plain->ev[first] and those behind it. */
static size_t check_copy(const uint8_t *copy, size_t size, const Plain *plain, size_t first) {
  size_t count = 0;
  for (size_t at = 0; at < size; count++) {
    EventHead head;
    fuzz_must(size - at >= sizeof head, "half a head");
    memcpy(&head, copy + at, sizeof head);
    fuzz_must(head.size >= sizeof head && head.size <= size - at, "half an event");
    fuzz_must(first + count >= plain->count ||
                  (head.ev == plain->ev[first + count] && head.nr == plain->nr[first + count]),
              "another event than the one that is read");
    at += head.size;
  }
  return count;
}

/* The bytes of `steps` say where there is to be copied, how much, and how much of it is skipped. */
static void copy_all(Recording *recording, const Plain *plain, const uint8_t *steps,
                     size_t nsteps) {
  static uint8_t copy[COPY];
  Fault fault = {0};
  TraceCursor *cursor;
  const Event *event;
  size_t at = 0;
  fuzz_must(trace_open(recording, &cursor, &fault), "no cursor");
  for (size_t i = 0; at < plain->count && trace_next(cursor, &event, &fault) && event; i++) {
    const uint8_t step = nsteps ? steps[i % nsteps] : 0;
    fuzz_must(event->ev == plain->ev[at] && event->nr == plain->nr[at], "not the next event");
    Wish wish = {.mask = step >> 4 & 3, .most = step % 8};
    const size_t room = step & 0x40 ? (size_t)step * 8 : COPY;
    memset(copy, 0, sizeof copy);
    const size_t size = trace_copy(cursor, want, &wish, copy, room);
    fuzz_must(size <= room, "more than there is room for");
    const size_t count = check_copy(copy, size, plain, at);
    fuzz_must(count <= wish.count, "more than was wanted");
    at++;
    if (!(step & 0x80) || !size) continue;
    uint64_t ev = 0;
    size_t skipped;
    fuzz_must(!trace_skip(cursor, size - 1, &ev, &skipped), "skipped to the midst of an event");
    fuzz_must(trace_skip(cursor, size, &ev, &skipped) && skipped == count, "not skipped");
    at += count - 1;
    fuzz_must(at > plain->count || ev == plain->ev[at - 1], "skipped to elsewhere");
  }
  trace_close(cursor);
}

/* ---- events out of bytes, most of them whole ------------------------------------------------- */

typedef struct Source {
  const uint8_t *at, *end;
} Source;

static uint8_t take(Source *source) { return source->at < source->end ? *source->at++ : 0; }

/* Appends to out[0..capacity), which has `size` bytes; what does not fit is left out. */
static size_t put(uint8_t *out, size_t capacity, size_t size, const void *bytes, size_t count) {
  if (count > capacity - size) return size;
  memcpy(out + size, bytes, count);
  return size + count;
}

static size_t put_event(Source *source, uint64_t *ev, uint8_t *out, size_t capacity) {
  static const uint8_t filler[256];
  const uint8_t shape = take(source), wrong = take(source);
  EventHead head = {.kind = take(source) % 14,
                    .nargs = shape % 7,
                    .nchunks = shape >> 3 & 3,
                    .flags = shape >> 5 & 3,
                    .tid = take(source) % 3,
                    .nr = take(source),
                    .ev = *ev += 1 + (wrong & 1)};
  size_t size = put(out, capacity, 0, &head, sizeof head);
  size = put(out, capacity, size, filler, (size_t)head.nargs * 8);
  if (head.flags & FLAG_REGS)
    size = put(out, capacity, size, filler, sizeof(struct user_regs_struct));
  if (head.flags & FLAG_HASH) size = put(out, capacity, size, filler, 8);
  for (int i = 0; i < head.nchunks; i++) {
    ChunkHead chunk = {.kind = take(source) % 14, .size = take(source), .addr = take(source)};
    const size_t room = ((size_t)chunk.size + 7) / 8 * 8;
    if (wrong == 77) chunk.size = UINT32_MAX - chunk.size;
    size = put(out, capacity, size, &chunk, sizeof chunk);
    size = put(out, capacity, size, filler, room);
  }
  head.size = (uint32_t)size;
  if (wrong == 78) head.size += take(source) * 8u;
  if (wrong == 79) head.size -= take(source);
  if (wrong == 80) head.nargs = take(source);
  if (wrong == 81) head.nchunks = (uint16_t)(take(source) << 8 | take(source));
  if (wrong == 82) head.ev -= take(source);
  if (capacity >= sizeof head) memcpy(out, &head, sizeof head);
  return size;
}

/* Blocks of some events each, as a fuzzer would have to guess them. */
static size_t put_blocks(Source *source, uint8_t *out, size_t capacity) {
  size_t size = 0;
  uint64_t ev = 0;
  while (source->at < source->end && capacity - size > sizeof(BlockHead)) {
    BlockHead block = {.first_ev = ev + 1};
    const size_t at = size;
    const uint8_t events = take(source) % 32 + 1;
    size += sizeof block;
    for (int i = 0; i < events && source->at < source->end; i++, block.events++) {
      size += put_event(source, &ev, out + size, capacity - size);
    }
    block.raw = block.stored = (uint32_t)(size - at - sizeof block);
    memcpy(out + at, &block, sizeof block);
  }
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static Plain plain;
  static uint8_t made[1 << 17];
  if (size < 2 || size > sizeof made / 2) return 0;
  const size_t nsteps = data[0] % 16 < size - 1 ? data[0] % 16 : size - 1;
  const uint8_t *steps = data + 1;
  Source source = {steps + nsteps, data + size};
  size_t count = (size_t)(source.end - source.at);
  if (data[0] & 0x80) { /* as they are */
    memcpy(made, source.at, count);
  } else {
    count = put_blocks(&source, made, sizeof made);
  }
  uint8_t *bytes = malloc(sizeof(FileHead) + count);
  if (!bytes) return 0;
  const size_t length = fuzz_make_file(made, count, bytes);
  Fault fault = {0};
  Recording *recording;
  if (recording_of_bytes(bytes, length, &recording, &fault)) {
    read_plain(recording, &plain);
    copy_all(recording, &plain, steps, nsteps);
    recording_close(recording);
  }
  free(bytes);
  return 0;
}
