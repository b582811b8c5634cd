/*
** Memory that several processes share: each piece is a file in memory of ours, which all of them
** map, whether it was a file when recorded or had no name. So it can be copied and put back.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"

#define SHARED_MOST ((uint64_t)1 << 40) /* bytes of one, holes included */

static bool refused(Fault *fault) {
  return fault_set(fault, errno == ENOMEM ? FAULT_NOMEM : FAULT_IO, "player: shared memory: %s",
                   strerror(errno));
}

static bool add(Player *player, uint32_t *out, Fault *fault) {
  if (!array_grow(player->shared, player->shared_capacity, player->nshared + 1)) {
    return fault_oom(fault);
  }
  int fd = memfd_create("omni-shared", MFD_CLOEXEC);
  if (fd < 0) return refused(fault);
  player->shared[player->nshared] = fd;
  *out = (uint32_t)player->nshared++;
  return true;
}

bool pool_reach(Player *player, uint32_t id, uint64_t size, Fault *fault) {
  struct stat st;
  if (size > SHARED_MOST) {
    return fault_set(fault, FAULT_CORRUPT, "player: %llu bytes of shared memory",
                     (unsigned long long)size);
  }
  if (fstat(player->shared[id], &st) != 0) return refused(fault);
  return (uint64_t)st.st_size >= size || ftruncate(player->shared[id], (off_t)size) == 0 ||
         refused(fault);
}

/* What has data; the rest stays a hole. */
static bool copy(int from, int to, Fault *fault) {
  struct stat st;
  if (fstat(from, &st) != 0 || ftruncate(to, st.st_size) != 0) return refused(fault);
  for (off_t at = 0; at < st.st_size;) {
    const off_t data = lseek(from, at, SEEK_DATA);
    if (data < 0) return errno == ENXIO || refused(fault);
    const off_t end = lseek(from, data, SEEK_HOLE);
    if (end < 0 || lseek(to, data, SEEK_SET) < 0) return refused(fault);
    at = data;
    while (at < end) {
      if (sendfile(to, from, &at, (size_t)(end - at)) > 0 || errno == EINTR) continue;
      return refused(fault);
    }
  }
  return true;
}

bool pool_new(Player *player, uint64_t size, uint32_t *out, Fault *fault) {
  return add(player, out, fault) && pool_reach(player, *out, size, fault);
}

bool pool_of(Player *player, int fd, uint32_t *out, Fault *fault) {
  return add(player, out, fault) && copy(fd, player->shared[*out], fault);
}

void pool_keep(Player *player, size_t count) {
  while (player->nshared > count) close(player->shared[--player->nshared]);
  for (size_t i = 0; i < player->nfiles; i++) {
    if (player->files[i].shared > count) player->files[i].shared = 0;
  }
}

/* ---- where it is mapped */

bool pool_follow(PlaySpace *space, const MapRange *range, uint32_t id, Fault *fault) {
  MapRange mapped = *range;
  mapped.file = id + 1;
  mapped.name = NULL;
  return maps_add(&space->shared, &mapped, fault);
}

bool pool_call(PlaySpace *space, const Event *event, Fault *fault) {
  const uint64_t *args = event->args, ret = (uint64_t)event->ret;
  switch (event->nr) {
  case SYS_mmap: /* what is shared has been added already */
    if ((args[3] & MAP_TYPE) != MAP_PRIVATE) return true;
    return maps_remove(&space->shared, ret, ret + args[1], fault);
  case SYS_mremap:
    if (ret != args[0] && !maps_find(&space->shared, args[0])) {
      return maps_remove(&space->shared, ret, ret + args[2], fault);
    }
    return maps_apply(&space->shared, event->nr, args, event->ret, 0, "", fault);
  case SYS_munmap:
  case SYS_mprotect:
  case SYS_pkey_mprotect:
    return maps_apply(&space->shared, event->nr, args, event->ret, 0, "", fault);
  default:
    return true;
  }
}

/* ---- copies of all of it */

bool pool_copy(const int *from, size_t count, int *to, size_t *out_count, Fault *fault) {
  for (*out_count = 0; *out_count < count; ++*out_count) {
    int fd = memfd_create("omni-shared", MFD_CLOEXEC);
    if (fd < 0) return refused(fault);
    if (!copy(from[*out_count], fd, fault)) {
      close(fd);
      return false;
    }
    to[*out_count] = fd;
  }
  return true;
}

bool pool_remap(Player *player, PlayThread *thread, Fault *fault) {
  const MapList *list = &thread->space->shared;
  for (size_t i = 0; i < list->count; i++) {
    const MapRange *range = &list->ranges[i];
    if (range->file > player->nshared) {
      return fault_set(fault, FAULT_INTERNAL, "player: shared memory without a number");
    }
    if (!play_map_fd(thread, player->shared[range->file - 1], range, MAP_SHARED | MAP_FIXED,
                     fault)) {
      return false;
    }
  }
  return true;
}
