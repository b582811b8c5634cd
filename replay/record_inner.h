/*
** What the files of the recorder share. Names: record_... for the loop and the tables of threads,
** event_... for one event in the making, call_stop_... for system calls, image_... for programs.
*/
#ifndef TENFOLD_REPLAY_RECORD_INNER_H
#define TENFOLD_REPLAY_RECORD_INNER_H

#include <signal.h>
#include <time.h>

#include "replay/inside_inner.h"
#include "replay/record.h"
#include "replay/state.h"
#include "replay/syscalls.h"
#include "replay/trace.h"
#include "replay/traps.h"

typedef struct RecordProcess {
  int32_t pid;
  Space space;
  MapList maps;
  StateReader state;
  size_t nthreads; /* that have not ended */
  bool has_image;  /* false: between the exec and the end of its call */
  bool tsc_traps;  /* PR_SET_TSC has been made */
  bool has_inside; /* the log is mapped in it */
  InsidePatches inside;
} RecordProcess;

/* Where a thread stands. */
typedef enum ThreadStand {
  THREAD_NEW,   /* its first stop has not come, or its maker has not told of it */
  THREAD_READY, /* stopped, and may run */
  THREAD_RUNS,  /* the one that runs, or is in a call that should end at once */
  THREAD_CALL,  /* in a call, in the kernel: others may run */
  THREAD_HELD,  /* stopped by a signal, until SIGCONT */
  THREAD_ENDING /* past its last event, on the way down */
} ThreadStand;

/* A signal that came at a place of the thread's own: delivered at its next event. */
typedef struct LateSignal {
  int signal;
  bool sent; /* again, by us: it comes now */
  siginfo_t info;
} LateSignal;

enum { LATE_MOST = 64 };

typedef struct RecordThread {
  Tracee tracee;
  RecordProcess *process;
  ThreadStand stand;
  bool told_exit; /* its EXIT event has been written */
  bool yields;    /* its last call was one that gives way */
  int32_t former; /* after an exec: the number it had before; 0: the same */
  bool stopped;   /* THREAD_NEW: its first stop has come */
  unsigned rank;  /* in chaos: the highest goes first */

  bool in_call;   /* between entry and exit of a call */
  bool entered;   /* an ENTER event has been written for it */
  bool asleep;    /* THREAD_CALL: it has been seen waiting */
  int signal;     /* to be delivered when it goes on */
  bool deferred;  /* its stop waits until the runner is at an event of its own */
  bool again;     /* its status is a stop that nobody has looked at */
  bool answered;  /* the kernel is not asked: `answer` */
  bool rewritten; /* registers differ from what the program set: `saved` */
  int64_t answer;
  int nr;
  int means; /* nr, or of a restart_syscall what is restarted */
  uint64_t args[6];
  struct user_regs_struct saved;
  int syscall_fd; /* /proc/TID/syscall, -1: not open */
  int32_t child;  /* of a spawn: the new thread */
  char *path;     /* of an exec: what it named */
  uint64_t path_at;

  struct user_regs_struct place; /* its registers at its last event, when has_place */
  bool has_place, called;        /* `called`: that was the end of a call */
  bool interrupted;              /* a stop has been asked for, with PTRACE_INTERRUPT */
  bool holds; /* its process was stopped by a signal while it was within the log's code */
  LateSignal *late;
  size_t nlate, late_capacity;

  uint64_t clear_tid;   /* where the kernel writes 0 when it ends; 0: nowhere */
  uint64_t robust_list; /* head of the list of locks it may die with */
} RecordThread;

/* One piece of an event in the making. */
typedef struct Piece {
  ChunkKind kind;
  uint64_t addr;
  size_t size, offset; /* in Recorder.bytes, when it is there already or has been read */
  bool read;           /* from the thread's memory, when the event is finished */
} Piece;

/* What is to be replaced in the code of a file. */
typedef struct FileSites {
  bool known, calls_known;
  TrapSites sites;
  InsideFile *calls;
} FileSites;

typedef struct RecordInside RecordInside;

