/*
** Address spaces of what is played: mappings at the addresses they had, and the calls that change
** them made again.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"
#include "replay/syscalls.h"

static uint64_t page_up(uint64_t n) { return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1); }

bool play_may_map(const PlaySpace *space, uint64_t start, uint64_t size) {
  CodeRange ours;
  if (size > SPACE_TOP || start > SPACE_TOP - size) return false;
  if (start < SPACE_PAGE + SPACE_PAGE_SIZE && SPACE_PAGE < start + size) return false;
  for (size_t i = 0; space->probes && probes_range(space->probes, i, &ours); i++) {
    if (start < ours.hi && ours.lo < start + size) return false;
  }
  return true;
}

static bool wrong_place(const PlayThread *thread, uint64_t start, uint64_t size, Fault *fault) {
  return fault_set(fault, FAULT_CORRUPT,
                   "thread %d: %llu bytes at 0x%llx cannot be a program's memory", (int)thread->tid,
                   (unsigned long long)size, (unsigned long long)start);
}

/* Opened by way of our own descriptor, so that it is the file that was looked at. */
static bool open_in(PlayThread *thread, int fd, bool writable, int64_t *out, Fault *fault) {
  char path[64];
  int length = snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), fd);
  const uint64_t at = SPACE_PAGE + SPACE_SCRATCH;
  const uint64_t args[6] = {(uint64_t)AT_FDCWD, at, writable ? O_RDWR : O_RDONLY};
  return space_write(&thread->space->space, (RemoteAddr){at}, path, (size_t)length + 1, fault) &&
         child_call(thread, "openat", SYS_openat, args, out, fault);
}

bool play_map_fd(PlayThread *thread, int fd, const MapRange *range, uint64_t flags, Fault *fault) {
  int64_t opened;
  if (!open_in(thread, fd, flags & MAP_SHARED, &opened, fault)) return false;
  const uint64_t args[6] = {range->start, range->end - range->start, range->prot,
                            flags,        (uint64_t)opened,          range->offset};
  const uint64_t close_args[6] = {(uint64_t)opened};
  return child_call(thread, "mmap of a file", SYS_mmap, args, NULL, fault) &&
         child_call(thread, "close", SYS_close, close_args, NULL, fault);
}

static bool map_shared(Player *player, PlayThread *thread, const MapRange *range, uint64_t flags,
                       Fault *fault) {
  const uint64_t end = range->offset + (range->end - range->start);
  uint32_t id;
  if (range->file ? !files_share(player, range->file - 1, &id, fault)
                  : !pool_new(player, end, &id, fault)) {
    return false;
  }
  return pool_reach(player, id, end, fault) &&
         play_map_fd(thread, player->shared[id], range, flags | MAP_SHARED, fault) &&
         pool_follow(thread->space, range, id, fault);
}

bool play_map(Player *player, PlayThread *thread, const MapRange *range, bool replace,
              Fault *fault) {
  const uint64_t size = range->end - range->start;
  int fd;
  if (range->start >= range->end || (range->start | range->end | range->offset) % PAGE ||
      !play_may_map(thread->space, range->start, size)) {
    return wrong_place(thread, range->start, size, fault);
  }
  const uint64_t flags = (replace ? MAP_FIXED : MAP_FIXED_NOREPLACE) | MAP_NORESERVE;
  if (range->flags & MAP_SHARED) return map_shared(player, thread, range, flags, fault);
  if (range->file) {
    return files_open(player, range->file - 1, &fd, fault) &&
           play_map_fd(thread, fd, range, flags | MAP_PRIVATE, fault);
  }
  const uint64_t args[6] = {range->start, size, range->prot, flags | MAP_PRIVATE | MAP_ANONYMOUS,
                            (uint64_t)-1, 0};
  return child_call(thread, "mmap", SYS_mmap, args, NULL, fault);
}

static bool unmap(PlayThread *thread, uint64_t start, uint64_t size, Fault *fault) {
  const uint64_t args[6] = {start, size};
  if (!size) return true;
  if (!play_may_map(thread->space, start, size)) return wrong_place(thread, start, size, fault);
  return child_call(thread, "munmap", SYS_munmap, args, NULL, fault);
}

bool play_unmap_all(PlayThread *thread, Fault *fault) {
  MapList *maps = &thread->space->maps;
  for (size_t i = 0; i < maps->count; i++) {
    const MapRange *range = &maps->ranges[i];
    if (!unmap(thread, range->start, range->end - range->start, fault)) return false;
  }
  maps_finish(maps);
  maps_finish(&thread->space->shared);
  return true;
}

