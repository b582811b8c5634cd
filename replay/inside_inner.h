/*
** The in-process log of system calls, as far as recorder and player share it: which `syscall`
** instructions of a file can be rewritten, how, and what stood there.
**
** A place in the program is rewritten so:
**
**   S:  syscall                 mov %eax, %ecx
**   R:  cmp $-4096, %rax        jmp thunk
**   E:  ...                     ...
**
** The instruction behind the call is still a place where a thread can go on (the end of a handler
** leads there): the thunk tells the two ways apart by rcx, which is R after a system call and has
** nothing above its low half when S has been run. So whoever looks at a thread sees it where it
** would stand without us, except between S and R and in what is ours.
**
** A call is rewritten when it has been made some times: a C library has 500 of them, of which a
** program makes 20. By then other threads may stand anywhere, and places may be kept that a signal
** interrupted: none of them is R + something, for either one instruction is replaced behind the
** call, or nobody else can be there.
*/
#ifndef TENFOLD_REPLAY_INSIDE_INNER_H
#define TENFOLD_REPLAY_INSIDE_INNER_H

#include "replay/inside/abi.h"
#include "replay/maps.h"
#include "replay/state.h"
#include "replay/tracee.h"

/* The code for traced programs, to be mapped at INSIDE_BASE. */
const uint8_t *inside_code(size_t *out_size);

/* ---- inside_sites.c */

enum { INSIDE_WINDOW = 32 };

typedef struct InsideSite {
  uint8_t size; /* of what is rewritten: the syscall and some instructions behind it */
  bool single;  /* there is one behind it: no thread can stand within, but for R */
  uint8_t bytes[INSIDE_WINDOW];
} InsideSite;

/* What is known of the code of a file, which stays open. Cost: 2 ms for a C library. */
typedef struct InsideFile InsideFile;

/* A file that is no ELF file has no calls; *out is NULL then. */
bool inside_file_open(const char *path, InsideFile **out, Fault *fault);
void inside_file_close(InsideFile *file);
/* Can the system call be rewritten that stands at this offset of the file? Size 0: no. Cost: some
** 20 us. `file` may be NULL. */
bool inside_file_site(InsideFile *file, uint64_t offset, InsideSite *out, Fault *fault);

/* ---- inside_patch.c */

/* One call in one space. */
typedef struct InsidePatch {
  uint64_t at;  /* of the syscall */
  uint8_t call; /* where in the thunk its own `syscall` stands */
  uint8_t size; /* of what is rewritten */
  bool gone;    /* the program has something else there now */
  uint8_t original[INSIDE_WINDOW], bytes[INSIDE_WINDOW];
} InsidePatch;

/* Calls of one mapping of a file, and their thunks, one after the other. */
enum { INSIDE_THUNK = 128, INSIDE_AREA = 64 /* thunks */ };
typedef struct InsideArea {
  uint64_t start, end; /* of the thunks' memory */
  uint64_t low, high;  /* of the mapping */
  InsidePatch *list;   /* as they came: room for INSIDE_AREA */
  size_t count;
} InsideArea;

/* A call that was seen to be made by the kernel itself. */
typedef struct InsideSeen {
  uint64_t at;
  unsigned times;
} InsideSeen;

/* A page of code that nobody but us has written. */
typedef struct InsidePage {
  uint64_t at, hash; /* XXH3 of what the file has */
} InsidePage;

typedef struct InsidePatches {
  InsideArea *areas;
  size_t count, capacity;
  InsidePage *pages; /* ascending */
  size_t npages, pages_capacity;
  InsideSeen *seen;
  size_t nseen, seen_capacity;
  bool interrupted; /* a handler has been entered: where the signal came is kept somewhere */
} InsidePatches;

/* The patch of the call at `at`, and its thunk for the address `thunk`: nothing is written yet.
** False: it cannot be. */
bool inside_patch(const InsideSite *site, uint64_t at, uint64_t thunk, uint8_t code[INSIDE_THUNK],
                  InsidePatch *out);
/* Where `size` bytes for thunks may stand; 0: nowhere. */
uint64_t inside_place(const MapList *maps, const InsidePatches *patches, const MapRange *range,
                      uint64_t size);
/* The kernel made the call at `at`: is this the time to rewrite it, the `after`-th time? */
bool inside_see(InsidePatches *patches, uint64_t at, unsigned after, bool *out, Fault *fault);
bool inside_copy(const InsidePatches *from, InsidePatches *to, Fault *fault);
void inside_finish(InsidePatches *patches);

typedef enum InsideWhere {
  INSIDE_NOT,    /* the program's own */
  INSIDE_WITHIN, /* on the way: the call is not made, or its event not written, or not left */
  INSIDE_BEHIND  /* the call is over, the thread stands in a thunk for R */
} InsideWhere;

/* Where a thread with these registers stands; *out is the patch, unless INSIDE_NOT or in the code
** that all share (NULL). */
InsideWhere inside_where(const InsidePatches *patches, uint64_t rip, uint64_t rcx,
                         const InsidePatch **out);
/* The patch in whose thunk `rip` is, or NULL. */
const InsidePatch *inside_of_thunk(const InsidePatches *patches, uint64_t rip);
/* Where the thread's own code goes on after the call: registers as the kernel leaves them. */
void inside_behind(Tracee *tracee, const InsidePatch *patch);
/* Is any of start..end ours? */
bool inside_overlaps(const InsidePatches *patches, uint64_t start, uint64_t size);
/* Bytes of the program, which were read at addr, become what they are without us. */
void inside_original(const InsidePatches *patches, uint64_t addr, uint8_t *bytes, size_t size);
/* What is there now is not what was patched. */
void inside_forget(InsidePatches *patches, uint64_t start, uint64_t end);
/* A StateView: the context is the InsidePatches. */
bool inside_page(void *ctx, uint64_t addr, uint8_t *bytes);

/* ---- inside_install.c */

/* Memory to be shared with what is traced, with the code in it: INSIDE_SIZE bytes. */
bool inside_share(int *out_fd, uint8_t **out_memory, Fault *fault);
void inside_unshare(int fd, uint8_t *memory);

/* A program; a stopped thread of it makes the calls. Its signals must not come. */
typedef struct InsideSpace {
  Tracee *tracee;
  const MapList *maps;
  StateReader *state;
  InsidePatches *patches;
} InsideSpace;

/* Maps the memory, `fd` of ours, where it belongs. *out_ok is false when it cannot be had. */
bool inside_map(Tracee *tracee, int fd, bool *out_ok, Fault *fault);
/* Rewrites the call at `at` in a mapping, if it can be and there is room for a thunk. `alone`: the
** process has no other thread. */
bool inside_install(const InsideSpace *space, const MapRange *range, uint64_t at,
                    const InsideSite *site, bool alone, Fault *fault);
/* The program's own bytes stand between start and end again. */
bool inside_restore(const InsideSpace *space, uint64_t start, uint64_t end, Fault *fault);
/* All is as it was, but for pages that inside_page() still has to know; with `gone` the mappings
** are others already, and only the thunks go. */
bool inside_remove(const InsideSpace *space, bool gone, Fault *fault);

#endif
