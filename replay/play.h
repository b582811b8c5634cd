/*
** Playing a recording: the program runs again, and everything it asks the kernel is answered from
** the recording.
**
** One thread of one process plays; that process traces and does nothing else: it is pinned to one
** CPU while a Player lives, and its ITIMER_REAL belongs to us while a function here runs. The
** processes that are played are its children. They never make a call of their own, get no signal,
** and are gone after player_close(), or when this process ends in whatever way.
**
** FAULT_CORRUPT: the run is not the one that was recorded ("event 17, thread 4711: ..."), or the
** recording makes no sense. After a fault a Player can only be closed.
*/
#ifndef TENFOLD_REPLAY_PLAY_H
#define TENFOLD_REPLAY_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/stop.h"
#include "replay/maps.h"
#include "replay/probe.h"
#include "replay/trace.h"
#include "replay/tracee.h"

typedef struct Player Player;

typedef struct PlayOptions {
  bool hashes; /* compare every hash that was recorded */
  Stop *stop;  /* borrowed; NULL: nobody stops us. Seen within 20 ms */
} PlayOptions;

/* The recording is borrowed. Plays up to the first instruction of the first program. */
bool player_open(Recording *recording, const PlayOptions *options, Player **out, Fault *fault);
/* Ends and reaps everything that is played. */
void player_close(Player *player);

typedef enum PlayEndKind {
  PLAY_END,     /* the recording's end */
  PLAY_REACHED, /* event `until` has been applied */
  PLAY_LIMIT    /* probe set `set` has all the rows it wants */
} PlayEndKind;

typedef struct PlayEnd {
  PlayEndKind kind;
  uint64_t ev;     /* the last event that has been applied */
  uint64_t hashes; /* compared since the beginning, all equal */
  int set;
} PlayEnd;

/* On until the event `until` (UINT64_MAX: to the end) has been applied. After PLAY_LIMIT the next
** call goes on where it stopped. */
bool player_run(Player *player, uint64_t until, PlayEnd *out, Fault *fault);

/* Something played, stopped; pointers are valid until the next call of a function above. The
** registers are in tracee->regs. */
typedef struct PlayView {
  int32_t pid, tid; /* as recorded */
  Tracee *tracee;
  const MapList *maps;
} PlayView;

/* The thread `tid`, or with 0 the one of the event that was applied last. FAULT_NOTFOUND. */
bool player_view(Player *player, int32_t tid, PlayView *out, Fault *fault);

#endif
