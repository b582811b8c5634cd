/*
** Walking through what is played, for a debugger: forwards and backwards, by instructions, to
** breakpoints and to writes, within what one process ran as one program.
**
** A place is told by an event and what has run since: so many instructions, so many passes of one.
** To go back is to go to a state that the player has kept, and from there to the place again; the
** player must keep some (PlayOptions.checkpoints).
*/
#ifndef TENFOLD_REPLAY_WALK_H
#define TENFOLD_REPLAY_WALK_H

#include "replay/play.h"

typedef enum WalkKind {
  WALK_STEPPED,
  WALK_BREAK,  /* about to run an instruction that was asked for */
  WALK_WRITE,  /* going forwards: behind the write; backwards: before it. `addr`: which watch */
  WALK_SIGNAL, /* `signal` has been delivered */
  WALK_BEGIN,  /* the program's beginning */
  WALK_END     /* its end, or that of the recording: nothing more runs */
} WalkKind;

typedef struct WalkStop {
  WalkKind kind;
  int32_t tid;
  uint64_t addr;
  int signal;
} WalkStop;

typedef struct WalkWatch {
  uint64_t addr, size;
} WalkWatch;

typedef struct Walk Walk;

/* Stands at the moment, to which the player is sent. Reads the recording once. */
bool walk_open(Recording *recording, Player *player, const Moment *moment, Walk **out,
               Fault *fault);
void walk_close(Walk *walk);

/* From now on breakpoints and watches are these. */
bool walk_points(Walk *walk, const uint64_t *breaks, size_t nbreaks, const WalkWatch *watches,
                 size_t nwatches, Fault *fault);
/* Signals (bit 1 << number) at which walk_on() does not stop. */
void walk_pass(Walk *walk, uint64_t signals);

/* The thread runs one instruction; others run as they did. */
bool walk_step(Walk *walk, int32_t tid, WalkStop *out, Fault *fault);
bool walk_on(Walk *walk, WalkStop *out, Fault *fault);
/* The thread is before the instruction that it ran last. FAULT_LIMIT: that is too far from a place
** that is known, which costs a stop for each instruction between them. */
bool walk_step_back(Walk *walk, int32_t tid, WalkStop *out, Fault *fault);
bool walk_back(Walk *walk, WalkStop *out, Fault *fault);

/* What the place is called where all of it is counted from the event alone. FAULT_NOTFOUND:
** nothing, as within a string instruction that repeats itself. */
bool walk_moment(Walk *walk, Moment *out, Fault *fault);

/* After a fault, FAULT_INTERRUPT included: stands behind the last event that was played. */
bool walk_settle(Walk *walk, Fault *fault);

#endif
