/*
** The notice board of a mapped memory: how those who write wake those who wait for it.
**
** A watcher first says that it watches (far_board_take), then looks at what it watches, then waits
** until the slot's count of changes is another one than before it looked. A writer writes first,
** and then looks for watchers. So one of the two always sees the other, and no change is missed,
** unless the writer dies in between: watchers look again by themselves every FAR_RECHECK ms.
** Whoever writes in another way than by far_execute(), and does not tell, is found then, too.
*/
#ifndef TENFOLD_REMOTE_BOARD_H
#define TENFOLD_REMOTE_BOARD_H

#include "remote/execute.h"

enum { FAR_RECHECK = 100 }; /* ms */

static inline FarBoard *far_board(const FarMapped *memory) { return memory->board; }

/* The slot of an address. */
unsigned far_board_slot(uint64_t offset);

/* Does anybody watch anything? To be asked after writing. */
bool far_board_watched(const FarMapped *memory);

/* Tells whoever watches this range that it was written. */
void far_board_tell(const FarMapped *memory, uint64_t offset, uint64_t length);

/* The same later, or from elsewhere: slots, a bit each, of ranges that were written. */
void far_board_mark(uint64_t set[FAR_BOARD / 64], uint64_t offset, uint64_t length);
void far_board_tell_slots(const FarMapped *memory, const uint64_t set[FAR_BOARD / 64]);

/* Tells all watchers to look: something was written, wherever. */
void far_board_tell_all(const FarMapped *memory);

/* A client counts as a watcher of a slot, and does not any more. Both may be done again. */
void far_board_take(const FarMapped *memory, FarClient *client, unsigned slot);
void far_board_leave(const FarMapped *memory, FarClient *client, unsigned slot);
/* For who buries it. */
void far_board_leave_all(const FarMapped *memory, FarClient *client);

static inline uint32_t far_board_changes(const FarMapped *memory, unsigned slot) {
  return (uint32_t)atomic_load((_Atomic uint64_t *)&far_board(memory)->slots[slot].changes);
}

/* Waits until one of the slots in `set` (a bit each) has another count than `seen` says, or the
** word `also` (NULL: none) is not `value`; at most so long. May come back early. */
void far_board_wait(const FarMapped *memory, const uint64_t set[FAR_BOARD / 64],
                    const uint32_t seen[FAR_BOARD], _Atomic uint32_t *also, uint32_t value,
                    int64_t ns);

/* Wakes who waits for a word of its own. */
void far_board_wake(_Atomic uint32_t *word);

#endif