/* A file that is, or was, mapped MAP_SHARED, as it was when it was last looked at. */
typedef struct SharedFile {
  uint64_t device, inode, size;
  struct timespec changed;
  uint32_t number;
} SharedFile;

typedef struct Recorder {
  const RecordOptions *options;
  Stop *stop;
  TraceWriter *writer;
  RecordSummary *summary;
  RecordThread **threads;
  size_t nthreads, capacity;
  RecordThread *runner; /* NULL: nobody runs */
  size_t ndeferred;
  size_t turn; /* where the search for the next one begins */
  int32_t first_pid;
  int64_t slice_began, flushed; /* clock_now() */
  int64_t slice_ns;             /* what it is long, in chaos */
  int64_t settle_ns;            /* what it costs to make a thread give way, of late */
  uint64_t chaos;               /* state of the hostile schedule; 0: none */

  Event event; /* in the making */
  Piece *pieces;
  size_t npieces, pieces_capacity;
  uint8_t *bytes;
  size_t nbytes, bytes_capacity;
  Chunk *chunks;
  size_t chunks_capacity;
  CallRange *ranges;
  size_t ranges_capacity;
  StateRange *unsure; /* of the SWITCH in the making */
  size_t nunsure, unsure_capacity;

  SharedFile *shared;
  size_t nshared, shared_capacity;
  RecordInside *inside; /* NULL: every call is a stop */
  FileSites *sites;     /* by number of the file */
  size_t sites_capacity;

  uint64_t since_hash;         /* events */
  int64_t hash_ns, hash_began; /* time spent on hashes; when recording began */
} Recorder;

/* ---- record.c */

/* The NOTE "unsupported: ..." and FAULT_UNSUPPORTED: the recording ends. Returns false. */
bool record_unsupported(Recorder *recorder, RecordThread *thread, Fault *fault, const char *format,
                        ...) __attribute__((format(printf, 4, 5)));

/* ---- record_schedule.c */

/* Killed from outside, or on the way to it: its end will be told by a stop. */
bool thread_is_gone(const RecordThread *thread);
/* On from its stop, with its signal; a thread that is gone is none of our faults. */
bool thread_resume(Recorder *recorder, RecordThread *thread, Fault *fault);
bool thread_is_asleep(RecordThread *thread);
/* There is a stop of it that has not been collected. */
bool thread_is_stopped(const RecordThread *thread);
/* Somebody in a call may still end it at once, or write memory. */
bool schedule_is_busy(Recorder *recorder);
/* In a call that copies or changes the memory of its process: nobody else may do so meanwhile. */
bool schedule_is_fixed(const RecordThread *thread);
/* Who is ready, in turns; NULL: nobody. */
RecordThread *schedule_next(Recorder *recorder);
/* Those that are in a call are told to be there, once, before anything else happens meanwhile. */
bool schedule_tell(Recorder *recorder, const RecordThread *except, Fault *fault);
bool schedule_start(Recorder *recorder, RecordThread *thread, Fault *fault);
/* After a stop: the runner goes on if its slice is not over; others become ready. */
bool schedule_go_on(Recorder *recorder, RecordThread *thread, Fault *fault);
bool schedule_is_over(Recorder *recorder, const RecordThread *thread);
/* Is the runner in a call that sleeps? Then it is not the runner any more. */
void schedule_doubt(Recorder *recorder);
/* Every tick: a runner that does not come to an event of its own is interrupted, when signals or
** others wait. */
void schedule_tick(Recorder *recorder);
/* The stop that was asked for. */
bool schedule_interrupted(Recorder *recorder, RecordThread *thread, Fault *fault);

/* ---- record_chaos.c */

void chaos_begin(Recorder *recorder);
RecordThread *chaos_choose(Recorder *recorder); /* of those that are ready */
int64_t chaos_slice(Recorder *recorder);        /* ns */
/* At the end of a call that might as well go on. */
bool chaos_gives_way(Recorder *recorder);

/* ---- record_life.c: what to do at the stops of ptrace's events */

