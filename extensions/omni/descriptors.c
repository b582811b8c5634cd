/*
** File descriptors over the course of a run: see descriptors.h.
*/
#define _GNU_SOURCE /* F_DUPFD_CLOEXEC, CLONE_FILES */
#include "extensions/omni/descriptors.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Beyond what any limit of the system allows: hostile numbers are of unknown files. */
enum { FD_LIMIT = 1 << 20 };

typedef struct Slot {
  OpenFile *file; /* NULL: nothing known */
  bool closed_by_exec, used;
} Slot;

typedef struct FileTable {
  Slot *slots;
  size_t capacity;
  int refs; /* processes */
} FileTable;

static const char *const kind_names[] = {"unknown", "inherited", "file", "pipe", "socket", "other"};

const char *open_kind_name(OpenKind kind) { return kind_names[kind]; }

/* ---- tables ---------------------------------------------------------------------------------- */

static FileTable *table_create(Descriptors *all) {
  FileTable *table = calloc(1, sizeof *table);
  if (!table) all->oom = true;
  if (table) table->refs = 1;
  return table;
}

static void table_release(FileTable *table) {
  if (!table || --table->refs > 0) return;
  free(table->slots);
  free(table);
}

static FileTable **table_place(Descriptors *all, int32_t pid) {
  bool added;
  int64_t *index = map_put(&all->processes, &pid, sizeof pid, (int64_t)all->count, &added);
  if (!index || (added && !array_grow(all->tables, all->capacity, all->count + 1))) {
    all->oom = true;
    return NULL;
  }
  if (added) all->tables[all->count++] = NULL;
  return &all->tables[*index];
}

static FileTable *table_of(Descriptors *all, int32_t pid) {
  if (!all->first_pid) all->first_pid = pid;
  FileTable **place = table_place(all, pid);
  if (place && !*place) *place = table_create(all);
  return place ? *place : NULL;
}

static Slot *slot_of(Descriptors *all, FileTable *table, int64_t fd) {
  if (fd < 0 || fd >= FD_LIMIT) return NULL;
  if (array_grow(table->slots, table->capacity, (size_t)fd + 1)) return &table->slots[fd];
  all->oom = true;
  return NULL;
}

static OpenFile *file_create(Descriptors *all, OpenKind kind) {
  OpenFile *file = arena_alloc(&all->arena, sizeof *file);
  if (!file) {
    all->oom = true;
    return NULL;
  }
  *file = (OpenFile){.kind = kind, .inherited = -1};
  return file;
}

static OpenFile *inherited_file(Descriptors *all, int64_t fd) {
  static const char *const names[] = {"stdin", "stdout", "stderr"};
  if (fd < 3 && all->inherited[fd]) return all->inherited[fd];
  OpenFile *file = file_create(all, OPEN_INHERITED);
  if (!file) return NULL;
  file->inherited = (int)fd;
  if (fd < 3) {
    file->path = names[fd];
    all->inherited[fd] = file;
  }
  return file;
}

OpenFile *descriptors_get(Descriptors *all, int32_t pid, int64_t fd) {
  FileTable *table = table_of(all, pid);
  if (!table) return NULL;
  Slot *slot = slot_of(all, table, fd);
  if (!slot) return all->oom ? NULL : file_create(all, OPEN_UNKNOWN);
  if (!slot->file) {
    bool first = !slot->used && pid == all->first_pid;
    slot->file = first ? inherited_file(all, fd) : file_create(all, OPEN_UNKNOWN);
    slot->used = true;
  }
  return slot->file;
}

static void put(Descriptors *all, int32_t pid, int64_t fd, OpenFile *file, bool closed_by_exec) {
  FileTable *table = file ? table_of(all, pid) : NULL;
  Slot *slot = table ? slot_of(all, table, fd) : NULL;
  if (slot) *slot = (Slot){file, closed_by_exec, true};
}

static void drop(FileTable *table, uint64_t first, uint64_t last) {
  for (uint64_t fd = first; fd <= last && fd < FD_LIMIT; fd++) {
    if (fd >= table->capacity) break;
    table->slots[fd] = (Slot){.used = true};
  }
}

/* ---- processes ------------------------------------------------------------------------------- */

static FileTable *table_copy(Descriptors *all, const FileTable *from) {
  FileTable *copy = table_create(all);
  if (!copy) return NULL;
  if (!array_grow(copy->slots, copy->capacity, from->capacity)) {
    all->oom = true;
  } else if (from->capacity) {
    memcpy(copy->slots, from->slots, from->capacity * sizeof(Slot));
  }
  return copy;
}

