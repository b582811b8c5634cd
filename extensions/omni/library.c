/*
** Where omni.so lies.
*/
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "extensions/omni/omni.h"

#if defined(SQLITE_CORE)

char *omni_library_path(void) { return NULL; } /* a part of the host's program */

#else

extern const char omni_start[] __attribute__((visibility("hidden"))); /* start.c */

/* Loaded, it is in the loader's list by the name it was opened with. As the program that the kernel
** started it is not (dladdr gives argv[0]), but then the kernel knows. */
char *omni_library_path(void) {
  Dl_info info;
  if (getauxval(AT_ENTRY) == (unsigned long)(uintptr_t)omni_start) {
    return realpath("/proc/self/exe", NULL);
  }
  if (!dladdr(omni_start, &info) || !info.dli_fname || !*info.dli_fname) return NULL;
  return realpath(info.dli_fname, NULL);
}

#endif