static bool write_all(PlaySpace *space, const Event *event, ChunkKind kind, Fault *fault) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != kind || !chunk->size) continue;
    if (!play_may_map(space, chunk->addr, chunk->size)) {
      return fault_set(fault, FAULT_CORRUPT,
                       "event %llu, thread %d: %zu bytes for 0x%llx, which is not the program's",
                       (unsigned long long)event->ev, (int)event->tid, chunk->size,
                       (unsigned long long)chunk->addr);
    }
    if (!space_write(&space->space, (RemoteAddr){chunk->addr}, chunk->bytes, chunk->size, fault)) {
      return false;
    }
  }
  return true;
}

bool play_write(PlaySpace *space, const Event *event, Fault *fault) {
  return write_all(space, event, CHUNK_OUT, fault);
}

bool play_write_child(PlaySpace *space, const Event *event, Fault *fault) {
  return write_all(space, event, CHUNK_CHILD, fault);
}

/* ---- calls made again */

static bool call_mmap(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  const uint64_t *args = event->args;
  const uint64_t start = (uint64_t)event->ret, size = page_up(args[1]);
  const bool file = event->aux && !(args[3] & MAP_ANONYMOUS);
  if (size < args[1]) return wrong_place(thread, start, args[1], fault);
  if (!(args[3] & MAP_ANONYMOUS) && !file) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "event %llu, thread %d: a mapping of something that was not recorded",
                     (unsigned long long)event->ev, (int)event->tid);
  }
  const MapRange range = {.start = start,
                          .end = start + size,
                          .offset = file ? args[5] : 0,
                          .prot = (uint32_t)args[2] & (PROT_READ | PROT_WRITE | PROT_EXEC),
                          .flags = (args[3] & MAP_TYPE) == MAP_PRIVATE ? MAP_PRIVATE : MAP_SHARED,
                          .file = file ? (uint32_t)event->aux : 0};
  return play_map(player, thread, &range, true, fault);
}

/* In both cases the recorder has seen it succeed. PROT_GROWSDOWN is for the stack, which is mapped
** whole here. */
static bool call_mprotect(PlayThread *thread, const Event *event, Fault *fault) {
  uint64_t start = event->args[0];
  const uint64_t end = start + page_up(event->args[1]);
  const MapRange *range = maps_find(&thread->space->maps, start);
  if (event->args[2] & PROT_GROWSDOWN && range) start = range->start;
  if (end < start || !play_may_map(thread->space, start, end - start)) {
    return wrong_place(thread, start, event->args[1], fault);
  }
  const uint64_t args[6] = {start, end - start,
                            event->args[2] & (PROT_READ | PROT_WRITE | PROT_EXEC)};
  return child_call(thread, "mprotect", SYS_mprotect, args, NULL, fault) &&
         (!thread->space->probes || probes_protected(thread->space->probes, &thread->tracee, start,
                                                     end, (int)args[2], fault));
}

static bool call_mremap(PlayThread *thread, const Event *event, Fault *fault) {
  const uint64_t *args = event->args, to = (uint64_t)event->ret;
  const bool moved = to != args[0];
  if (!play_may_map(thread->space, args[0], args[1]) || !play_may_map(thread->space, to, args[2])) {
    return wrong_place(thread, to, args[2], fault);
  }
  const uint64_t flags = moved ? MREMAP_MAYMOVE | MREMAP_FIXED | (args[3] & MREMAP_DONTUNMAP) : 0;
  const uint64_t again[6] = {args[0], args[1], args[2], flags, to};
  return child_call(thread, "mremap", SYS_mremap, again, NULL, fault);
}

/* Our heap is made by mmap, for where the kernel puts a heap cannot be told it. */
static bool call_brk(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  const uint64_t was = page_up(thread->space->maps.brk), now = page_up((uint64_t)event->ret);
  if (!was || was == now) return true;
  if (now < was) return unmap(thread, now, was - now, fault);
  const MapRange range = {
      .start = was, .end = now, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE};
  return play_map(player, thread, &range, true, fault);
}

