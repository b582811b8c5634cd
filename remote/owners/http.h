/*
** POST of JSON by libcurl, which is found at run time. A client is used by one thread at a time.
*/
#ifndef TENFOLD_REMOTE_OWNERS_HTTP_H
#define TENFOLD_REMOTE_OWNERS_HTTP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

typedef struct Http Http;

Http *http_open(Fault *fault);
void http_close(Http *http); /* NULL is fine */

/* The answer, until the next call. FAULT_IO: nobody answers, or with an error. */
bool http_post(Http *http, const char *url, const char *body, int64_t timeout_ms, const Text **out,
               Fault *fault);

/* An answer that does not end: `take` gets each part as it comes, and says whether to go on. Ends
** when the other side ends it, or within a second of *stop. */
bool http_listen(Http *http, const char *url, const char *body, atomic_bool *stop,
                 bool (*take)(void *ctx, const char *bytes, size_t n), void *ctx, Fault *fault);

#endif
