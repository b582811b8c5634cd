/*
** Packs rows while probes make them, on another processor.
**
** The program fills the parts of a ring (RowTaker); a thread packs those that are full. So the rows
** of a long run are in memory once, packed, and take hardly longer than the run does.
*/
#ifndef TENFOLD_REPLAY_ROW_PACKER_H
#define TENFOLD_REPLAY_ROW_PACKER_H

#include "replay/packed.h"

typedef struct RowPacker RowPacker;

/* Into `fd`, an empty file that becomes one of packed rows. The thread, if one is needed, runs on
** the processors of `set` (a cpu_set_t; NULL: on ours). */
bool row_packer_create(int fd, const RowLayout *layout, const void *set, RowPacker **out,
                       Fault *fault);
/* What a ring of rows needs: its file, and who takes them. */
int row_packer_ring(const RowPacker *packer);
const RowTaker *row_packer_taker(const RowPacker *packer);
/* All that was taken is packed, and then these: the rows of a file that is no ring, or none. */
bool row_packer_end(RowPacker *packer, const uint64_t *rows, uint64_t count, RowState state,
                    Fault *fault);
/* After what fills the ring has ended. */
void row_packer_free(RowPacker *packer);

#endif
