/*
** One event in the making. What it holds of the program's memory is gathered first and read in one
** go: a call of process_vm_readv costs more than what it reads.
*/
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "base/array.h"
#include "replay/record_inner.h"

/* Of the time, one part of so many is for hashes. What they cost in all is three times that: a stop
** at an event that would have been none, and the program's caches, which hold other things then. */
enum { HASH_SHARE = 100 };
enum { BATCH = 64 }; /* iovecs in a call */

void event_place(RecordThread *thread) {
  thread->has_place = thread->tracee.has_regs;
  thread->called = false;
  if (thread->has_place) thread->place = thread->tracee.regs;
}

void event_place_called(RecordThread *thread) {
  event_place(thread);
  thread->called = true;
}

bool event_is_place(RecordThread *thread) {
  return thread->has_place && tracee_regs(&thread->tracee, NULL) &&
         memcmp(&thread->place, &thread->tracee.regs, sizeof thread->place) == 0;
}

void event_begin(Recorder *recorder, const RecordThread *thread, EventKind kind) {
  recorder->event = (Event){.kind = kind};
  if (thread) {
    recorder->event.pid = thread->process->pid;
    recorder->event.tid = thread->tracee.tid;
  }
  recorder->npieces = 0;
  recorder->nbytes = 0;
}

static bool add_piece(Recorder *recorder, const Piece *piece, Fault *fault) {
  if (!array_grow(recorder->pieces, recorder->pieces_capacity, recorder->npieces + 1) ||
      !array_extend(recorder->bytes, recorder->bytes_capacity, recorder->nbytes + piece->size)) {
    return fault_oom(fault);
  }
  recorder->pieces[recorder->npieces++] = *piece;
  recorder->nbytes += piece->size;
  return true;
}

bool event_bytes(Recorder *recorder, ChunkKind kind, uint64_t addr, const void *bytes, size_t size,
                 Fault *fault) {
  Piece piece = {.kind = kind, .addr = addr, .size = size, .offset = recorder->nbytes};
  if (!add_piece(recorder, &piece, fault)) return false;
  if (size) memcpy(recorder->bytes + piece.offset, bytes, size);
  return true;
}

bool event_memory(Recorder *recorder, ChunkKind kind, uint64_t addr, size_t size, Fault *fault) {
  Piece piece = {
      .kind = kind, .addr = addr, .size = size, .offset = recorder->nbytes, .read = true};
  return add_piece(recorder, &piece, fault);
}

bool event_regs(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (!tracee_regs(&thread->tracee, fault)) return false;
  recorder->event.has_regs = true;
  recorder->event.regs = thread->tracee.regs;
  return true;
}

bool event_xstate(Recorder *recorder, const RecordThread *thread, Fault *fault) {
  enum { XSTATE_MOST = 1 << 14 };
  uint8_t bytes[XSTATE_MOST];
  struct iovec vector = {bytes, sizeof bytes};
  pid_t tid = thread->tracee.tid;
  if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &vector) != 0) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its extended state cannot be read: %s", (int)tid, strerror(errno));
  }
  return event_bytes(recorder, CHUNK_XSTATE, 0, bytes, vector.iov_len, fault);
}

/* ---- reading */

/* Pieces first to last (exclusive), one by one, each as far as it goes. */
static void read_singly(Recorder *recorder, const Space *space, size_t first, size_t last) {
  for (size_t i = first; i < last; i++) {
    Piece *piece = &recorder->pieces[i];
    if (!piece->read) continue;
    size_t got;
    space_peek(space, (RemoteAddr){piece->addr}, recorder->bytes + piece->offset, piece->size,
               &got);
    piece->size = got;
  }
}

static void read_pieces(Recorder *recorder, const Space *space) {
  size_t first = 0;
  while (first < recorder->npieces) {
    struct iovec local[BATCH], remote[BATCH];
    size_t n = 0, next = first, total = 0;
    for (; next < recorder->npieces && n < BATCH; next++) {
      const Piece *piece = &recorder->pieces[next];
      if (!piece->read || !piece->size) continue;
      local[n] = (struct iovec){recorder->bytes + piece->offset, piece->size};
      remote[n++] = (struct iovec){(void *)(uintptr_t)piece->addr, piece->size};
      total += piece->size;
    }
    if (n && process_vm_readv(space->pid, local, n, remote, n, 0) != (ssize_t)total) {
      read_singly(recorder, space, first, next);
    }
    first = next;
  }
}

