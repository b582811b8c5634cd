/*
** The refusing allocator: see failing.h.
*/
#define _GNU_SOURCE
#include "test/runner/failing.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The allocator beneath. Under AddressSanitizer it must be the checking one. */
#if defined(__SANITIZE_ADDRESS__)
#define BENEATH(name) __interceptor_##name
#else
#define BENEATH(name) __libc_##name
#endif
void *BENEATH(malloc)(size_t size);
void *BENEATH(calloc)(size_t count, size_t size);
void *BENEATH(realloc)(void *memory, size_t size);

static bool enabled; /* of the runner's own thread */
static atomic_bool counting;
static atomic_bool refused;
static atomic_long counter;
static atomic_long victim;

/* Libraries whose own requests are granted and not counted. The dynamic loader ends the process
** when it gets no memory for a thread's variables; so does AddressSanitizer in every new thread
** when libc's pthread_getattr_np() gets none. Nothing an extension could handle. */
static const char *const spared[] = {
    "/ld-linux",
#if defined(__SANITIZE_ADDRESS__)
    "/libc.so",
#endif
};
enum { SPARED = sizeof spared / sizeof spared[0] };
static struct { uintptr_t start, end; } spared_code[SPARED];

static int find_spared(struct dl_phdr_info *info, size_t size, void *ctx) {
  (void)size;
  (void)ctx;
  for (int s = 0; s < SPARED; s++) {
    if (!info->dlpi_name || !strstr(info->dlpi_name, spared[s])) continue;
    for (int i = 0; i < info->dlpi_phnum; i++) {
      if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
      uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
      uintptr_t end = start + info->dlpi_phdr[i].p_memsz;
      if (!spared_code[s].start || start < spared_code[s].start) spared_code[s].start = start;
      if (end > spared_code[s].end) spared_code[s].end = end;
    }
  }
  return 0;
}

void failing_start(long refuse) {
  failing_pause();
  if (!spared_code[0].end) dl_iterate_phdr(find_spared, NULL);
  atomic_store(&counter, 0);
  atomic_store(&refused, false);
  atomic_store(&victim, refuse);
}

void failing_enable(bool on) { enabled = on; }
void failing_resume(void) { atomic_store(&counting, enabled); }
void failing_pause(void) { atomic_store(&counting, false); }
long failing_count(void) { return atomic_load(&counter); }
bool failing_refused(void) { return atomic_load(&refused); }

static bool refuse(const void *caller) {
  if (!atomic_load_explicit(&counting, memory_order_relaxed)) return false;
  uintptr_t at = (uintptr_t)caller;
  for (int s = 0; s < SPARED; s++) {
    if (at >= spared_code[s].start && at < spared_code[s].end) return false;
  }
  if (atomic_fetch_add(&counter, 1) + 1 != atomic_load(&victim)) return false;
  atomic_store(&refused, true);
  errno = ENOMEM;
  return true;
}

void *malloc(size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : BENEATH(malloc)(size);
}

void *calloc(size_t count, size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : BENEATH(calloc)(count, size);
}

void *realloc(void *memory, size_t size) {
  return refuse(__builtin_return_address(0)) ? NULL : BENEATH(realloc)(memory, size);
}
