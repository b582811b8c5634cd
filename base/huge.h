/*
** Large memory in few pages. What fresh memory costs is mostly its page faults (0.5 us each,
** several in a virtual machine): half a second for 500 MB in pages of 4 KiB, nearly nothing in
** huge ones.
*/
#ifndef TENFOLD_BASE_HUGE_H
#define TENFOLD_BASE_HUGE_H

#include <stddef.h>

enum { HUGE_PAGE = 2 * 1024 * 1024 };

/* memory[0..size) is about to be used, most of it: a hint that the system may ignore. Nothing
** happens below two huge pages, where it could cost more memory than it is worth. */
void huge_hint(void *memory, size_t size);

#endif
