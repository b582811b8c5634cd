#define _GNU_SOURCE /* syscall */
#include "remote/board.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/stop.h"

enum { SECOND = 1000000000, MOST = 128, POLL = 2000000 /* ns, where the kernel cannot wait */ };

/* Kernel headers older than 5.16 have neither. */
enum { CALL_FUTEX_WAITV = 449, WORD_32 = 2 };
typedef struct Waiter {
  uint64_t value, address;
  uint32_t flags, reserved;
} Waiter;

unsigned far_board_slot(uint64_t offset) {
  return (unsigned)((offset / FAR_PAGE * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % FAR_BOARD;
}

/* ---- telling --------------------------------------------------------------------------------- */

/* What was written can be seen before the watchers are counted: see far_board_take(). */
bool far_board_watched(const FarMapped *memory) {
  const FarBoard *board = far_board(memory);
  atomic_thread_fence(memory_order_seq_cst);
  return board && atomic_load_explicit((const _Atomic uint64_t *)&board->all.watchers,
                                       memory_order_relaxed) != 0;
}

static void wake(void *word) { syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0); }

static void tell(const FarMapped *memory, unsigned slot) {
  FarBoard *board = far_board(memory);
  FarBoardSlot *it = &board->slots[slot];
  if (!atomic_load((_Atomic uint64_t *)&it->watchers)) return;
  atomic_fetch_add((_Atomic uint64_t *)&it->changes, 1);
  atomic_fetch_add((_Atomic uint64_t *)&board->all.changes, 1);
  wake(&it->changes);
}

void far_board_tell(const FarMapped *memory, uint64_t offset, uint64_t length) {
  if (!length) return;
  const uint64_t first = offset / FAR_PAGE, last = (offset + length - 1) / FAR_PAGE;
  if (last - first >= FAR_BOARD) {
    far_board_tell_all(memory);
    return;
  }
  for (uint64_t page = first; page <= last; page++) tell(memory, far_board_slot(page * FAR_PAGE));
}

void far_board_mark(uint64_t set[FAR_BOARD / 64], uint64_t offset, uint64_t length) {
  if (!length) return;
  const uint64_t first = offset / FAR_PAGE, last = (offset + length - 1) / FAR_PAGE;
  for (uint64_t page = first; page <= last; page++) {
    const unsigned slot = far_board_slot(page * FAR_PAGE);
    set[slot / 64] |= UINT64_C(1) << slot % 64;
  }
}

void far_board_tell_slots(const FarMapped *memory, const uint64_t set[FAR_BOARD / 64]) {
  if (!far_board_watched(memory)) return;
  for (unsigned i = 0; i < FAR_BOARD / 64; i++)
    for (uint64_t left = set[i]; left; left &= left - 1)
      tell(memory, i * 64 + (unsigned)__builtin_ctzll(left));
}

void far_board_tell_all(const FarMapped *memory) {
  if (!far_board_watched(memory)) return;
  for (unsigned slot = 0; slot < FAR_BOARD; slot++) tell(memory, slot);
}

/* ---- watching -------------------------------------------------------------------------------- */

static _Atomic uint64_t *bits_of(FarClient *client, unsigned slot) {
  return (_Atomic uint64_t *)&client->watches[slot / 64];
}

static uint64_t bit_of(unsigned slot) { return UINT64_C(1) << slot % 64; }

/* The count before the bit, and the bit before the count: who dies in between is counted for ever,
** which costs a little time; nobody's place is given away. */
void far_board_take(const FarMapped *memory, FarClient *client, unsigned slot) {
  FarBoard *board = far_board(memory);
  if (atomic_load(bits_of(client, slot)) & bit_of(slot)) return;
  atomic_fetch_add((_Atomic uint64_t *)&board->all.watchers, 1);
  atomic_fetch_add((_Atomic uint64_t *)&board->slots[slot].watchers, 1);
  atomic_fetch_or(bits_of(client, slot), bit_of(slot));
  atomic_thread_fence(memory_order_seq_cst);
}

void far_board_leave(const FarMapped *memory, FarClient *client, unsigned slot) {
  FarBoard *board = far_board(memory);
  if (!(atomic_fetch_and(bits_of(client, slot), ~bit_of(slot)) & bit_of(slot))) return;
  atomic_fetch_sub((_Atomic uint64_t *)&board->slots[slot].watchers, 1);
  atomic_fetch_sub((_Atomic uint64_t *)&board->all.watchers, 1);
}

void far_board_leave_all(const FarMapped *memory, FarClient *client) {
  for (unsigned slot = 0; memory->board && slot < FAR_BOARD; slot++)
    far_board_leave(memory, client, slot);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static struct timespec time_of(int64_t ns) {
  return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

static Waiter waiter_of(const void *word, uint32_t value) {
  return (Waiter){.value = value, .address = (uintptr_t)word, .flags = WORD_32};
}

void far_board_wait(const FarMapped *memory, const uint64_t set[FAR_BOARD / 64],
                    const uint32_t seen[FAR_BOARD], _Atomic uint32_t *also, uint32_t value,
                    int64_t ns) {
  Waiter waiters[MOST];
  int n = 0;
  bool too_many = false;
  if (ns <= 0) return;
  if (also) waiters[n++] = waiter_of(also, value);
  for (unsigned i = 0; i < FAR_BOARD / 64; i++) {
    for (uint64_t left = set[i]; left; left &= left - 1) {
      const unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
      if (far_board_changes(memory, slot) != seen[slot]) return;
      too_many = n == MOST;
      if (too_many) break;
      waiters[n++] = waiter_of(&far_board(memory)->slots[slot].changes, seen[slot]);
    }
  }
  if (n > 0 && !too_many) {
    const struct timespec until = time_of(clock_now() + ns);
    const long rc = syscall(CALL_FUTEX_WAITV, waiters, n, 0, &until, CLOCK_MONOTONIC);
    if (rc >= 0 || (errno != ENOSYS && errno != EPERM)) return;
  }
  const struct timespec pause = time_of(ns < POLL || !n ? ns : POLL);
  nanosleep(&pause, NULL);
}

void far_board_wake(_Atomic uint32_t *word) { wake(word); }
