/*
** Who should own which slice: as even as can be, with as few moves as can be.
**
** Slices of nobody go to whoever has least. Owners give slices away only when somebody has less
** than three quarters of an even share (one who has just come has nothing), or when `fully`; then
** each has the even share, rounded up for those who had most. So when a node joins N others it gets
** its share, 1/(N + 1) of the slices, and nothing else moves. What follows from the arguments alone
** is the same on every node.
*/
#ifndef TENFOLD_REMOTE_OWNERS_ASSIGN_H
#define TENFOLD_REMOTE_OWNERS_ASSIGN_H

#include <stdbool.h>

/* owners[nslices]: a member's number, below nmembers, or -1. out[nslices] likewise; all -1 when
** there are no members. */
void own_assign(const int *owners, int nslices, int nmembers, bool fully, int *out);

#endif
