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
  bool hashes;     /* compare every hash that was recorded */
  int checkpoints; /* states kept on the way, to go back to: at most so many, 0 for none. One costs
                   ** about 1 ms and 20 us for each MB, and memory as the program changes its own */
  int64_t checkpoint_ns; /* of playing between them, at first; 0: 50 ms */
  Stop *stop;            /* borrowed; NULL: nobody stops us. Seen within 20 ms */
  bool every_stop;       /* no calls are answered in the process itself: slower, and the same */
  bool elsewhere;        /* not on that processor where it was recorded */
  bool beside;           /* another one plays at the same time, and wants the other processor */
} PlayOptions;

/* The recording is borrowed. Plays up to the first instruction of the first program. */
bool player_open(Recording *recording, const PlayOptions *options, Player **out, Fault *fault);
/* Ends and reaps everything that is played. */
void player_close(Player *player);

/* With one process, between two events, where nothing has been probed, counted or watched since
** player_open() or player_rewind(): every pass of the functions in what is played, in whatever
** process, is a row of fd from now on (see probes_add(); a function's file is the number in the
** recording). The whole recording is read once to find room for them. Rows count when
** player_run() has come to an end behind them without a fault. */
bool player_probe(Player *player, const ProbeSpec *spec, int fd, const void *key, size_t key_size,
                  int *out_set, Fault *fault);

typedef enum PlayEndKind {
  PLAY_END,     /* the recording's end */
  PLAY_REACHED, /* event `until` has been applied */
  PLAY_LIMIT,   /* probe set `set` has all the rows it wants */
  PLAY_MOMENT,  /* moment number `moment` of player_moments() */
  PLAY_WRITE,   /* memory that is watched has been written */
  PLAY_BREAK,   /* player_breaks(): a thread is about to run the instruction there */
  PLAY_STEP     /* player_step(): an instruction has run */
} PlayEndKind;

/* After event ev, thread tid is about to run the instruction at addr for the hit-th time; with a
** hit of 0, where it stands then (addr does not matter). */
typedef struct Moment {
  uint64_t ev;
  int32_t tid;
  uint64_t addr, hit;
} Moment;

/* Stop at each of these (PLAY_MOMENT), in the order in which they come, which is that of ev. Takes
** the place of the list before, whose moments must not be under way. A moment that does not come is
** FAULT_NOTFOUND. Cost of each: some 100 us, and the reading of its function. */
bool player_moments(Player *player, const Moment *list, size_t count, Fault *fault);

typedef struct PlayEnd {
  PlayEndKind kind;
  uint64_t ev;     /* the last event that has been applied */
  uint64_t hashes; /* compared since the beginning, all equal */
  uint64_t inside; /* events applied since the beginning without a stop */
  int set;
  size_t moment;
} PlayEnd;

/* On until the event `until` (UINT64_MAX: to the end) has been applied. After PLAY_LIMIT the next
** call goes on where it stopped; likewise after PLAY_MOMENT and PLAY_WRITE. */
bool player_run(Player *player, uint64_t until, PlayEnd *out, Fault *fault);

/* Whenever a thread of the process is about to run one of these instructions, what is played stops
** (PLAY_BREAK, it is the thread of player_turn()); where nothing is mapped now, as soon as there
** is. Takes the place of the list before, and is forgotten by player_rewind(). Cost of a stop: 20
** us. FAULT_UNSUPPORTED: an instruction there cannot be moved. */
bool player_breaks(Player *player, int32_t pid, const uint64_t *list, size_t count, Fault *fault);

/* The next event, NULL behind the last, and whether its thread has still to run to it. Valid until
** something is played. */
bool player_turn(Player *player, const Event **out, bool *out_runs, Fault *fault);

/* The thread whose turn it is runs one instruction (PLAY_STEP), or the next event is applied
** (PLAY_REACHED), with the instruction that leads to it. Repeated string instructions take a step
** for each repetition. About 25 us. There must be no breaks. */
bool player_step(Player *player, PlayEnd *out, Fault *fault);

