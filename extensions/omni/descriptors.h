/*
** What each process's file descriptors stand for while a recording is read from its beginning on.
**
** Descriptors are numbers in a table, tables are shared by threads (and by CLONE_FILES), and point
** to open files, which dup() and fork() share, with their position. An open file that appears
** without having been opened (passed through a socket) is one of unknown origin.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_DESCRIPTORS_H
#define TENFOLD_EXTENSIONS_OMNI_DESCRIPTORS_H

#include "base/arena.h"
#include "base/array.h"
#include "replay/trace.h"

typedef enum OpenKind {
  OPEN_UNKNOWN,
  OPEN_INHERITED, /* 0, 1, 2 and others that the program was started with */
  OPEN_FILE,
  OPEN_PIPE,
  OPEN_SOCKET,
  OPEN_OTHER /* an epoll, a timer ... */
} OpenKind;

const char *open_kind_name(OpenKind kind);

typedef struct OpenFile {
  OpenKind kind;
  const char *path;   /* as it was opened; of the inherited "stdin", "stdout", "stderr"; NULL */
  int inherited;      /* number it had at the beginning, -1: not inherited */
  bool has_position;  /* one position for reading and writing, known (or from lseek) */
  bool appends;       /* writes go to an end that is not known */
  uint64_t position;  /* next byte */
  uint64_t passed[2]; /* without position: bytes read, written */
} OpenFile;

typedef struct Descriptors {
  Arena arena;               /* everything below */
  Map processes;             /* pid -> index */
  struct FileTable **tables; /* of each process */
  size_t count, capacity;
  int32_t first_pid; /* its inherited descriptors are the run's */
  OpenFile *inherited[3];
  bool oom;
} Descriptors;

/* All zero is a valid beginning. Events in their order, all of them. False: no memory. */
bool descriptors_apply(Descriptors *all, const Event *event);
/* What `fd` of that process stands for before `event` is applied; unknown ones are made up. NULL:
** no memory. */
OpenFile *descriptors_get(Descriptors *all, int32_t pid, int64_t fd);
/* Moves on by `size` bytes. The position before; -1: not known. `writes`: the direction. */
int64_t open_file_advance(OpenFile *file, bool writes, uint64_t size);
void descriptors_finish(Descriptors *all);

#endif
