/*
** A recording: what was not determined by the program itself, in the order in which it happened.
**
** On disk a recording is a directory, self-contained, versioned, checksummed and append-only:
**   DIR/events   blocks of events (layout at the bottom of this file)
**   DIR/files/N  copies of the files that were mapped (reflink or hard link where nobody can change
**                them under us, else a copy), named by file events
**   DIR/cache/   what queries computed; may be deleted at any time
** A recorder that is killed leaves whole blocks and perhaps a torn last one: a reader stops before
** the torn block, and the recording replays to that point.
**
** Time is the *event ordinal* `ev`: 1, 2, 3 ... over all events of all processes, counted when an
** event completes. Between two events of a thread the program ran by itself, and replay lets it
** run by itself; an event is where replay answers instead of the kernel. Only one thread of a
** process runs at a time, so the order of events is also the schedule: whose event is next, that
** thread ran.
**
** A Recording is read by one thread; a cursor holds one decompressed block, or two. Everything
** read is checked against its bounds: hostile files give FAULT_CORRUPT, never a crash.
*/
#ifndef TENFOLD_REPLAY_TRACE_H
#define TENFOLD_REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "base/arena.h"
#include "base/fault.h"

enum { TRACE_VERSION = 1, TRACE_MAX_CHUNKS = 65535 };

typedef enum EventKind {
  EVENT_META = 1, /* first of all: chunks of kind META, "key\0value" */
  EVENT_FILE,     /* aux: number N of a mapped file; chunks: PATH and STAT; its bytes: files/N */
  EVENT_IMAGE,    /* the process starts a program (after execve, or as the first): chunks MAP and
                  ** OUT (contents that no file gives), regs: of its only thread, PATH: the
                  ** program */
  EVENT_SYSCALL,  /* a system call ended: nr, args, ret, OUT, IN and PATH chunks; aux: of mmap, the
                  ** file number + 1. For clone, fork, vfork ret is the child's tid, which begins
                  ** with the state of its parent. ret of -512, -513, -514 or -516 (the kernel's
                  ** ERESTART...): a signal came; the thread stands before the call again, unless
                  ** a SIGNAL event with a handler follows. exit and exit_group have one, too */
  EVENT_TRAP,     /* an instruction whose result the machine chose (nr: a TrapKind); regs: after.
                  ** It faults (SIGSEGV) in replay as it did when recorded: the recorder has
                  ** replaced it in the code (see traps.h), which IMAGE and mmap events tell as
                  ** OUT */
  EVENT_SIGNAL,   /* signal nr was delivered; chunk SIGINFO. With a handler: regs after entering it,
                  ** OUT: the frame; without: what the default action left. It comes at the end of
                  ** a call, or of an instruction of its own that faults (si_code > 0), or at a
                  ** place of its own that a SWITCH just before tells */
  EVENT_SWITCH,   /* the thread was made to stop at a place of its own, to give way or for a signal:
                  ** regs, and POINT chunks: memory, which together tell the place from others */
  EVENT_EXIT,     /* the thread ended (nr: exit code); OUT: what the kernel cleared in memory */
  EVENT_END,      /* the process ended; ret: wait status */
  EVENT_NOTE,     /* the recorder's remark, PATH: its text ("unsupported: ...") */
  EVENT_ENTER     /* the thread entered the call nr (args) and gave way to another, of whatever
                  ** process; the SYSCALL event follows when the call ends. Without one, nothing
                  ** happened between entry and end. OUT: what the kernel has written already */
} EventKind;

typedef enum TrapKind {
  TRAP_RDTSC = 1,
  TRAP_RDTSCP,
  TRAP_CPUID,
  TRAP_RDRAND,
  TRAP_RDSEED,
  TRAP_RDPID,
  TRAP_XSAVE /* also xsavec; OUT: what it wrote */
} TrapKind;

typedef enum ChunkKind {
  CHUNK_OUT = 1, /* bytes the kernel wrote at addr */
  CHUNK_IN,      /* bytes the program gave at addr (of write and its like); for queries only */
  CHUNK_PATH,    /* a text the call named, read at addr; not NUL-terminated */
  CHUNK_MAP,     /* a TraceMap and its name */
  CHUNK_META,    /* key, NUL, value */
  CHUNK_STAT,    /* of a file: a TraceFile */
  CHUNK_SIGINFO, /* siginfo_t */
  CHUNK_POINT,   /* memory that tells this state from others that look alike: whole words at addr */
  CHUNK_XSTATE,  /* the extended state (NT_X86_XSTATE), where it matters */
  CHUNK_SHARED,  /* a file that is mapped MAP_SHARED has changed by other ways than its mappings:
                 ** u64 file number, then the bytes it has at offset addr */
  CHUNK_UNSURE,  /* of a SWITCH: u64, so many bytes at addr may be written by a call of another
                 ** thread that is under way; the hash has them as zero */
  CHUNK_CHILD    /* of a call that made a process: bytes that the new one has at addr, where calls
                 ** of other threads were under way when the memory was copied */
} ChunkKind;

typedef struct Chunk {
  ChunkKind kind;
  uint64_t addr;
  const uint8_t *bytes; /* into the block: valid until the next event is read */
  size_t size;
} Chunk;

