/*
** What the files of the player share. Names: play_... for the loop and what it does to a program,
** child_... for processes and threads of the system, step_... for events, files_... for files.
*/
#ifndef TENFOLD_REPLAY_PLAY_INNER_H
#define TENFOLD_REPLAY_PLAY_INNER_H

#include "replay/inside_inner.h"
#include "replay/play.h"
#include "replay/state.h"

#define SPACE_TOP ((uint64_t)1 << 47)
#define PLAY_STACK ((uint64_t)8 << 20) /* what a stack can grow to by default */

/* A file of the recording. */
typedef struct PlayFile {
  bool known;
  TraceFile about;
  char *path;
  int fd;          /* of files/N + 1, 0: not open */
  uint32_t shared; /* number + 1 of the memory that shared mappings of it have */
  bool looked;     /* for its functions: */
  struct ElfFile *elf;
  struct Cfi *cfi;
  bool calls_known;
  InsideFile *calls;
} PlayFile;

/* Where a thread stands. */
typedef enum PlayStand {
  STAND_READY, /* what happened last has been applied: it can run */
  STAND_CALL,  /* it has come to a system call */
  STAND_FAULT  /* an instruction of it was refused: `signal` */
} PlayStand;

typedef struct PlayThread {
  int32_t tid; /* as recorded */
  struct PlaySpace *space;
  Tracee tracee;
  PlayStand stand;
  int signal;
  uint64_t fault_at; /* si_addr */
  int64_t again;     /* -512...: the last call, which will be made again unless a handler runs */
  bool fresh;        /* an IMAGE was built and it has not run yet */
  bool searching;    /* the place of a SWITCH is looked for by its probes */
  bool execs;        /* the next IMAGE of its process is what it asked for */
} PlayThread;

/* Floating-point and vector registers, as ptrace has them. */
typedef struct Units {
  uint8_t *bytes;
  size_t size;
} Units;

/* Watched memory in one space. */
enum { WATCH_MOST = 1 << 16 }; /* bytes */
typedef struct PlayWatch {
  uint64_t addr;
  size_t size;
  int number;    /* as told to the user */
  int armed;     /* its number in the probes of the space; -1: the memory is not there */
  uint8_t *last; /* what was there when it was last looked at */
} PlayWatch;

/* An address space: a process. Its first thread is kept, stopped, when it ends before the others,
** so that the process can be named by it. */
typedef struct PlaySpace {
  int32_t pid; /* as recorded */
  Space space;
  MapList maps;
  MapList shared; /* what of it is in memory of the Player; file: its number + 1 */
  StateReader state;
  PlayThread *leader;
  size_t nthreads; /* that have not ended */
  Probes *probes;  /* NULL: none yet */
  bool probes_borrowed;
  MapList patched; /* executable mappings that probes know of */
  bool new_code;   /* there may be others */
  bool breaks_due; /* the player's breaks may be missing */
  struct PlayWatch *watches;
  size_t nwatches, watches_capacity;
  InsidePatches inside; /* calls that are answered in the process */
  bool has_inside;      /* the log is mapped */
  unsigned missed;      /* stops that it would have saved */
  bool no_inside;       /* and must not be */
} PlaySpace;

typedef struct PlayInside PlayInside;

/* Addresses that somebody maps at some time, sorted once `known`. */
typedef struct PlayPlaces {
  CodeRange *taken;
  size_t count, capacity, compact_at;
  bool known;
  CodeRange *given; /* to us */
  size_t ngiven, given_capacity;
} PlayPlaces;

/* Why a thread stopped although its event has not come. */
typedef enum PlayPause {
  PAUSE_NONE,
  PAUSE_LIMIT,
  PAUSE_MOMENT,
  PAUSE_POINT,
  PAUSE_WRITE,
  PAUSE_BREAK,
  PAUSE_STEP
} PlayPause;

typedef struct PlayMoment {
  Moment moment;
  size_t index;    /* in the list as it was given */
  uint64_t passed; /* so often had its instruction come by when it was listed */
  bool counted, reached;
} PlayMoment;

/* Sorted; begin..end are those of the interval that is played. */
typedef struct PlayMoments {
  PlayMoment *list;
  size_t count, capacity, begin, end;
  size_t reached; /* the index of the last one */
  Moment stands;  /* where the player stands within an interval; hit 0: not known */
} PlayMoments;

/* Instructions of a process at which it stops. */
typedef struct PlayBreaks {
  int32_t pid;
  uint64_t *list;
  size_t count, capacity;
} PlayBreaks;

