/*
** The files of a recording that are mapped again.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"
#include "replay/trace_format.h"

enum { FILES_MOST = 1 << 16 };

static const Chunk *chunk_of(const Event *event, ChunkKind kind) {
  for (int i = 0; i < event->nchunks; i++) {
    if (event->chunks[i].kind == kind) return &event->chunks[i];
  }
  return NULL;
}

bool files_add(Player *player, const Event *event, Fault *fault) {
  const Chunk *stat = chunk_of(event, CHUNK_STAT), *path = chunk_of(event, CHUNK_PATH);
  if (event->aux >= FILES_MOST || !stat || stat->size != sizeof(TraceFile)) {
    return play_diverged(player, event, fault, "a file that makes no sense");
  }
  size_t number = (size_t)event->aux;
  if (!array_grow(player->files, player->files_capacity, number + 1)) return fault_oom(fault);
  if (number >= player->nfiles) player->nfiles = number + 1;
  PlayFile *file = &player->files[number];
  if (file->known && memcmp(&file->about, stat->bytes, sizeof file->about) != 0) {
    return play_diverged(player, event, fault, "file %zu is there twice", number);
  }
  if (file->known) return true; /* played before, to be played again */
  file->path = strndup(path ? (const char *)path->bytes : "", path ? path->size : 0);
  if (!file->path) return fault_oom(fault);
  memcpy(&file->about, stat->bytes, sizeof file->about);
  file->known = true;
  return true;
}

bool files_calls(Player *player, uint32_t number, InsideFile **out, Fault *fault) {
  char path[64];
  int fd = -1;
  if (!files_open(player, number, &fd, fault)) return false;
  PlayFile *file = &player->files[number];
  if (!file->calls_known) {
    file->calls_known = true;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!inside_file_open(path, &file->calls, fault)) return false;
  }
  *out = file->calls;
  return true;
}

const char *files_path(const Player *player, uint32_t number) {
  return number < player->nfiles && player->files[number].known ? player->files[number].path : "";
}

static bool refused(const PlayFile *file, uint32_t number, Fault *fault) {
  return fault_set(fault, FAULT_IO, "recorded file %" PRIu32 " (\"%s\"): %s", number, file->path,
                   strerror(errno));
}

static bool open_file(const Player *player, PlayFile *file, uint32_t number, Fault *fault) {
  char path[4352];
  if (snprintf(path, sizeof path, "%s/files/%" PRIu32, recording_dir(player->recording), number) >=
      (int)sizeof path) {
    errno = ENAMETOOLONG;
    return refused(file, number, fault);
  }
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat st;
  if (fd < 0) return refused(file, number, fault);
  uint64_t hash, size;
  bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
  if (!ok) fault_set(fault, FAULT_CORRUPT, "recorded file %" PRIu32 ": it is no file", number);
  ok = ok && file_hash(fd, &hash, &size, fault);
  if (ok && (hash != file->about.hash || size != file->about.size)) {
    ok = fault_set(fault, FAULT_CORRUPT,
                   "recorded file %" PRIu32 " (\"%s\"): it has changed since, from %" PRIu64
                   " bytes with hash %016" PRIx64 " to %" PRIu64 " with %016" PRIx64,
                   number, file->path, file->about.size, file->about.hash, size, hash);
  }
  if (!ok) {
    close(fd);
    return false;
  }
  file->fd = fd + 1;
  return true;
}

bool files_open(Player *player, uint32_t number, int *out, Fault *fault) {
  if (number >= player->nfiles || !player->files[number].known) {
    return fault_set(fault, FAULT_CORRUPT, "recorded file %" PRIu32 ": there is none", number);
  }
  PlayFile *file = &player->files[number];
  if (!file->fd && !open_file(player, file, number, fault)) return false;
  *out = file->fd - 1;
  return true;
}

bool files_share(Player *player, uint32_t number, uint32_t *out, Fault *fault) {
  int fd = -1;
  if (!files_open(player, number, &fd, fault)) return false;
  PlayFile *file = &player->files[number];
  if (!file->shared) {
    if (!pool_of(player, fd, out, fault)) return false;
    file->shared = *out + 1;
  }
  *out = file->shared - 1;
  return true;
}

bool files_change(Player *player, const Event *event, Fault *fault) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    uint64_t number;
    uint32_t id;
    if (chunk->kind != CHUNK_SHARED) continue;
    if (chunk->size < sizeof number) {
      return play_diverged(player, event, fault, "a shared file of %zu bytes", chunk->size);
    }
    memcpy(&number, chunk->bytes, sizeof number);
    if (number >= FILES_MOST || !files_share(player, (uint32_t)number, &id, fault)) {
      return play_diverged(player, event, fault, "a shared file that there is not");
    }
    const size_t size = chunk->size - sizeof number;
    if (chunk->addr > UINT64_MAX - size || !pool_reach(player, id, chunk->addr + size, fault)) {
      return play_diverged(player, event, fault, "a shared file that is too large");
    }
    if (pwrite(player->shared[id], chunk->bytes + sizeof number, size, (off_t)chunk->addr) !=
        (ssize_t)size) {
      return refused(&player->files[number], (uint32_t)number, fault);
    }
  }
  return true;
}

void files_close(Player *player) {
  pool_keep(player, 0);
  free(player->shared);
  for (size_t i = 0; i < player->nfiles; i++) {
    PlayFile *file = &player->files[i];
    if (file->fd) close(file->fd - 1);
    bodies_close(file);
    inside_file_close(file->calls);
    free(file->path);
  }
  free(player->files);
}