/* Payload of CHUNK_MAP, followed by the name (/proc/PID/maps' last field). */
typedef struct TraceMap {
  uint64_t start, end, offset;
  uint32_t prot, flags; /* PROT_*, MAP_SHARED or MAP_PRIVATE, MAP_GROWSDOWN for the stack */
  uint32_t file;        /* file number + 1, 0: none */
  uint32_t reserved;
} TraceMap;

typedef struct TraceFile {
  uint64_t device, inode, size, mtime_ns; /* of the original */
  uint64_t hash;                          /* XXH3 of the bytes, to notice a changed copy */
} TraceFile;

typedef struct Event {
  uint64_t ev;
  uint64_t time; /* ns since the recording began, CLOCK_MONOTONIC */
  EventKind kind;
  int32_t pid, tid; /* as recorded */
  int32_t nr;
  int64_t ret;
  uint64_t aux;
  uint64_t args[6]; /* of a system call; zero beyond what it takes */
  bool has_regs, has_hash;
  struct user_regs_struct regs;
  uint64_t hash; /* of the process's writable memory and the thread's registers, after the event */
  int nchunks;
  const Chunk *chunks;
  size_t position; /* where it stands, for trace_seek() */
} Event;

/* ---- reading */

typedef struct Recording Recording;

/* FAULT_NOTFOUND: no recording there; FAULT_UNSUPPORTED: another version; FAULT_CORRUPT. */
bool recording_open(const char *dir, Recording **out, Fault *fault);
void recording_close(Recording *recording);
const char *recording_dir(const Recording *recording);
/* A value of the META event ("program", "cwd", "cpu", "kernel", "started", ...), or NULL. */
const char *recording_meta(const Recording *recording, const char *key);
/* argv[i] of the recorded command, or NULL past the end. */
const char *recording_argv(const Recording *recording, int i);
/* True when the recorder did not say that it was complete: it stops in the middle. */
bool recording_is_cut(const Recording *recording);
uint64_t recording_id(const Recording *recording); /* random, made when recorded: for caches */

/* A place in the stream. Several may be open on one Recording; each holds one block. */
typedef struct TraceCursor TraceCursor;

bool trace_open(Recording *recording, TraceCursor **out, Fault *fault);
void trace_close(TraceCursor *cursor);
/* The next event, valid until the next call; *out is NULL at the end. False: corrupt. */
bool trace_next(TraceCursor *cursor, const Event **out, Fault *fault);
/* Stand before the event with the smallest ordinal >= ev. O(log blocks). */
bool trace_seek(TraceCursor *cursor, uint64_t ev, Fault *fault);
/* First and last ordinal there are. */
bool trace_range(Recording *recording, uint64_t *out_first, uint64_t *out_last, Fault *fault);

/* ---- writing: the recorder's side */

typedef struct TraceWriter TraceWriter;

/* Makes DIR, which must not exist or be empty. FAULT_IO names what the system refused. */
bool writer_create(const char *dir, TraceWriter **out, Fault *fault);
/* Appends. event->ev == 0: numbered by the writer. Blocks are compressed and written when they are
** full, and at writer_flush(), by a thread of the writer's: an error may come with a later event,
** or at the end. */
bool writer_add(TraceWriter *writer, Event *event, Fault *fault);
bool writer_flush(TraceWriter *writer, Fault *fault);
/* Appends events in the layout below, whose times are clock_now()'s; they get their ordinals here.
** FAULT_CORRUPT when they are not whole. */
bool writer_add_raw(TraceWriter *writer, const void *bytes, size_t size, uint64_t *out_count,
                    Fault *fault);
/* The number of the file `path` (as the tracee has it open: `fd_path` is /proc/PID/fd/N or
** /proc/PID/map_files/...), copied into files/ and announced by a FILE event when new. */
bool writer_file(TraceWriter *writer, const char *fd_path, const char *path, uint32_t *out_file,
                 Fault *fault);
/* The same for a file that is mapped MAP_SHARED: what is the same file (device and inode) has the
** same number, whatever it contains, and has the contents it had when it was first asked for. */
bool writer_shared_file(TraceWriter *writer, const char *fd_path, const char *path,
                        uint32_t *out_file, Fault *fault);
typedef struct WriterSize {
  uint64_t events, raw, stored; /* raw, stored: bytes before compression, and on disk */
} WriterSize;

/* Writes what is left, says whether the recording is whole (see recording_is_cut()) and frees; also
** after a failure. `out` may be NULL. */
bool writer_close(TraceWriter *writer, bool complete, WriterSize *out, Fault *fault);

/* ---- layout of DIR/events (little endian)
**
** A block may be as large as its events need, but not larger than 1.25 GiB; an event is in one
** block. The last block of a complete recording has codec 2 and no events.
**
** file:  "omnitrc\n", u32 version, u32 reserved, u64 recording id, then blocks
** block: u32 magic "OBLK", u32 codec (0 raw, 1 zstd), u32 raw size, u32 stored size, u64 first ev,
**        u32 number of events, u32 reserved, u64 XXH3 of header (with this field 0) and payload
** event: u32 size of all of it (a multiple of 8), u8 kind, u8 nargs, u16 nchunks, u32 flags
**        (1: regs, 2: hash), i32 pid, i32 tid, i32 nr, u64 ev, u64 time, i64 ret, u64 aux,
**        args, [regs], [hash], then chunks: u32 kind, u32 size, u64 addr, bytes padded to 8
*/

#endif