typedef struct PlayCheckpoint PlayCheckpoint;

/* By event. */
typedef struct PlayCheckpoints {
  PlayCheckpoint **list;
  size_t count, capacity;
  int64_t made;        /* when the last one was made, or gone back to */
  int64_t cost;        /* how long that took */
  int64_t interval_ns; /* between two, at least */
  bool paused;         /* none is made on the way */
} PlayCheckpoints;

/* Events, and how long it took to get there. */
typedef struct PaceMark {
  uint64_t ev;
  int64_t ns;
} PaceMark;

enum { PACE_MARKS = 512 };
typedef struct PlayPace {
  int64_t begun, interval_ns; /* the least between two */
  int count;
  PaceMark marks[PACE_MARKS];
} PlayPace;

struct Player {
  Recording *recording;
  PlayOptions options;
  TraceCursor *cursor;
  const Event *event; /* the next one; NULL: not read yet */
  uint64_t ev;        /* the last one that has been applied */
  int32_t last_tid;
  uint64_t hashes;
  bool applied; /* the event, which is looked at no more but for what it wrote */
  bool moved;   /* somebody has run since */
  bool broken, ended;
  uint64_t until;     /* no event behind this one is applied */
  PlayInside *inside; /* NULL: not asked for yet */
  uint64_t replies;   /* events that were answered with it */
  PlayFile *files;    /* by number */
  size_t nfiles, files_capacity;
  int *shared; /* descriptors of memory that is shared */
  size_t nshared, shared_capacity;
  PlaySpace **spaces;
  size_t nspaces, spaces_capacity;
  PlayThread **threads; /* that have not ended */
  size_t nthreads, threads_capacity;
  PlayPause pause;
  int pause_set;
  int nsets; /* of probes */
  PlayPlaces places;
  PlayMoments moments;
  PlayBreaks breaks;
  bool single;  /* threads run one instruction at a time */
  bool tallies; /* something is counted */
  PlayCheckpoints checkpoints;
  PlayPace pace;
  PlayWrite write; /* the last */
  int nwatches;
  Probes **kept; /* of processes that ended, for those that borrow from them */
  size_t nkept, kept_capacity;
  char note[160]; /* the recorder's last remark */
  int cpu;        /* pinned to; the mask before is in `affinity` */
  unsigned long affinity[16];
};

/* ---- play.c */

