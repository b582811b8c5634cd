#include "remote/owners/http.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* libcurl's own numbers, which are part of its binary interface. */
enum {
  CURL_NOPROGRESS = 43,
  CURL_NOSIGNAL = 99,
  CURL_TIMEOUT_MS = 155,
  CURL_CONNECTTIMEOUT_MS = 156,
  CURL_WRITEDATA = 10001,
  CURL_URL = 10002,
  CURL_PROXY = 10004,
  CURL_ERRORBUFFER = 10010,
  CURL_POSTFIELDS = 10015,
  CURL_XFERINFODATA = 10057,
  CURL_WRITEFUNCTION = 20011,
  CURL_XFERINFOFUNCTION = 20219,
  CURL_RESPONSE_CODE = 0x200000 + 2,
  CURL_ABORTED = 42,
  CURL_ERROR_SIZE = 256,
  MOST = 16 << 20
};

typedef struct Curl {
  void *(*init)(void);
  void (*cleanup)(void *);
  int (*setopt)(void *, int, ...);
  int (*perform)(void *);
  int (*getinfo)(void *, int, ...);
} Curl;

struct Http {
  void *handle;
  Text body;
  char error[CURL_ERROR_SIZE];
  atomic_bool *stop;
  bool (*take)(void *ctx, const char *bytes, size_t n);
  void *ctx;
};

static Curl curl;
static bool loaded;

static bool find(void *library, const char *name, void *out) {
  void *symbol = dlsym(library, name);
  memcpy(out, &symbol, sizeof symbol);
  return symbol != NULL;
}

static void load(void) {
  int (*global_init)(long);
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  loaded = library && find(library, "curl_global_init", &global_init) &&
           find(library, "curl_easy_init", &curl.init) &&
           find(library, "curl_easy_cleanup", &curl.cleanup) &&
           find(library, "curl_easy_setopt", &curl.setopt) &&
           find(library, "curl_easy_perform", &curl.perform) &&
           find(library, "curl_easy_getinfo", &curl.getinfo) && global_init(3) == 0;
}

static size_t take_some(char *bytes, size_t size, size_t n, void *ctx) {
  Http *http = ctx;
  if (http->take) return http->take(http->ctx, bytes, size * n) ? size * n : 0;
  if (http->body.length + size * n > MOST) return 0;
  text_addn(&http->body, bytes, size * n);
  return http->body.oom ? 0 : size * n;
}

static int go_on(void *ctx, int64_t a, int64_t b, int64_t c, int64_t d) {
  const Http *http = ctx;
  (void)a;
  (void)b;
  (void)c;
  (void)d;
  return http->stop && atomic_load(http->stop);
}

Http *http_open(Fault *fault) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  if (!loaded) {
    fault_set(fault, FAULT_UNSUPPORTED,
              "libcurl is not installed (libcurl.so.4, Debian's libcurl4)");
    return NULL;
  }
  Http *http = calloc(1, sizeof *http);
  if (!http || !(http->handle = curl.init())) {
    free(http);
    fault_oom(fault);
    return NULL;
  }
  curl.setopt(http->handle, CURL_NOSIGNAL, 1L);
  curl.setopt(http->handle, CURL_PROXY,
              ""); /* whatever the environment says: it is a coordinator */
  curl.setopt(http->handle, CURL_NOPROGRESS, 0L);
  curl.setopt(http->handle, CURL_CONNECTTIMEOUT_MS, 2000L);
  curl.setopt(http->handle, CURL_ERRORBUFFER, http->error);
  curl.setopt(http->handle, CURL_WRITEFUNCTION, take_some);
  curl.setopt(http->handle, CURL_WRITEDATA, http);
  curl.setopt(http->handle, CURL_XFERINFOFUNCTION, go_on);
  curl.setopt(http->handle, CURL_XFERINFODATA, http);
  return http;
}

void http_close(Http *http) {
  if (!http) return;
  curl.cleanup(http->handle);
  text_finish(&http->body);
  free(http);
}

static bool perform(Http *http, const char *url, const char *body, int64_t timeout_ms,
                    Fault *fault) {
  long code = 0;
  text_clear(&http->body);
  *http->error = '\0';
  curl.setopt(http->handle, CURL_URL, url);
  curl.setopt(http->handle, CURL_POSTFIELDS, body);
  curl.setopt(http->handle, CURL_TIMEOUT_MS, (long)timeout_ms);
  const int rc = curl.perform(http->handle);
  if (rc == CURL_ABORTED) return true;
  if (rc)
    return fault_set(fault, FAULT_IO, "%s: %s", url, *http->error ? http->error : "no answer");
  curl.getinfo(http->handle, CURL_RESPONSE_CODE, &code);
  return code == 200 || fault_set(fault, FAULT_IO, "%s: answers %ld: %.200s", url, code,
                                  http->body.data ? http->body.data : "");
}

bool http_post(Http *http, const char *url, const char *body, int64_t timeout_ms, const Text **out,
               Fault *fault) {
  http->take = NULL;
  http->stop = NULL;
  *out = &http->body;
  return perform(http, url, body, timeout_ms, fault);
}

bool http_listen(Http *http, const char *url, const char *body, atomic_bool *stop,
                 bool (*take)(void *ctx, const char *bytes, size_t n), void *ctx, Fault *fault) {
  http->take = take;
  http->ctx = ctx;
  http->stop = stop;
  return perform(http, url, body, 0, fault);
}
