/*
** Which recording a table reads, and the recordings that a connection has open.
*/
#define _GNU_SOURCE /* realpath */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "extensions/omni/omni.h"

enum { KEPT_OPEN = 4 };

/* Changes when the file of events does. 0: there is none. */
static uint64_t stamp_of(const char *dir) {
  struct stat st;
  Text path = {0};
  text_addf(&path, "%s/events", dir);
  bool there = !path.oom && stat(path.data, &st) == 0;
  text_finish(&path);
  if (!there) return 0;
  uint64_t stamp = (uint64_t)st.st_ino * 0x9E3779B97F4A7C15u;
  stamp = (stamp ^ (uint64_t)st.st_size) * 0x9E3779B97F4A7C15u;
  stamp = (stamp ^ (uint64_t)st.st_mtim.tv_sec) * 0x9E3779B97F4A7C15u;
  return (stamp ^ (uint64_t)st.st_mtim.tv_nsec) | 1;
}

static void source_free(OmniSource *source) {
  recording_close(source->recording);
  free(source->dir);
  free(source->path);
  free(source);
}

/* Closes what nobody reads, but for the `keep` newest. */
static void trim(OmniState *state, int keep) {
  for (OmniSource **link = &state->sources; *link;) {
    OmniSource *source = *link;
    if (source->refs > 0 || keep-- > 0) {
      link = &source->next;
      continue;
    }
    *link = source->next;
    source_free(source);
  }
}

static bool source_create(const char *dir, uint64_t stamp, OmniSource **out, Fault *fault) {
  OmniSource *source = calloc(1, sizeof *source);
  if (source) source->dir = strdup(dir);
  if (!source || !source->dir) {
    free(source);
    return fault_oom(fault);
  }
  source->stamp = stamp;
  source->path = realpath(dir, NULL);
  if (!source->path && errno == ENOMEM) fault_oom(fault);
  if (!recording_open(dir, &source->recording, fault) || !source->path) {
    source_free(source);
    return fault_set(fault, FAULT_NOTFOUND, "recording \"%s\": it has gone", dir);
  }
  *out = source;
  return true;
}

bool omni_source_open(OmniState *state, const char *dir, OmniSource **out, Fault *fault) {
  if (!dir) dir = state->use;
  if (!dir) {
    return fault_set(fault, FAULT_INVALID,
                     "which recording? Choose one: SELECT omni_use('DIR'), or name it in the "
                     "column \"trace\"");
  }
  uint64_t stamp = stamp_of(dir);
  OmniSource *source = state->sources;
  while (source && (strcmp(source->dir, dir) != 0 || source->stamp != stamp)) source = source->next;
  if (!source) {
    if (!source_create(dir, stamp, &source, fault)) return false;
    source->next = state->sources;
    state->sources = source;
    trim(state, KEPT_OPEN);
  }
  source->refs++;
  *out = source;
  return true;
}

void omni_source_release(OmniState *state, OmniSource *source) {
  if (!source) return;
  source->refs--;
  trim(state, KEPT_OPEN);
}

void omni_sources_close(OmniState *state) { trim(state, 0); }
