/*
** Blocks of a recording on their way to the disk. A thread of its own compresses and writes them,
** on another CPU than the program runs on where there is one, so that the program and its recorder
** need not wait. An error is told with the next block, or at the end.
*/
#ifndef TENFOLD_REPLAY_TRACE_PACK_H
#define TENFOLD_REPLAY_TRACE_PACK_H

#include "replay/trace_format.h"

typedef struct EventBlock {
  uint8_t *bytes;
  size_t length, capacity;
  uint64_t first_ev;
  uint32_t events;
} EventBlock;

typedef struct Packer Packer;

/* For the empty file that is open as `fd`, which the packer closes, also when this fails; `head` is
** written at once. `dir` is named in errors and must live as long. The thread starts with the first
** block, and may run where this one may run now. */
bool packer_create(int fd, const char *dir, const FileHead *head, Packer **out, Fault *fault);
void packer_destroy(Packer *packer);

/* Takes what is in the block and leaves an empty one. Waits while the one before last is at
** work. */
bool packer_take(Packer *packer, EventBlock *block, Fault *fault);

/* All blocks are written when this returns; with `complete`, the mark of the end too. */
bool packer_finish(Packer *packer, bool complete, Fault *fault);

/* After packer_finish(): bytes of the file. */
uint64_t packer_stored(const Packer *packer);

#endif
