/*
** Values of expressions at calls, kept: see probe_kept.h.
*/
#define _GNU_SOURCE /* memfd_create */
#include "extensions/omni/probe_kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"

enum { PROBES_MOST = 8, BYTES_MOST = 64 << 20 };

typedef struct ProbeKept {
  struct ProbeKept *next; /* the last one used comes first */
  uint64_t stamp;
  char *path, *key;
  int fd;
  uint64_t size;
  KeptCells *list; /* by `first` */
  size_t count, capacity;
} ProbeKept;

static void kept_free(ProbeKept *kept) {
  if (kept->fd >= 0) close(kept->fd);
  free(kept->path);
  free(kept->key);
  free(kept->list);
  free(kept);
}

void probe_kept_finish(OmniState *state) {
  while (state->probes) {
    ProbeKept *kept = state->probes;
    state->probes = kept->next;
    kept_free(kept);
  }
}

/* Taken to the front. NULL: nothing is kept. */
static ProbeKept *find(OmniState *state, const OmniSource *source, const char *key) {
  for (ProbeKept **link = &state->probes; *link; link = &(*link)->next) {
    ProbeKept *kept = *link;
    if (kept->stamp != source->stamp || strcmp(kept->path, source->path) != 0 ||
        strcmp(kept->key, key) != 0) {
      continue;
    }
    *link = kept->next;
    kept->next = state->probes;
    state->probes = kept;
    return kept;
  }
  return NULL;
}

/* Whatever the system refuses only means that nothing is kept. */
static ProbeKept *make(OmniState *state, const OmniSource *source, const char *key) {
  ProbeKept *kept = calloc(1, sizeof *kept);
  if (!kept) return NULL;
  kept->stamp = source->stamp;
  kept->path = strdup(source->path);
  kept->key = strdup(key);
  kept->fd = memfd_create("omni probe", MFD_CLOEXEC);
  if (!kept->path || !kept->key || kept->fd < 0) {
    kept_free(kept);
    return NULL;
  }
  kept->next = state->probes;
  state->probes = kept;
  ProbeKept *last = kept;
  for (int i = 1; i < PROBES_MOST && last; i++) last = last->next;
  while (last && last->next) {
    ProbeKept *old = last->next;
    last->next = old->next;
    kept_free(old);
  }
  return kept;
}

bool probe_kept_open(OmniState *state, const OmniSource *source, const char *key, uint64_t entry,
                     int width, KeptCells *out, CellReader *reader) {
  const ProbeKept *kept = find(state, source, key);
  size_t low = 0, high = kept ? kept->count : 0;
  while (low < high) { /* behind the last that begins at or before */
    const size_t middle = low + (high - low) / 2;
    if (kept->list[middle].first <= entry) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (!low || entry - kept->list[low - 1].first >= kept->list[low - 1].count) return false;
  *out = kept->list[low - 1];
  const int fd = fcntl(kept->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return false;
  cells_open_part(reader, fd, width, out->count, out->at, out->size);
  return true;
}

static bool append(ProbeKept *kept, int fd, uint64_t size) {
  off_t from = 0;
  if (lseek(kept->fd, (off_t)kept->size, SEEK_SET) < 0) return false;
  while ((uint64_t)from < size) {
    const ssize_t n = sendfile(kept->fd, fd, &from, size - (uint64_t)from);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
  }
  return true;
}

void probe_kept_add(OmniState *state, const OmniSource *source, const char *key, uint64_t first,
                    uint64_t count, int fd) {
  struct stat st;
  ProbeKept *kept = find(state, source, key);
  if (!kept) kept = make(state, source, key);
  if (!kept || !count || fstat(fd, &st) != 0 || st.st_size > BYTES_MOST ||
      kept->size + (uint64_t)st.st_size > BYTES_MOST ||
      !array_grow(kept->list, kept->capacity, kept->count + 1)) {
    return;
  }
  const uint64_t size = (uint64_t)st.st_size;
  if (!append(kept, fd, size)) return;
  size_t at = kept->count;
  while (at > 0 && kept->list[at - 1].first > first) at--;
  if (at > 0 && kept->list[at - 1].first + kept->list[at - 1].count > first) return;
  memmove(&kept->list[at + 1], &kept->list[at], (kept->count - at) * sizeof *kept->list);
  kept->list[at] = (KeptCells){first, count, kept->size, size};
  kept->count++;
  kept->size += size;
}
