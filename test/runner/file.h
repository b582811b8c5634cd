/*
** Whole files as strings.
*/
#ifndef TENFOLD_TEST_RUNNER_FILE_H
#define TENFOLD_TEST_RUNNER_FILE_H

#include <stdbool.h>

/* The content, NUL-terminated, to be freed by the caller; NULL when it cannot be read. */
char *file_read(const char *path);

/* False, with errno set, when it cannot be written. */
bool file_write(const char *path, const char *content);

#endif