/* The inherited ones must be known before they are copied. */
static void spawn(Descriptors *all, const Event *event, bool share) {
  for (int fd = 0; fd < 3; fd++) descriptors_get(all, event->pid, fd);
  FileTable *parent = table_of(all, event->pid);
  FileTable **place = table_place(all, (int32_t)event->ret);
  if (!parent || !place || *place == parent) return;
  table_release(*place); /* a number used again */
  *place = share ? parent : table_copy(all, parent);
  if (share) parent->refs++;
}

static void replace_image(Descriptors *all, int32_t pid) {
  FileTable *table = table_of(all, pid);
  if (table && table->refs > 1) { /* shared no longer */
    FileTable *copy = table_copy(all, table), **place = table_place(all, pid);
    table_release(table);
    if (place) *place = copy;
    table = copy;
  }
  for (size_t fd = 0; table && fd < table->capacity; fd++) {
    if (table->slots[fd].closed_by_exec) table->slots[fd] = (Slot){.used = true};
  }
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void opened(Descriptors *all, const Event *event, uint64_t flags) {
  OpenFile *file = file_create(all, OPEN_FILE);
  if (!file) return;
  for (int i = 0; i < event->nchunks && !file->path; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != CHUNK_PATH) continue;
    file->path = arena_strndup(&all->arena, (const char *)chunk->bytes, chunk->size);
    if (!file->path) all->oom = true;
  }
  file->has_position = true;
  file->appends = (flags & O_APPEND) != 0;
  put(all, event->pid, event->ret, file, (flags & O_CLOEXEC) != 0);
}

static void created(Descriptors *all, const Event *event, OpenKind kind, uint64_t flags) {
  put(all, event->pid, event->ret, file_create(all, kind), (flags & O_CLOEXEC) != 0);
}

/* pipe and socketpair answer with two numbers in memory. */
static void paired(Descriptors *all, const Event *event, OpenKind kind, uint64_t at,
                   uint64_t flags) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    int32_t fds[2];
    if (chunk->kind != CHUNK_OUT || chunk->addr != at || chunk->size < sizeof fds) continue;
    memcpy(fds, chunk->bytes, sizeof fds);
    for (int k = 0; k < 2; k++) {
      put(all, event->pid, fds[k], file_create(all, kind), (flags & O_CLOEXEC) != 0);
    }
  }
}

static void duplicated(Descriptors *all, const Event *event, bool closed_by_exec) {
  OpenFile *file = descriptors_get(all, event->pid, (int32_t)event->args[0]);
  put(all, event->pid, event->ret, file, closed_by_exec);
}

static void controlled(Descriptors *all, const Event *event) {
  FileTable *table;
  Slot *slot;
  OpenFile *file;
  switch ((int)event->args[1]) {
  case F_DUPFD:
  case F_DUPFD_CLOEXEC:
    duplicated(all, event, (int)event->args[1] == F_DUPFD_CLOEXEC);
    break;
  case F_SETFD:
    descriptors_get(all, event->pid, (int32_t)event->args[0]);
    table = table_of(all, event->pid);
    slot = table ? slot_of(all, table, (int32_t)event->args[0]) : NULL;
    if (slot) slot->closed_by_exec = event->args[2] & FD_CLOEXEC;
    break;
  case F_SETFL:
    file = descriptors_get(all, event->pid, (int32_t)event->args[0]);
    if (file) file->appends = (event->args[2] & O_APPEND) != 0;
    break;
  default:
    break;
  }
}

static void sought(Descriptors *all, const Event *event) {
  OpenFile *file = descriptors_get(all, event->pid, (int32_t)event->args[0]);
  if (!file) return;
  file->has_position = true;
  file->position = (uint64_t)event->ret;
}

static void closed_range(Descriptors *all, const Event *event) {
  FileTable *table = table_of(all, event->pid);
  uint64_t first = (uint32_t)event->args[0], last = (uint32_t)event->args[1];
  if (!table) return;
  for (int fd = 0; fd < 3; fd++) descriptors_get(all, event->pid, fd);
  if (!(event->args[2] & CLOSE_RANGE_CLOEXEC)) {
    drop(table, first, last);
    return;
  }
  for (uint64_t fd = first; fd <= last && fd < table->capacity; fd++) {
    table->slots[fd].closed_by_exec = true;
  }
}