/* ---- the end */

/* Calls that may sleep when they have written a part of what they will write: the pages of a file
** come one after the other. */
static bool writes_in_pieces(int nr) {
  switch (nr) {
  case SYS_read:
  case SYS_pread64:
  case SYS_readv:
  case SYS_preadv:
  case SYS_preadv2:
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_recvmmsg:
  case SYS_getrandom:
    return true;
  default:
    return false;
  }
}

/* Is everybody who shares the memory at a place where it is what the events say? */
static bool is_settled(Recorder *recorder, const RecordThread *thread) {
  if (!thread->process->has_image) return false;
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *other = recorder->threads[i];
    if (other == thread || other->process != thread->process) continue;
    if (other->stand == THREAD_RUNS || other->stand == THREAD_NEW || other->deferred) return false;
    if (other->stand == THREAD_ENDING && !other->told_exit) return false;
    if (other->stand != THREAD_CALL) continue;
    if (writes_in_pieces(other->means) || !thread_is_asleep(other) || thread_is_stopped(other)) {
      return false;
    }
  }
  return true;
}

/* Time spent on hashes stays below its share. */
bool event_hash_is_due(const Recorder *recorder) {
  if (recorder->options->hash_every) return recorder->since_hash >= recorder->options->hash_every;
  return recorder->hash_ns * HASH_SHARE <= clock_now() - recorder->hash_began;
}

uint64_t event_until_hash(const Recorder *recorder) {
  const uint64_t every = recorder->options->hash_every;
  if (!every) return UINT64_MAX;
  return recorder->since_hash + 1 < every ? every - 1 - recorder->since_hash : 0;
}

/* A place of the program's own is told from others by its hash in the end: it always has one, and
** how often there are such places is limited elsewhere. */
static bool hash_now(Recorder *recorder, RecordThread *thread, Fault *fault) {
  int64_t began = clock_now();
  RecordProcess *process = thread->process;
  uint64_t memory, registers;
  const StateView view = {.page = process->has_inside ? inside_page : NULL,
                          .ctx = &process->inside,
                          .unsure = recorder->unsure,
                          .nunsure = recorder->nunsure};
  if (!state_memory(&process->state, &process->space, &process->maps, &view, &memory, fault) ||
      !state_registers(&thread->tracee, &registers, fault)) {
    return false;
  }
  recorder->event.hash = memory ^ registers;
  recorder->since_hash = 0;
  if (recorder->event.kind != EVENT_SWITCH) recorder->hash_ns += clock_now() - began;
  return true;
}

static bool make_chunks(Recorder *recorder, Fault *fault) {
  if (!array_grow(recorder->chunks, recorder->chunks_capacity, recorder->npieces + 1)) {
    return fault_oom(fault);
  }
  int n = 0;
  for (size_t i = 0; i < recorder->npieces; i++) {
    const Piece *piece = &recorder->pieces[i];
    if (piece->read && !piece->size) continue;
    recorder->chunks[n++] = (Chunk){.kind = piece->kind,
                                    .addr = piece->addr,
                                    .bytes = recorder->bytes + piece->offset,
                                    .size = piece->size};
  }
  recorder->event.nchunks = n;
  recorder->event.chunks = recorder->chunks;
  return true;
}

bool event_end(Recorder *recorder, RecordThread *thread, Fault *fault) {
  if (thread) read_pieces(recorder, &thread->process->space);
  const bool is_place = recorder->event.kind == EVENT_SWITCH;
  if (thread && recorder->event.has_hash) {
    recorder->since_hash++;
    recorder->event.has_hash =
        is_place || (event_hash_is_due(recorder) && is_settled(recorder, thread));
    if (recorder->event.has_hash && !hash_now(recorder, thread, fault)) return false;
    /* Somebody may have woken up meanwhile. */
    if (!is_place && !is_settled(recorder, thread)) recorder->event.has_hash = false;
  }
  return make_chunks(recorder, fault) && writer_add(recorder->writer, &recorder->event, fault);
}