bool life_spawn(Recorder *recorder, RecordThread *thread, Fault *fault);
/* The event of the call that made it has been written: it may run. */
void life_announce(Recorder *recorder, RecordThread *thread);
/* `first` is the thread that has the process's number, whoever called. */
bool life_exec(Recorder *recorder, RecordThread *first, Fault *fault);
bool life_exit(Recorder *recorder, RecordThread *thread, Fault *fault);
/* It is gone: status is waitpid()'s. */
bool life_end(Recorder *recorder, RecordThread *thread, int status, Fault *fault);

/* ---- record_threads.c */

bool threads_add(Recorder *recorder, int32_t tid, RecordProcess *process, RecordThread **out,
                 Fault *fault);
/* What had no process yet gets one. */
void threads_join(Recorder *recorder, RecordThread *thread, RecordProcess *process);
/* It has ended as far as others see: the space is not reached through it any more. */
void threads_leave(Recorder *recorder, RecordThread *thread);
RecordThread *threads_find(const Recorder *recorder, int32_t tid);
/* Out of the table, freed; its process with the last one. */
void threads_drop(Recorder *recorder, RecordThread *thread);
RecordProcess *process_create(int32_t pid, Stop *stop, Fault *fault);
void process_destroy(RecordProcess *process);

/* ---- record_start.c */

/* The child, stopped at the exec of its program. */
bool start_program(Recorder *recorder, RecordThread **out, Fault *fault);
bool start_meta(Recorder *recorder, RecordThread *thread, Fault *fault);

/* ---- record_event.c: one event at a time */

/* The registers that the thread has now are those of its last event. Once it goes on they tell no
** more where it is, unless that was the end of a call, to where nothing but another leads: a loop
** can come to the same place, with the same registers, and other memory. */
void event_place(RecordThread *thread);
void event_place_called(RecordThread *thread);
bool event_is_place(RecordThread *thread);
void event_begin(Recorder *recorder, const RecordThread *thread, EventKind kind);
/* A piece whose bytes are here / are read from the thread's space when the event is finished (cut
** where nothing can be read). */
bool event_bytes(Recorder *recorder, ChunkKind kind, uint64_t addr, const void *bytes, size_t size,
                 Fault *fault);
bool event_memory(Recorder *recorder, ChunkKind kind, uint64_t addr, size_t size, Fault *fault);
bool event_regs(Recorder *recorder, RecordThread *thread, Fault *fault);
/* The extended state of the thread, which is in a stop. */
bool event_xstate(Recorder *recorder, const RecordThread *thread, Fault *fault);
/* Is it time to hash, and how many events come before it surely is? */
bool event_hash_is_due(const Recorder *recorder);
uint64_t event_until_hash(const Recorder *recorder);
/* Reads what is to be read, hashes when it is time, writes. */
bool event_end(Recorder *recorder, RecordThread *thread, Fault *fault);

/* ---- record_unsure.c */

/* In recorder->unsure: what calls of other threads of the process, which are under way, may have
** written or not. *out is false when that is not known. */
bool unsure_find(Recorder *recorder, const RecordThread *thread, bool *out, Fault *fault);
/* Pieces of kind UNSURE, and POINT without what is unsure. */
bool unsure_tell(Recorder *recorder, Fault *fault);
bool unsure_point(Recorder *recorder, uint64_t addr, uint64_t size, Fault *fault);
/* The thread has made `child`, a process: pieces of kind CHILD. */
bool unsure_child(Recorder *recorder, const RecordThread *thread, Fault *fault);

/* ---- record_image.c */

/* After an exec, at the end of its call: makes the space fit for recording, writes IMAGE. */
bool image_record(Recorder *recorder, RecordThread *thread, Fault *fault);

/* ---- record_call.c */

/* *out_left: it was none, see inside_call(). */
bool call_entry(Recorder *recorder, RecordThread *thread, bool *out_left, Fault *fault);
bool call_exit(Recorder *recorder, RecordThread *thread, Fault *fault);
/* The ENTER event: others run while it waits. */
bool call_enter(Recorder *recorder, RecordThread *thread, Fault *fault);
/* The event of a call that does not come back: exit, or one that its end interrupted. */
bool call_record(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault);

