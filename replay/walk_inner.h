/*
** What the files of a walk share.
*/
#ifndef TENFOLD_REPLAY_WALK_INNER_H
#define TENFOLD_REPLAY_WALK_INNER_H

#include "replay/walk.h"

typedef enum LegKind {
  LEG_HIT,   /* the first leg alone: the count-th pass of addr since the event */
  LEG_PASS,  /* the count-th pass of addr from where the leg begins, which counts */
  LEG_STEPS, /* `count` instructions */
  LEG_WRITE  /* behind the count-th write of the program to addr..addr + size */
} LegKind;

typedef struct Leg {
  LegKind kind;
  uint64_t addr, size, count;
} Leg;

/* After event ev, the thread whose turn it is has gone these legs. */
typedef struct Place {
  uint64_t ev;
  Leg *legs;
  size_t nlegs, capacity;
} Place;

struct Walk {
  Recording *recording;
  Player *player;
  int32_t pid;
  uint64_t first, last; /* events of the program: its beginning, and the last before its end */
  uint64_t *signals;    /* events of the process that are signals, in order */
  size_t nsignals, signals_capacity;
  uint64_t passed; /* signals that do not stop it */
  Place at;
  uint64_t *breaks;
  size_t nbreaks, breaks_capacity;
  WalkWatch *watches;
  size_t nwatches, watches_capacity;
  uint64_t *met; /* how often each break, then each watch, on the way of a leg ... */
  size_t met_capacity;
  uint64_t met_ev; /* ... behind this event */
};

/* ---- walk.c */

/* The thread whose turn it is and where it stands; 0: nobody runs any more. */
bool walk_turn(Walk *walk, int32_t *out_tid, uint64_t *out_rip, Fault *fault);
/* The user's breaks and watches are there, and what the leg needs (NULL: nothing). */
bool walk_arm(Walk *walk, bool breaks, bool watches, const Leg *leg, Fault *fault);
bool walk_disarm(Walk *walk, Fault *fault);
/* How often what stops us was met is counted anew. */
void walk_forget(Walk *walk);
/* What the player has just done, in terms of what was asked for: is it a stop? Its place is so many
** legs behind the beginning of a leg of which `before` are those before it. */
bool walk_met(Walk *walk, const PlayEnd *end, const Place *before, bool *out, Place *out_place,
              WalkStop *out_stop, Fault *fault);
bool walk_touches(const Walk *walk, uint64_t addr, uint64_t size);
int32_t walk_tid(Walk *walk);

/* ---- walk_place.c */

bool place_copy(const Place *from, size_t nlegs, Place *to, Fault *fault);
bool place_add(Place *place, LegKind kind, uint64_t addr, uint64_t size, uint64_t count,
               Fault *fault);
bool place_same(const Place *a, const Place *b);
void place_finish(Place *place);
/* Goes there. */
bool walk_goto(Walk *walk, const Place *place, Fault *fault);
/* Goes from behind event `from` to the place, and tells the last stop that was met before it. */
bool walk_look(Walk *walk, uint64_t from, const Place *to, bool *out_found, Place *out,
               WalkStop *out_stop, Fault *fault);
/* How often the thread has come to an instruction on the way from the event to the place, at most
** once more or less; some of it natively. */
bool walk_passes(Walk *walk, const Place *place, uint64_t addr, uint64_t *out, Fault *fault);
/* The place as a pass counted from its event alone. *out_found is false when there is none. */
bool walk_name(Walk *walk, const Place *place, bool *out_found, Moment *out, Fault *fault);
/* The thread of the event behind ev; 0: there is none. */
bool walk_runner(Walk *walk, uint64_t ev, int32_t *out, Fault *fault);

/* ---- walk_far.c */

/* Tries the last known place before the target, and nearer ones as long as that is not enough
** (*out_done) and there are any. The target is a pass, or, with a hit of 0, the event that ends the
** interval; `here` is the instruction that the thread has come to and not run (0: none), which is
** in the function of `around`. */
typedef bool WalkTry(void *ctx, const Moment *from, bool *out_done, Fault *fault);
bool walk_near(Walk *walk, const Moment *target, uint64_t here, uint64_t around, WalkTry *try,
               void *ctx, bool *out_done, Fault *fault);

/* ---- walk_before.c */

/* The place before the instruction that the thread ran last, before `place`. *out_found is false
** at the program's beginning. */
bool walk_before(Walk *walk, int32_t tid, const Place *place, bool *out_found, Place *out,
                 Fault *fault);

#endif