/* Advice that changes what the program or its children see. */
static bool call_madvise(PlayThread *thread, const Event *event, Fault *fault) {
  static const int matter[] = {MADV_DONTNEED, MADV_FREE,       MADV_REMOVE,    MADV_DONTFORK,
                               MADV_DOFORK,   MADV_WIPEONFORK, MADV_KEEPONFORK};
  bool does = false;
  for (size_t i = 0; i < countof(matter); i++) does |= event->args[2] == (uint64_t)matter[i];
  if (!does) return true;
  if (!play_may_map(thread->space, event->args[0], event->args[1])) {
    return wrong_place(thread, event->args[0], event->args[1], fault);
  }
  const uint64_t args[6] = {event->args[0], event->args[1],
                            event->args[2] == MADV_FREE ? MADV_DONTNEED : event->args[2]};
  return child_call(thread, "madvise", SYS_madvise, args, NULL, fault);
}

/* Where a mapping comes to be, nothing of ours may stand. */
static bool make_room(PlayThread *thread, const Event *event, Fault *fault) {
  const uint64_t *args = event->args, ret = (uint64_t)event->ret;
  switch (event->nr) {
  case SYS_mmap:
    return reply_yield(thread, ret, page_up(args[1]), fault);
  case SYS_mremap:
    return reply_moves(thread, args[0], args[0] + page_up(args[1]), fault) &&
           reply_yield(thread, ret, page_up(args[2]), fault);
  case SYS_brk:
    return ret <= thread->space->maps.brk ||
           reply_yield(thread, thread->space->maps.brk, ret - thread->space->maps.brk, fault);
  default:
    return true;
  }
}

static bool make_again(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  bool ok = true;
  switch (event->nr) {
  case SYS_mmap:
    ok = call_mmap(player, thread, event, fault);
    break;
  case SYS_munmap:
    ok = unmap(thread, event->args[0], event->args[1], fault);
    break;
  case SYS_mprotect:
  case SYS_pkey_mprotect:
    ok = call_mprotect(thread, event, fault);
    break;
  case SYS_mremap:
    ok = call_mremap(thread, event, fault);
    break;
  case SYS_brk:
    ok = call_brk(player, thread, event, fault);
    break;
  case SYS_madvise:
    ok = call_madvise(thread, event, fault);
    break;
  default:
    return fault_set(fault, FAULT_UNSUPPORTED, "event %llu: %s cannot be made again",
                     (unsigned long long)event->ev, call_name(event->nr));
  }
  const char *name =
      event->nr == SYS_mmap && event->aux ? files_path(player, (uint32_t)event->aux - 1) : "";
  return ok && maps_apply(&thread->space->maps, event->nr, event->args, event->ret,
                          (uint32_t)event->aux, name, fault);
}

/* What is not there any more, or is there anew. */
static bool forget(PlayThread *thread, const Event *event, uint64_t brk, Fault *fault) {
  const uint64_t *args = event->args, ret = (uint64_t)event->ret;
  switch (event->nr) {
  case SYS_mmap:
    reply_gone(thread->space, ret, ret + page_up(args[1]));
    return patch_gone(thread->space, ret, ret + page_up(args[1]), fault);
  case SYS_mremap:
    reply_gone(thread->space, args[0], args[0] + page_up(args[1]));
    reply_gone(thread->space, ret, ret + page_up(args[2]));
    return patch_gone(thread->space, args[0], args[0] + page_up(args[1]), fault) &&
           patch_gone(thread->space, ret, ret + page_up(args[2]), fault);
  case SYS_madvise:
    if (args[2] != MADV_DONTNEED && args[2] != MADV_FREE) return true;
    reply_gone(thread->space, args[0], args[0] + page_up(args[1]));
    return patch_lost(thread->space, args[0], args[0] + page_up(args[1]), fault);
  case SYS_munmap:
    reply_gone(thread->space, args[0], args[0] + page_up(args[1]));
    return patch_gone(thread->space, args[0], args[0] + page_up(args[1]), fault);
  case SYS_brk:
    return ret >= brk || patch_gone(thread->space, page_up(ret), page_up(brk), fault);
  default:
    return true;
  }
}

bool play_memory_call(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  if (event->ret < 0 && event->ret > -4096) return true;
  const uint64_t brk = thread->space->maps.brk;
  thread->space->new_code = thread->space->breaks_due = true;
  return make_room(thread, event, fault) && make_again(player, thread, event, fault) &&
         pool_call(thread->space, event, fault) && forget(thread, event, brk, fault) &&
         watch_again(thread, fault);
}