/* The instructions of the function around addr, by address, at most `most`: how many there are. 0
** when it is not known. */
size_t player_code(Player *player, int32_t tid, uint64_t addr, uint64_t *out, size_t most);

/* From now on, until the next event, it is counted natively how often the thread, whose turn it is,
** runs each of these instructions; those that cannot be counted become 0. Then the counts. */
bool player_tally(Player *player, int32_t tid, uint64_t *list, size_t count, Fault *fault);
bool player_tallied(Player *player, int32_t tid, const uint64_t *list, size_t count, uint64_t *out,
                    Fault *fault);

/* The last event at or before ev whose state is kept: player_rewind() goes there. False: none. */
bool player_kept(const Player *player, uint64_t ev, uint64_t *out);

/* The last event that has been applied. */
uint64_t player_event(const Player *player);

/* Finishes the row file of a set, which gets no more rows: nothing runs afterwards. */
bool player_rows(Player *player, int set, RowState state, ProbeCounts *out, Fault *fault);

/* Of a player that has never gone back: the event behind which as much time of playing lies as
** before it. With one process there. `near` is a guess at it, from elsewhere: taken if it lies
** about there, and counts as much as the clock if it is not far off. 0: there is none, or it all
** took less than `least_ns`. */
uint64_t player_half(const Player *player, int64_t least_ns, uint64_t near);

/* Back to the last state that is kept at or before event ev, also after a fault. Probes, watches
** and moments are forgotten; finish their rows before. */
bool player_rewind(Player *player, uint64_t ev, Fault *fault);

/* Keeps the state as it is after the event that was applied last, when nothing has run since:
** player_rewind() finds it until there are too many. */
bool player_keep(Player *player, Fault *fault);

/* Whether states are kept on the way (PlayOptions.checkpoints) from now on; those that are stay. */
void player_keeps(Player *player, bool on_the_way);

/* On to this moment; back, when it is past and states are kept. FAULT_NOTFOUND: it does not come.
 */
bool player_goto(Player *player, const Moment *moment, Fault *fault);

/* Something played, stopped; pointers are valid until the next call of a function above. */
typedef struct PlayView {
  int32_t pid, tid; /* as recorded */
  struct user_regs_struct regs;
  Tracee *tracee; /* for what else there is; its rip and rsp may be those of a probe's code */
  const MapList *maps;
} PlayView;

/* The thread `tid`, or with 0 the one of the event that was applied last. FAULT_NOTFOUND. */
bool player_view(Player *player, int32_t tid, PlayView *out, Fault *fault);

/* The threads of the process that have not ended, at most `most`: how many. */
size_t player_threads(const Player *player, int32_t pid, int32_t *out, size_t most);

/* From now on every write to these bytes (64 KiB at most) of the thread's process, and of what is
** forked from it, is a stop: PLAY_WRITE; where nothing is mapped now, as soon as there is. Watches
** must not share a page. What the kernel writes is told when its event has been applied, and only
** where it changed something. Other processes that write by way of shared memory are not seen; a
** new program ends the watch. */
bool player_watch(Player *player, const PlayView *view, uint64_t addr, size_t size, int *out_watch,
                  Fault *fault);

/* Nothing is watched any more. */
bool player_unwatch(Player *player, Fault *fault);

typedef struct PlayWrite {
  int watch;
  int32_t pid, tid;
  uint64_t ev; /* the last event before; of the kernel's writes the event itself */
  bool by_kernel;
  uint64_t pc;                                     /* of the instruction; 0: the kernel */
  uint64_t addr, size;                             /* cut to the range */
  uint8_t before[WRITE_BYTES], after[WRITE_BYTES]; /* at most so many of the bytes */
} PlayWrite;
/* After PLAY_WRITE. The thread stands behind the instruction. */
const PlayWrite *player_write(const Player *player);

/* All `size` bytes of its memory, as if there were no probes. */
bool player_read(Player *player, const PlayView *view, uint64_t addr, void *out, size_t size,
                 Fault *fault);

#endif
