/*
** Names of what is counted in a recording.
*/
#define _GNU_SOURCE /* sigabbrev_np */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/omni.h"

static const char *const event_names[] = {
    [EVENT_META] = "meta",       [EVENT_FILE] = "file",   [EVENT_IMAGE] = "image",
    [EVENT_SYSCALL] = "syscall", [EVENT_TRAP] = "trap",   [EVENT_SIGNAL] = "signal",
    [EVENT_SWITCH] = "switch",   [EVENT_EXIT] = "exit",   [EVENT_END] = "end",
    [EVENT_NOTE] = "note",       [EVENT_ENTER] = "enter",
};

static const char *const trap_names[] = {
    [TRAP_RDTSC] = "rdtsc",   [TRAP_RDTSCP] = "rdtscp", [TRAP_CPUID] = "cpuid",
    [TRAP_RDRAND] = "rdrand", [TRAP_RDSEED] = "rdseed", [TRAP_RDPID] = "rdpid",
    [TRAP_XSAVE] = "xsave",
};

static const char *const chunk_names[] = {
    [CHUNK_OUT] = "out",       [CHUNK_IN] = "in",           [CHUNK_PATH] = "path",
    [CHUNK_MAP] = "map",       [CHUNK_META] = "meta",       [CHUNK_STAT] = "stat",
    [CHUNK_POINT] = "point",   [CHUNK_SIGINFO] = "siginfo", [CHUNK_XSTATE] = "xstate",
    [CHUNK_SHARED] = "shared", [CHUNK_UNSURE] = "unsure",   [CHUNK_CHILD] = "child",
};

static const char *name_of(const char *const *names, size_t count, int i) {
  return i >= 0 && (size_t)i < count ? names[i] : NULL;
}

const char *omni_event_name(int kind) { return name_of(event_names, countof(event_names), kind); }
const char *omni_trap_name(int nr) { return name_of(trap_names, countof(trap_names), nr); }
const char *omni_chunk_name(int kind) { return name_of(chunk_names, countof(chunk_names), kind); }

/* The realtime signals of the kernel, of which libc keeps two for itself. */
enum { REALTIME_FIRST = 32, REALTIME_LAST = 64 };

const char *omni_signal_name(int signal, char out[SIGNAL_NAME]) {
  const char *name = signal > 0 ? sigabbrev_np(signal) : NULL;
  if (name) {
    snprintf(out, SIGNAL_NAME, "SIG%s", name);
  } else if (signal >= REALTIME_FIRST && signal <= REALTIME_LAST) {
    snprintf(out, SIGNAL_NAME, "SIGRT%d", signal);
  } else {
    return NULL;
  }
  return out;
}