/* Fills the fault with FAULT_CORRUPT and "event E, thread T: ...". Returns false. */
bool play_diverged(const Player *player, const Event *event, Fault *fault, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Of memory and the registers, as the event has it. */
bool play_hash(Player *player, PlaySpace *space, Tracee *tracee, const Event *event, uint64_t *out,
               Fault *fault);

/* ---- play_pace.c */

/* Between two events: notes the time, now and then. */
void pace_mark(Player *player, int64_t now);

/* ---- play_child.c */

bool child_start(Player *player, int32_t pid, int32_t tid, PlayThread **out, Fault *fault);
/* A call in the thread's name that must succeed. */
bool child_call(PlayThread *thread, const char *what, long nr, const uint64_t args[6],
                int64_t *out_ret, Fault *fault);
/* The thread makes another, in its own space or in a copy. It begins with the registers that its
** maker has now. */
bool child_spawn(Player *player, PlayThread *thread, bool copy, int32_t pid, int32_t tid,
                 PlayThread **out, Fault *fault);
/* The thread ends; with it its process, if it was the last. */
bool child_end(Player *player, PlayThread *thread, Fault *fault);
void child_kill(Player *player, PlaySpace *space);
/* Of the threads of the space only the first stays: what an execve leaves. */
bool child_alone(Player *player, PlaySpace *space, int32_t tid, PlayThread **out, Fault *fault);
PlayThread *child_find(const Player *player, int32_t tid);
PlaySpace *child_space(const Player *player, int32_t pid);

/* A copy that never runs is taken out of the lists; child_kill() ends it all the same. */
void child_shelve(Player *player, PlaySpace *space);
/* The first thread of the space has ended, others go on. */
void child_park(Player *player, PlaySpace *space);

/* ---- play_files.c */

bool files_add(Player *player, const Event *event, Fault *fault);
/* The descriptor of a file of the recording, which is what it was. */
bool files_open(Player *player, uint32_t number, int *out, Fault *fault);
/* The shared memory that stands for it. */
bool files_share(Player *player, uint32_t number, uint32_t *out, Fault *fault);
/* What the event says of shared files, changed by other ways than their mappings. */
bool files_change(Player *player, const Event *event, Fault *fault);
/* The code of a file in which calls are to be rewritten; NULL: it has none. */
bool files_calls(Player *player, uint32_t number, InsideFile **out, Fault *fault);
const char *files_path(const Player *player, uint32_t number);
void files_close(Player *player);

/* ---- play_pool.c */

/* Memory of this size / with the contents of a file: its number. */
bool pool_new(Player *player, uint64_t size, uint32_t *out, Fault *fault);
bool pool_of(Player *player, int fd, uint32_t *out, Fault *fault);
/* It has at least so many bytes. */
bool pool_reach(Player *player, uint32_t id, uint64_t size, Fault *fault);
/* All but the first `count` are closed. */
void pool_keep(Player *player, size_t count);
/* The space has mapped it; the call has changed what it has. */
bool pool_follow(PlaySpace *space, const MapRange *range, uint32_t id, Fault *fault);
bool pool_call(PlaySpace *space, const Event *event, Fault *fault);
bool pool_copy(const int *from, size_t count, int *to, size_t *out_count, Fault *fault);
/* The player's memory takes the place of what is mapped in the thread's space. */
bool pool_remap(Player *player, PlayThread *thread, Fault *fault);

/* ---- play_memory.c */

/* Neither our own places nor outside what programs can have. */
bool play_may_map(const PlaySpace *space, uint64_t start, uint64_t size);
/* `range` is mapped (file: number + 1) where nothing must be (or, with `replace`, anything). */
bool play_map(Player *player, PlayThread *thread, const MapRange *range, bool replace,
              Fault *fault);
bool play_map_fd(PlayThread *thread, int fd, const MapRange *range, uint64_t flags, Fault *fault);
bool play_unmap_all(PlayThread *thread, Fault *fault);
/* A call of CALL_MEMORY is made again. */
bool play_memory_call(Player *player, PlayThread *thread, const Event *event, Fault *fault);
/* The bytes that the kernel wrote. */
bool play_write(PlaySpace *space, const Event *event, Fault *fault);
/* What a process that the call made has of calls that were under way. */
bool play_write_child(PlaySpace *space, const Event *event, Fault *fault);

/* ---- play_image.c */

/* The thread, alone in its space, becomes what the IMAGE event says. */
bool play_image(Player *player, PlayThread *thread, const Event *event, Fault *fault);

/* ---- play_registers.c */

/* All registers but segments. */
bool play_registers(PlayThread *thread, const struct user_regs_struct *regs, Fault *fault);
/* The floating-point and vector registers as a program begins / as a signal's frame has them. */
bool play_units_reset(PlayThread *thread, Fault *fault);
/* As they are: `bytes` is malloc'ed. */
bool play_units_read(PlayThread *thread, Units *out, Fault *fault);
bool play_units_set(PlayThread *thread, const Units *units, Fault *fault);
/* Are they what the chunk, of kind XSTATE, has? */
bool play_units_same(PlayThread *thread, const Chunk *chunk, bool *out, Fault *fault);
bool play_units_return(PlayThread *thread, uint64_t ucontext, Fault *fault);

/* ---- play_places.c */

bool places_look(Player *player, Fault *fault);
/* A ProbePlace whose context is the Player. */
bool places_take(void *ctx, uint64_t low, uint64_t high, uint64_t size, uint64_t *out);

/* ---- play_patch.c: probes in the spaces */

/* Probes for the space of the thread, if there are none yet. */
bool patch_ready(Player *player, PlayThread *thread, Fault *fault);
/* What is executable and not known yet is shown to the probes. */
bool patch_code(Player *player, PlayThread *thread, Fault *fault);
/* The range has gone or has other contents / the whole program has. */
bool patch_gone(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault);
void patch_forget(PlaySpace *space);
/* The memory is there, but code in it is as it was at first. */
bool patch_lost(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault);
bool patch_fork(PlaySpace *from, PlaySpace *to, Fault *fault);
/* Nothing is played any more, and everything that was asked for is forgotten. */
void patch_reset(Player *player);
/* The space ends. */
void patch_finish(Player *player, PlaySpace *space);
void patch_close(Player *player);
/* Before and after a thread runs: its registers are those of the program outside. *out_go: it was
** something of ours, it has to go on; player->pause may be set instead. */
bool patch_enter(Player *player, PlayThread *thread, Fault *fault);
bool patch_stop(Player *player, PlayThread *thread, bool *out_go, Fault *fault);
/* What state_memory() wants to know. */
typedef struct PatchView {
  Player *player;
  PlaySpace *space;
} PatchView;
bool patch_page(void *ctx, uint64_t addr, uint8_t *bytes);

/* ---- play_reply.c */

/* The event and those that follow, as far as they can be answered in the process: *out_done when at
** least one has been applied. Otherwise the thread may stand at its call. */
bool reply_many(Player *player, const Event *event, bool *out_done, Fault *fault);
/* The thread has come to a call, or to the end of what it was to be answered: then it is ready. */
bool reply_stopped(Player *player, PlayThread *thread, Fault *fault);
/* A call has been a stop: from now on such calls are perhaps answered in the process. */
bool reply_learn(Player *player, PlayThread *thread, const Event *event, Fault *fault);
/* It was in our code, could not write what it should, and comes to its call. */
bool reply_faulted(PlayThread *thread, bool *out_go, Fault *fault);
/* Out of the space; with `gone` its program is another now. */
bool reply_leave(PlayThread *thread, bool gone, Fault *fault);
/* The range is about to be moved. */
bool reply_moves(PlayThread *thread, uint64_t start, uint64_t end, Fault *fault);
/* Something of the program's comes there. */
bool reply_yield(PlayThread *thread, uint64_t start, uint64_t size, Fault *fault);
/* The range has gone, or has other contents. */
void reply_gone(PlaySpace *space, uint64_t start, uint64_t end);
bool reply_fork(const PlaySpace *from, PlaySpace *to, Fault *fault);
void reply_close(Player *player);

/* ---- play_moments.c */

/* Before the next event, which has been read, is looked at; when an instruction that is counted has
** come; and when the event has been applied. */
bool moments_before(Player *player, Fault *fault);
bool moments_reached(Player *player, PlayThread *thread, Fault *fault);
/* Something is about to run. */
void moments_leave(Player *player);
bool moments_after(Player *player, Fault *fault);
void moments_close(Player *player);

/* ---- play_checkpoint.c */

/* What is played as it is now, between two events. */
bool checkpoint_make(Player *player, PlayCheckpoint **out, Fault *fault);
void checkpoint_free(Player *player, PlayCheckpoint *checkpoint);
/* Takes the place of what is played. */
bool checkpoint_restore(Player *player, const PlayCheckpoint *checkpoint, Fault *fault);
/* The last of those kept that is not behind the event; NULL: none. */
const PlayCheckpoint *checkpoints_find(const Player *player, uint64_t ev);
/* Is it time to make one? / After an event: then it is made. */
bool checkpoints_due(const Player *player);
bool checkpoints_pass(Player *player, Fault *fault);
void checkpoints_close(Player *player);

/* ---- play_watch.c */

/* The program has written / does something differ after the event, which is told one by one. */
void watch_written(Player *player, PlayThread *thread);
bool watch_compare(Player *player, const Event *event);
/* The memory has gone; or may be there again. */
bool watch_gone(PlaySpace *space, uint64_t start, uint64_t end, Fault *fault);
bool watch_again(PlayThread *thread, Fault *fault);
bool watch_copy(const PlaySpace *from, PlaySpace *to, Fault *fault);
void watch_finish(PlaySpace *space);

/* ---- play_break.c */

/* Before a thread runs: the breaks of its process that are missing, or, for one instruction, none
** of our code where it stands. */
bool break_ready(Player *player, PlayThread *thread, Fault *fault);
/* One instruction, up to its stop. */
bool break_single(PlayThread *thread, Fault *fault);
void break_close(Player *player);

/* ---- play_bodies.c */

/* The function around addr; empty when none is known. FAULT_NOTFOUND: no code there. */
bool bodies_find(Player *player, const PlaySpace *space, uint64_t addr, CodeRange *out,
                 Fault *fault);
void bodies_close(PlayFile *file);

/* ---- play_step.c */

/* On to the next thing that is not its own doing: thread->stand tells. Like all of these it returns
** false without a fault when player->pause came before. */
bool step_run(Player *player, PlayThread *thread, Fault *fault);
/* Apply an event of a thread that is there. */
bool step_call(Player *player, PlayThread *thread, const Event *event, Fault *fault);
bool step_enter(Player *player, PlayThread *thread, const Event *event, Fault *fault);
bool step_trap(Player *player, PlayThread *thread, const Event *event, Fault *fault);
bool step_signal(Player *player, PlayThread *thread, const Event *event, Fault *fault);
/* "expected ..., got " where it stands. Returns false. */
bool step_parted(const Player *player, PlayThread *thread, const Event *event, const char *expected,
                 Fault *fault);

/* ---- play_point.c */

bool step_switch(Player *player, PlayThread *thread, const Event *event, Fault *fault);

#endif
