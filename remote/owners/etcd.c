/*
** etcd as a coordinator, by its JSON gateway (3.4): items are its keys, revisions are its
** revisions, a member's item hangs on a lease. Two threads: one keeps the lease, so that nothing
** the node does makes it late; one is told of changes.
**
** Traps of the gateway: what is false or 0 is left out; 64-bit numbers are strings; keys and values
** are base64; a lease that is gone is answered without a TTL.
*/
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/text.h"
#include "remote/owners/coordinator.h"
#include "remote/owners/http.h"
#include "remote/owners/json.h"

enum { BASE64 = 4 * (COORD_KEY + COORD_VALUE + 200) / 3 + 8, TIMEOUT = 1000, DEFAULT_TTL = 5 };

typedef struct Etcd {
  Coord base;
  Http *http, *heart_http, *watch_http; /* the keeper's, and one for each thread */
  char url[300], prefix[100];
  int ttl;
  char key[COORD_KEY], value[COORD_VALUE]; /* of the member; "": it is none */
  pthread_t heart, watcher;
  bool beating, watching;
  atomic_bool stop, changed;

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t news;
  int64_t lease;
  bool lost, woken;
} Etcd;

static int64_t boot_time(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void set_time(struct timespec *out, int64_t ns) {
  clock_gettime(CLOCK_MONOTONIC, out);
  out->tv_nsec += ns % 1000000000;
  out->tv_sec += ns / 1000000000 + out->tv_nsec / 1000000000;
  out->tv_nsec %= 1000000000;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool post(Etcd *it, Http *http, const char *what, const Text *body, JsonText *out,
                 Fault *fault) {
  char url[400];
  const Text *answer;
  if (body->oom) return fault_oom(fault);
  snprintf(url, sizeof url, "%s/v3/%s", it->url, what);
  if (!http_post(http, url, body->data, TIMEOUT, &answer, fault)) return false;
  *out = (JsonText){answer->data, answer->data ? answer->data + answer->length : NULL};
  return true;
}

/* "name":"base64 of prefix and text", with a comma before it. */
static void add_bytes(const Etcd *it, Text *body, const char *name, const char *text, int last) {
  char plain[COORD_KEY + COORD_VALUE + 200], coded[BASE64];
  const int n = snprintf(plain, sizeof plain, "%s%s", last ? it->prefix : "", text);
  const size_t length = n < (int)sizeof plain ? (size_t)n : sizeof plain - 1;
  /* The end of a range: the first key that does not begin so. */
  if (last == 2 && length) plain[length - 1]++;
  json_to_base64(plain, length, coded);
  text_addf(body, "\"%s\":\"%s\"", name, coded);
}

enum { VALUE, KEY, RANGE_END };

/* ---- the lease ------------------------------------------------------------------------------- */

static bool grant(Etcd *it, Fault *fault) {
  Text body = {0};
  JsonText answer;
  const int64_t before = boot_time();
  text_addf(&body, "{\"TTL\":\"%d\"}", it->ttl);
  bool ok = post(it, it->http, "lease/grant", &body, &answer, fault);
  text_finish(&body);
  const int64_t lease = ok ? json_integer(json_member(answer, "ID")) : 0;
  const int64_t ttl = ok ? json_integer(json_member(answer, "TTL")) : 0;
  if (!ok || !lease || ttl < 1)
    return ok ? fault_set(fault, FAULT_IO, "coord: etcd grants no lease") : false;
  pthread_mutex_lock(&it->lock);
  it->lease = lease;
  it->ttl = (int)ttl;
  if (!it->lost) atomic_store(&it->base.sure_until, before + ttl * 900000000);
  pthread_mutex_unlock(&it->lock);
  return true;
}

/* 1: it is kept, 0: it is gone, -1: nobody answers. */
static int keep_alive(Etcd *it, int64_t lease) {
  Text body = {0};
  JsonText answer;
  Fault fault = {0};
  const int64_t before = boot_time();
  text_addf(&body, "{\"ID\":\"%lld\"}", (long long)lease);
  const bool ok = post(it, it->heart_http, "lease/keepalive", &body, &answer, &fault);
  text_finish(&body);
  if (!ok) return -1;
  const int64_t ttl = json_integer(json_member(json_member(answer, "result"), "TTL"));
  pthread_mutex_lock(&it->lock);
  /* Ours may run slower than etcd's clock: nine tenths are surely left. */
  if (ttl > 0 && it->lease == lease && !it->lost)
    atomic_store(&it->base.sure_until, before + ttl * 900000000);
  pthread_mutex_unlock(&it->lock);
  return ttl > 0;
}

static void *beat(void *ctx) {
  Etcd *it = ctx;
  pthread_mutex_lock(&it->lock);
  while (!atomic_load(&it->stop)) {
    const int64_t lease = it->lease;
    struct timespec until;
    set_time(&until, (int64_t)it->ttl * 1000000000 / 4);
    pthread_mutex_unlock(&it->lock);
    const int kept = lease ? keep_alive(it, lease) : 1;
    pthread_mutex_lock(&it->lock);
    if (!kept && it->lease == lease) {
      it->lease = 0;
      it->lost = it->woken = true;
      atomic_store(&it->base.sure_until, 0);
      pthread_cond_broadcast(&it->news);
    }
    while (!atomic_load(&it->stop) && pthread_cond_timedwait(&it->news, &it->lock, &until) == 0) {
    }
  }
  pthread_mutex_unlock(&it->lock);
  return NULL;
}

/* ---- members and items ----------------------------------------------------------------------- */

static bool put_member(Etcd *it, Fault *fault) {
  Text body = {0};
  JsonText answer;
  pthread_mutex_lock(&it->lock);
  const int64_t lease = it->lease;
  pthread_mutex_unlock(&it->lock);
  text_addc(&body, '{');
  add_bytes(it, &body, "key", it->key, KEY);
  text_addc(&body, ',');
  add_bytes(it, &body, "value", it->value, VALUE);
  text_addf(&body, ",\"lease\":\"%lld\"}", (long long)lease);
  const bool ok = post(it, it->http, "kv/put", &body, &answer, fault);
  text_finish(&body);
  return ok;
}

static bool has_lease(Etcd *it) {
  pthread_mutex_lock(&it->lock);
  const bool has = it->lease != 0;
  pthread_mutex_unlock(&it->lock);
  return has;
}

static bool etcd_join(Coord *base, const char *key, const char *value, Fault *fault) {
  Etcd *it = (Etcd *)base;
  snprintf(it->key, sizeof it->key, "%s", key);
  snprintf(it->value, sizeof it->value, "%s", value);
  return (has_lease(it) || grant(it, fault)) && put_member(it, fault);
}

static void etcd_leave(Coord *base) {
  Etcd *it = (Etcd *)base;
  Text body = {0};
  JsonText answer;
  pthread_mutex_lock(&it->lock);
  const int64_t lease = it->lease;
  it->lease = 0;
  pthread_mutex_unlock(&it->lock);
  *it->key = '\0';
  if (!lease) return;
  text_addf(&body, "{\"ID\":\"%lld\"}", (long long)lease);
  post(it, it->http, "lease/revoke", &body, &answer, NULL);
  text_finish(&body);
}

static bool take_item(const Etcd *it, JsonText kv, CoordItem *out) {
  char key[COORD_KEY + 100];
  const size_t length = strlen(it->prefix);
  if (!json_base64(json_member(kv, "key"), key, sizeof key) || strncmp(key, it->prefix, length) ||
      strlen(key) - length >= sizeof out->key)
    return false;
  memcpy(out->key, key + length, strlen(key) - length + 1);
  if (!json_base64(json_member(kv, "value"), out->value, sizeof out->value)) *out->value = '\0';
  out->revision = (uint64_t)json_integer(json_member(kv, "mod_revision"));
  return out->revision > 0;
}

static bool etcd_get(Coord *base, const char *prefix, CoordItem **out, size_t *out_n,
                     Fault *fault) {
  Etcd *it = (Etcd *)base;
  Text body = {0};
  JsonText answer;
  size_t capacity = 0;
  *out = NULL;
  *out_n = 0;
  text_addc(&body, '{');
  add_bytes(it, &body, "key", prefix, KEY);
  text_addc(&body, ',');
  add_bytes(it, &body, "range_end", prefix, RANGE_END);
  text_addc(&body, '}');
  bool ok = post(it, it->http, "kv/range", &body, &answer, fault);
  text_finish(&body);
  const JsonText kvs = ok ? json_member(answer, "kvs") : (JsonText){0};
  for (JsonText kv = json_first(kvs); ok && kv.at; kv = json_next(kvs, kv)) {
    if (!array_extend(*out, capacity, *out_n + 1)) {
      ok = fault_oom(fault);
    } else if (!take_item(it, kv, &(*out)[(*out_n)++])) {
      ok = fault_set(fault, FAULT_CORRUPT, "coord: etcd's answer is none: %.*s",
                     (int)(kv.end - kv.at > 100 ? 100 : kv.end - kv.at), kv.at);
    }
  }
  return ok;
}

static void add_condition(const Etcd *it, Text *body, const char *key, uint64_t revision) {
  if (body->data[body->length - 1] != '[') text_addc(body, ',');
  text_addc(body, '{');
  add_bytes(it, body, "key", key, KEY);
  text_addf(body, ",\"target\":\"MOD\",\"result\":\"EQUAL\",\"mod_revision\":\"%llu\"}",
            (unsigned long long)revision);
}

static bool etcd_cas(Coord *base, const CoordChange *changes, size_t n, bool *out_done,
                     uint64_t *out_revision, Fault *fault) {
  Etcd *it = (Etcd *)base;
  Text body = {0};
  JsonText answer;
  *out_done = false;
  text_add(&body, "{\"compare\":[");
  for (size_t i = 0; i < n && !body.oom; i++) {
    bool told = false;
    add_condition(it, &body, changes[i].key, changes[i].revision);
    for (size_t j = 0; changes[i].absent && j < i; j++)
      told = told || (changes[j].absent && !strcmp(changes[j].absent, changes[i].absent));
    if (changes[i].absent && !told && !body.oom) add_condition(it, &body, changes[i].absent, 0);
  }
  text_add(&body, "],\"success\":[");
  const char *comma = "";
  for (size_t i = 0; i < n && !body.oom; i++) {
    if (!changes[i].value) continue;
    text_addf(&body, "%s{\"request_put\":{", comma);
    comma = ",";
    add_bytes(it, &body, "key", changes[i].key, KEY);
    text_addc(&body, ',');
    add_bytes(it, &body, "value", changes[i].value, VALUE);
    text_add(&body, "}}");
  }
  text_add(&body, "]}");
  const bool ok = post(it, it->http, "kv/txn", &body, &answer, fault);
  text_finish(&body);
  if (!ok) return false;
  *out_done = json_true(json_member(answer, "succeeded"));
  *out_revision = (uint64_t)json_integer(json_member(json_member(answer, "header"), "revision"));
  return true;
}

/* ---- news ------------------------------------------------------------------------------------ */

static void tell(Etcd *it) {
  atomic_store(&it->changed, true);
  pthread_mutex_lock(&it->lock);
  it->woken = true;
  pthread_cond_broadcast(&it->news);
  pthread_mutex_unlock(&it->lock);
}

static bool take_news(void *ctx, const char *bytes, size_t n) {
  (void)bytes;
  (void)n;
  tell(ctx); /* what has changed is read anew: the first answer says that the watch stands */
  return true;
}

static void *listen_for_news(void *ctx) {
  Etcd *it = ctx;
  char url[400];
  while (!atomic_load(&it->stop)) {
    Text body = {0};
    Fault fault = {0};
    text_add(&body, "{\"create_request\":{");
    add_bytes(it, &body, "key", "", KEY);
    text_addc(&body, ',');
    add_bytes(it, &body, "range_end", "", RANGE_END);
    text_add(&body, "}}");
    snprintf(url, sizeof url, "%s/v3/watch", it->url);
    if (!body.oom) http_listen(it->watch_http, url, body.data, &it->stop, take_news, it, &fault);
    text_finish(&body);
    if (atomic_load(&it->stop)) break;
    const struct timespec pause = {0, 100000000};
    nanosleep(&pause, NULL); /* etcd is away: until it is back everything may have changed */
    tell(it);
  }
  return NULL;
}

static bool etcd_watch(Coord *base, int64_t ns, bool *out_changed, Fault *fault) {
  Etcd *it = (Etcd *)base;
  struct timespec until;
  set_time(&until, ns);
  pthread_mutex_lock(&it->lock);
  while (!it->woken && pthread_cond_timedwait(&it->news, &it->lock, &until) == 0) {
  }
  it->woken = false;
  const bool gone = !it->lease && *it->key;
  if (gone) {
    it->lost = true; /* also when it could not be had at the first try */
    atomic_store(&base->sure_until, 0);
  }
  pthread_mutex_unlock(&it->lock);
  *out_changed = atomic_exchange(&it->changed, false) || gone;
  return !gone || (grant(it, fault) && put_member(it, fault));
}

static void etcd_wake(Coord *base) {
  Etcd *it = (Etcd *)base;
  pthread_mutex_lock(&it->lock);
  it->woken = true;
  pthread_cond_broadcast(&it->news);
  pthread_mutex_unlock(&it->lock);
}

static void etcd_settled(Coord *base) {
  Etcd *it = (Etcd *)base;
  pthread_mutex_lock(&it->lock);
  if (it->lost && it->lease) it->lost = false; /* from the next beat on */
  pthread_mutex_unlock(&it->lock);
}

static void etcd_inherited(Coord *base) { (void)base; }

/* ---- opening --------------------------------------------------------------------------------- */

static void etcd_close(Coord *base) {
  Etcd *it = (Etcd *)base;
  atomic_store(&it->stop, true);
  etcd_wake(base);
  if (it->beating) pthread_join(it->heart, NULL);
  if (it->watching) pthread_join(it->watcher, NULL);
  if (it->http) etcd_leave(base);
  http_close(it->http);
  http_close(it->heart_http);
  http_close(it->watch_http);
  pthread_mutex_destroy(&it->lock);
  pthread_cond_destroy(&it->news);
  free(it);
}

/* "http://127.0.0.1:2379/name?ttl=2" */
static bool take_url(Etcd *it, const char *url, Fault *fault) {
  const char *host = strstr(url, "://");
  const char *slash = host ? strchr(host + 3, '/') : NULL, *mark = strchr(url, '?');
  const char *end = slash ? slash : mark ? mark : url + strlen(url);
  const char *name = slash && slash[1] && slash[1] != '?' ? slash + 1 : "link";
  if (!host || strncmp(url, "http", 4) || end - url >= (int)sizeof it->url ||
      strcspn(name, "?") + 2 > sizeof it->prefix ||
      (mark && sscanf(mark, "?ttl=%d", &it->ttl) != 1) || it->ttl < 1 || it->ttl > 3600) {
    return fault_set(fault, FAULT_INVALID,
                     "coord: etcd:http://HOST:PORT/NAME?ttl=SECONDS is wanted, not \"%.100s\"",
                     url);
  }
  snprintf(it->url, sizeof it->url, "%.*s", (int)(end - url), url);
  snprintf(it->prefix, sizeof it->prefix, "%.*s/", (int)strcspn(name, "?"), name);
  return true;
}

static bool start(Etcd *it, Fault *fault) {
  CoordItem *items;
  size_t n;
  it->http = http_open(fault);
  it->heart_http = it->http ? http_open(fault) : NULL;
  it->watch_http = it->heart_http ? http_open(fault) : NULL;
  if (!it->watch_http || !etcd_get(&it->base, "node/", &items, &n, fault)) return false;
  free(items);
  it->beating = pthread_create(&it->heart, NULL, beat, it) == 0;
  it->watching = pthread_create(&it->watcher, NULL, listen_for_news, it) == 0;
  return (it->beating && it->watching) || fault_set(fault, FAULT_IO, "coord: no thread");
}

Coord *coord_etcd_open(const char *url, Fault *fault) {
  Etcd *it = calloc(1, sizeof *it);
  pthread_condattr_t monotonic;
  if (!it) {
    fault_oom(fault);
    return NULL;
  }
  it->base = (Coord){.close = etcd_close,
                     .join = etcd_join,
                     .leave = etcd_leave,
                     .get = etcd_get,
                     .cas = etcd_cas,
                     .watch = etcd_watch,
                     .wake = etcd_wake,
                     .settled = etcd_settled,
                     .inherited = etcd_inherited};
  it->ttl = DEFAULT_TTL;
  pthread_mutex_init(&it->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&it->news, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (take_url(it, url, fault) && start(it, fault)) return &it->base;
  etcd_close(&it->base);
  return NULL;
}