/* Calls that make a descriptor of the kind OPEN_OTHER: which argument has flags, -1: none. */
static int other_flags(int nr) {
  switch (nr) {
  case SYS_memfd_create:
  case SYS_eventfd2:
  case SYS_timerfd_create:
  case SYS_fanotify_init:
    return nr == SYS_fanotify_init ? 0 : 1;
  case SYS_epoll_create1:
  case SYS_inotify_init1:
  case SYS_userfaultfd:
    return 0;
  case SYS_signalfd4:
    return 3;
  default:
    return -1;
  }
}

static void applied_other(Descriptors *all, const Event *event) {
  int argument = other_flags(event->nr);
  switch (event->nr) {
  case SYS_eventfd:
  case SYS_signalfd:
  case SYS_epoll_create:
  case SYS_inotify_init:
    created(all, event, OPEN_OTHER, 0);
    break;
  case SYS_pidfd_open:
    created(all, event, OPEN_OTHER, O_CLOEXEC);
    break;
  default:
    /* memfd_create has a flag of its own, 1, for O_CLOEXEC's purpose. */
    if (argument < 0) break;
    bool memory = event->nr == SYS_memfd_create;
    bool close = memory ? event->args[1] & 1 : event->args[argument] & O_CLOEXEC;
    created(all, event, memory ? OPEN_FILE : OPEN_OTHER, close ? O_CLOEXEC : 0);
  }
}

static void applied_call(Descriptors *all, const Event *event) {
  FileTable *table;
  switch (event->nr) {
  case SYS_open:
    opened(all, event, event->args[1]);
    break;
  case SYS_creat:
    opened(all, event, 0);
    break;
  case SYS_openat:
  case SYS_open_by_handle_at:
    opened(all, event, event->args[2]);
    break;
  case SYS_openat2:
    opened(all, event, O_CLOEXEC); /* its flags are in memory that is not recorded */
    break;
  case SYS_close:
    descriptors_get(all, event->pid, (int32_t)event->args[0]);
    table = table_of(all, event->pid);
    if (table) drop(table, (uint32_t)event->args[0], (uint32_t)event->args[0]);
    break;
  case SYS_close_range:
    closed_range(all, event);
    break;
  case SYS_dup:
  case SYS_dup2:
    if (event->nr == SYS_dup || event->ret != (int32_t)event->args[0]) {
      duplicated(all, event, false);
    }
    break;
  case SYS_dup3:
    duplicated(all, event, (event->args[2] & O_CLOEXEC) != 0);
    break;
  case SYS_fcntl:
    controlled(all, event);
    break;
  case SYS_lseek:
    sought(all, event);
    break;
  case SYS_pipe:
  case SYS_pipe2:
    paired(all, event, OPEN_PIPE, event->args[0], event->nr == SYS_pipe2 ? event->args[1] : 0);
    break;
  case SYS_socketpair:
    paired(all, event, OPEN_SOCKET, event->args[3], event->args[1]);
    break;
  case SYS_socket:
    created(all, event, OPEN_SOCKET, event->args[1]);
    break;
  case SYS_accept:
  case SYS_accept4:
    created(all, event, OPEN_SOCKET, event->nr == SYS_accept4 ? event->args[3] : 0);
    break;
  default:
    applied_other(all, event);
  }
}

static void applied_spawn(Descriptors *all, const Event *event) {
  uint64_t flags = event->nr == SYS_clone ? event->args[0] : 0;
  if (event->ret > 0 && !(flags & CLONE_THREAD)) spawn(all, event, (flags & CLONE_FILES) != 0);
}

bool descriptors_apply(Descriptors *all, const Event *event) {
  if (event->kind == EVENT_IMAGE) {
    replace_image(all, event->pid);
  } else if (event->kind == EVENT_SYSCALL && event->ret >= 0) {
    bool spawns = event->nr == SYS_clone || event->nr == SYS_clone3 || event->nr == SYS_fork ||
                  event->nr == SYS_vfork;
    (spawns ? applied_spawn : applied_call)(all, event);
  }
  return !all->oom;
}

/* ---- positions ------------------------------------------------------------------------------- */

int64_t open_file_advance(OpenFile *file, bool writes, uint64_t size) {
  uint64_t *at = file->has_position ? &file->position : &file->passed[writes];
  int64_t before = (int64_t)*at;
  *at += size;
  return writes && file->appends ? -1 : before;
}

void descriptors_finish(Descriptors *all) {
  for (size_t i = 0; i < all->count; i++) table_release(all->tables[i]);
  free(all->tables);
  map_finish(&all->processes);
  arena_finish(&all->arena);
  *all = (Descriptors){0};
}