/* ---- record_file.c */

/* The file that descriptor fd of the thread is, when something is to be mapped from it: its number
** + 1 and path; 0 for anonymous memory. */
bool file_of_fd(Recorder *recorder, RecordThread *thread, int fd, bool shared, uint32_t *out,
                char path[4097], Fault *fault);

/* At the end of a call, in its event: what it does to files that are mapped MAP_SHARED. */
bool shared_follow(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault);
/* Instructions that must trap are replaced in the code between start and end; with `tell` the event
** in the making has the new bytes. */
bool file_patch(Recorder *recorder, RecordThread *thread, uint64_t start, uint64_t end, bool tell,
                Fault *fault);
/* The code of a file in which calls are to be rewritten; NULL: it has none. */
bool file_calls(Recorder *recorder, uint32_t number, InsideFile **out, Fault *fault);
void file_finish(Recorder *recorder);

/* ---- record_filter.c */

/* Does the machine have such filters? */
bool filter_is_possible(void);
/* In the process that is to become the program: system calls are stops (PTRACE_EVENT_SECCOMP),
** except those that are made where we make them. */
bool filter_install(void);

/* ---- record_inside.c */

bool inside_open(Recorder *recorder, Fault *fault);
void inside_close(Recorder *recorder);
/* A program begins, its IMAGE has been written: it gets the log. */
bool inside_begin(Recorder *recorder, RecordThread *thread, Fault *fault);
/* A call has ended, for which the thread stopped: from now on such calls are perhaps made in the
** process. */
bool inside_learn(Recorder *recorder, RecordThread *thread, Fault *fault);
/* The range is about to be moved. */
bool inside_moves(RecordThread *thread, uint64_t start, uint64_t end, Fault *fault);
/* The thread is about to run code of its own. */
void inside_run(Recorder *recorder, RecordThread *thread);
/* What is in the log is written: at every stop, before anything else. */
bool inside_drain(Recorder *recorder, Fault *fault);
/* The thread that runs is to stop at the end of its next call. False: it has made none since it was
** asked last. */
bool inside_ask(Recorder *recorder, const RecordThread *thread);
void inside_tick(Recorder *recorder);
/* At the entry of a call, behind which ip stands: registers become those of the program's own call.
** *out_left: it was no call, but what inside_ask() wanted, an event of its own. */
bool inside_call(Recorder *recorder, RecordThread *thread, uint64_t ip, bool *out_left,
                 Fault *fault);
/* A stop by a signal (or, with `group`, of PTRACE_EVENT_STOP): *out_done when it was within our
** code, and goes on. */
bool inside_stop(Recorder *recorder, RecordThread *thread, int signal, bool group, bool *out_done,
                 Fault *fault);

/* ---- record_signal.c */

bool signal_stop(Recorder *recorder, RecordThread *thread, int signal, Fault *fault);
/* The thread stands at an event of its own: signals that are late come when it goes on. */
void signal_send_late(RecordThread *thread);
bool signal_is_late(const RecordThread *thread);
/* ... and would come at once, for it does not hold it back. */
bool signal_is_due(const RecordThread *thread);
/* ... and has been sent: nothing has run since. */
bool signal_comes(const RecordThread *thread);
/* An instruction of the thread has caused it. */
bool signal_is_fault(int signal, const siginfo_t *info);
/* It comes at the thread's next event. */
bool signal_keep(RecordThread *thread, int signal, const siginfo_t *info, Fault *fault);

/* ---- record_xsave.c */

/* What the instruction at rip does, replaced as traps.h has it: memory, the pieces OUT of the event
** in the making, rip. */
bool xsave_carry_out(Recorder *recorder, RecordThread *thread, const uint8_t *code, size_t size,
                     Fault *fault);

/* ---- record_settle.c */

/* The thread, which was interrupted in its own code, goes on to a place that can be told, and the
** SWITCH event tells it. *out is false when it came to an event of its own instead: thread->again
** if that is a stop. */
bool settle(Recorder *recorder, RecordThread *thread, bool *out, Fault *fault);

#endif
