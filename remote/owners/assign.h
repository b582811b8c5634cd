/*
** Who should own which slice. What all nodes know is the map (whose each slice is) and a number of
** each member: its load, as it said last. A member weighs its load and a little for each of its
** slices, so that what nobody uses is spread evenly, too.
**
** - Slices of nobody go to whoever weighs least.
** - Who is new (few slices, little weight) gets his share by number, 1/N of all, of every other one
**   in proportion to what he has, at once. Nothing else moves for it, and who was as busy as the
**   others before still is.
** - Otherwise loads are evened out in pairs, the heaviest with the lightest and so on: a few slices
**   at a time, and only if somebody weighs much more or less than the mean (Slicer, OSDI'16: "limit
**   key churn"). A slice moves only when the heavier of the two gets lighter and the other one does
**   not get as heavy: so this ends, and nothing moves to and fro.
**
** What follows from the map alone is the same on every node. Which of his slices a giver gives is
** his own choice: he alone knows their loads.
*/
#ifndef TENFOLD_REMOTE_OWNERS_ASSIGN_H
#define TENFOLD_REMOTE_OWNERS_ASSIGN_H

#include <stdbool.h>
#include <stdint.h>

/* What a slice weighs that nobody uses. Loads are in millionths of a processor; what others tell is
** taken to be at most so much. */
enum { OWN_IDLE = 500, OWN_MOST_LOAD = 1000000000 };

typedef struct OwnMap {
  int nslices, nmembers;
  const int *owners;     /* of each slice: a member's number, below nmembers, or -1 */
  const uint64_t *loads; /* of each member */
  const uint64_t *own;   /* of each slice that is ours; 0: it is another's */
} OwnMap;

/* out[nslices]: who should have it, of nobody's slices and for the sake of those who are new.
** `fully`: that was begun, and goes on until they have all of it. All -1 when there are no
** members. */
void own_assign(const OwnMap *map, bool fully, int *out);

/* out[nslices]: the same, with at most `most` slices of member `me` given away to even out loads:
** how many. */
int own_even_out(const OwnMap *map, int me, int most, int *out);

#endif
