/*
** Huge pages: see huge.h.
*/
#define _DEFAULT_SOURCE /* madvise */
#include "base/huge.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

void huge_hint(void *memory, size_t size) {
#ifdef MADV_HUGEPAGE
  if (size < 2 * (size_t)HUGE_PAGE) return;
  int before = errno;
  size_t inset = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
  madvise((char *)memory + inset, (size - inset) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
  errno = before;
#else
  (void)memory, (void)size;
#endif
}
