/*
** Where omni.so lies.
*/
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include "extensions/omni/omni.h"

#if defined(SQLITE_CORE)

bool omni_library_path(char **out) { /* a part of the host's program */
  *out = NULL;
  return true;
}

#else

extern const char omni_start[] __attribute__((visibility("hidden"))); /* start.c */

/* Loaded, it is in the loader's list by the name it was opened with. As the program that the kernel
** started it is not (dladdr gives argv[0]), but then the kernel knows. */
bool omni_library_path(char **out) {
  Dl_info info;
  const char *path = "/proc/self/exe";
  *out = NULL;
  if (getauxval(AT_ENTRY) != (unsigned long)(uintptr_t)omni_start) {
    if (!dladdr(omni_start, &info) || !info.dli_fname || !*info.dli_fname) return true;
    path = info.dli_fname;
  }
  *out = realpath(path, NULL);
  return *out || errno != ENOMEM;
}

#endif
