#define _GNU_SOURCE /* getrandom */
#include "remote/owners/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>

#include "remote/owners/inside.h"
#include "remote/owners/standby.h"

void own_pause(int64_t ns) {
  const struct timespec time = {ns / 1000000000, ns % 1000000000};
  nanosleep(&time, NULL);
}

/* ---- a node's life --------------------------------------------------------------------------- */

static void node_free(OwnNode *node) {
  if (node->coord) node->coord->close(node->coord);
  own_socket_remove(&node->wake_fd);
  pthread_mutex_destroy(&node->lock);
  pthread_cond_destroy(&node->news);
  free(node->coordinator);
  free(node->address);
  free(node->secret);
  free(node);
}

static OwnNode *node_make(const OwnNodeOptions *options, Fault *fault) {
  OwnNode *node = calloc(1, sizeof *node);
  uint64_t number;
  if (!node) {
    fault_oom(fault);
    return NULL;
  }
  node->refs = 1;
  node->listen_fd = node->wake_fd = -1;
  node->private = !*options->coordinator;
  pthread_mutex_init(&node->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&node->news, &monotonic);
  pthread_condattr_destroy(&monotonic);
  node->coordinator = strdup(options->coordinator);
  node->address = strdup(options->address);
  node->secret = strdup(options->secret);
  if (!node->coordinator || !node->address || !node->secret) {
    fault_oom(fault);
  } else if (!strpbrk(node->address, "# \n\"\\")) {
    if (getrandom(&number, sizeof number, 0) != sizeof number) number = (uint64_t)clock_now();
    snprintf(node->name, sizeof node->name, "%.*s#%012llx", OWN_ADDRESS - 1, node->address,
             (unsigned long long)(number >> 16));
    if (strlen(node->address) < OWN_ADDRESS) {
      own_member_number(node, node->name); /* OWN_SELF */
      return node;
    }
    fault_set(fault, FAULT_LIMIT, "me=%.60s...: an address of at most %d bytes", node->address,
              OWN_ADDRESS - 1);
  } else {
    fault_set(fault, FAULT_INVALID, "me=%s: an address without blanks, quotes and #",
              node->address);
  }
  node_free(node);
  return NULL;
}

static bool node_start(OwnNode *node, const OwnNodeOptions *options, Fault *fault) {
  if (node->private) return true;
  node->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  own_socket_add(&node->wake_fd);
  if (node->wake_fd < 0) return fault_set(fault, FAULT_IO, "eventfd: %s", strerror(errno));
  node->coord = options->open(node->coordinator, options->ctx, fault);
  return node->coord && (!*node->address || own_listen(node, fault)) && own_keep(node, fault);
}

static void node_stop(OwnNode *node) {
  atomic_store(&node->stopping, true);
  own_keep_end(node);
  own_listen_end(node);
}

OwnNode *own_node_open(const OwnNodeOptions *options, Fault *fault) {
  OwnNode *node = NULL;
  pthread_mutex_lock(&own_guard);
  for (OwnNode *at = *options->coordinator ? own_nodes : NULL; at && !node; at = at->next) {
    if (!at->inherited && !strcmp(at->coordinator, options->coordinator) &&
        !strcmp(at->address, options->address))
      node = at;
  }
  if (node) {
    node->refs++;
  } else if ((node = node_make(options, fault))) {
    if (node_start(node, options, fault)) {
      node->next = own_nodes;
      own_nodes = node;
    } else {
      node_stop(node);
      node_free(node);
      node = NULL;
    }
  }
  pthread_mutex_unlock(&own_guard);
  return node;
}

void own_node_close(OwnNode *node) {
  if (!node) return;
  pthread_mutex_lock(&own_guard);
  const bool last = --node->refs == 0;
  if (last) {
    for (OwnNode **at = &own_nodes; *at; at = &(*at)->next) {
      if (*at != node) continue;
      *at = node->next;
      break;
    }
  }
  /* Its threads are the parent's: what they hold stays as it is. */
  if (last && !node->inherited) {
    node_stop(node);
    node_free(node);
  }
  pthread_mutex_unlock(&own_guard);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static bool same_table(const OwnTable *a, const OwnTable *b, Fault *fault) {
  const char *at = a->standby ? own_standby_at(a->standby) : "";
  const char *other = *a->node->address && b->standby_at ? b->standby_at : "";
  if (!own_type_same(&a->type, &b->type, fault)) return false;
  if (a->most != b->most)
    return fault_set(fault, FAULT_INVALID, "another connection has it with another memory=");
  if (a->nslices == b->nslices && a->write == b->write && a->strict == b->strict &&
      a->loads == b->loads && a->balance.period_ns == b->balance.period_ns && !strcmp(at, other))
    return true;
  return fault_set(fault, FAULT_INVALID,
                   "another connection has it with other options (slices, write, load, "
                   "consistency, balance, standby)");
}

static OwnTable *make_table(OwnNode *node, const OwnTable *like, Fault *fault) {
  OwnTable *table = own_table_make(like->name, &like->type, like->nslices);
  if (!table) {
    fault_oom(fault);
    return NULL;
  }
  table->write = like->write;
  table->loads = like->loads;
  table->strict = like->strict;
  table->most = like->most;
  table->balance.period_ns = like->balance.period_ns;
  table->balance.weighed_at = table->balance.evened_at = clock_now();
  table->node = node;
  table->known = node->private;
  if (like->standby_at && !node->private && *node->address &&
      !(table->standby = own_standby_open(table, node->coordinator, like->standby_at,
                                          like->standby_secret, fault))) {
    own_table_free(table);
    return NULL;
  }
  table->store = like->store;
  table->next = node->tables;
  node->tables = table;
  node->tables_changed = true;
  for (int i = 0; node->private && i < table->nslices; i++) own_slice_begin(table, i, 1);
  return table;
}

OwnTable *own_node_table(OwnNode *node, const OwnTable *like, bool *out_made, Fault *fault) {
  *out_made = false;
  if (node->inherited) {
    fault_set(fault, FAULT_INVALID, "this process was made by fork() after it was opened");
    return NULL;
  }
  pthread_mutex_lock(&node->lock);
  OwnTable *table = node->tables;
  while (table && (strcmp(table->name, like->name) || table->going)) table = table->next;
  if (!table) {
    *out_made = (table = make_table(node, like, fault)) != NULL;
  } else if (!same_table(table, like, fault)) {
    table = NULL;
  }
  if (table) {
    table->refs++;
    table->users++;
  }
  pthread_mutex_unlock(&node->lock);
  if (*out_made) own_node_hurry(node);
  return table;
}

OwnTable *own_node_find_table(OwnNode *node, const char *name, size_t length) {
  pthread_mutex_lock(&node->lock);
  OwnTable *table = node->tables;
  while (table && (strlen(table->name) != length || memcmp(table->name, name, length)))
    table = table->next;
  if (table) table->refs++;
  pthread_mutex_unlock(&node->lock);
  return table;
}

OwnTable *own_table_keep(OwnTable *table) {
  pthread_mutex_lock(&table->node->lock);
  table->refs++;
  pthread_mutex_unlock(&table->node->lock);
  return table;
}

void own_table_release(OwnTable *table) {
  OwnNode *node = table->node;
  pthread_mutex_lock(&node->lock);
  const bool last = --table->refs == 0;
  for (OwnTable **at = &node->tables; last && *at; at = &(*at)->next) {
    if (*at != table) continue;
    *at = table->next;
    break;
  }
  pthread_mutex_unlock(&node->lock);
  if (last) own_table_free(table);
}

/* The last connection of the process: the keeper gives its slices to others first. */
void own_node_table_close(OwnTable *table) {
  OwnNode *node = table->node;
  if (node->inherited) return;
  pthread_mutex_lock(&node->lock);
  const bool last = --table->users == 0 && !node->private;
  while (last && table->users == 0 && !table->left) {
    node->tables_changed = true;
    atomic_store(&node->hurry, true);
    node->coord->wake(node->coord);
    pthread_cond_wait(&node->news, &node->lock);
  }
  pthread_mutex_unlock(&node->lock);
  own_table_release(table);
}

/* ---- what is known --------------------------------------------------------------------------- */

bool own_node_sure(OwnNode *node) {
  if (node->private) return true;
  const int64_t until = atomic_load_explicit(&node->coord->sure_until, memory_order_acquire);
  if (until == INT64_MAX) return true;
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec < until;
}

bool own_node_inherited(const OwnNode *node) { return node->inherited; }
const char *own_node_address(const OwnNode *node) { return node->address; }
const char *own_node_name(const OwnNode *node) { return node->name; }
const char *own_node_secret(const OwnNode *node) { return node->secret; }

OwnPlace own_node_place(OwnTable *table, int number) {
  OwnSlice *slice = &table->slices[number];
  OwnPlace place = {.member = OWN_NOBODY};
  pthread_mutex_lock(&slice->lock);
  place.here = slice->state == OWN_HERE || slice->state == OWN_LEAVING;
  place.member = slice->owner;
  place.epoch = slice->epoch;
  pthread_mutex_unlock(&slice->lock);
  if (!place.here && place.member >= 0) {
    OwnNode *node = table->node;
    pthread_mutex_lock(&node->lock);
    const bool dead = place.member < node->nmembers && !node->members[place.member].alive;
    pthread_mutex_unlock(&node->lock);
    if (dead) place.member = OWN_NOBODY;
  }
  return place;
}

const char *own_place_address(const OwnTable *table, const OwnPlace *place, char out[OWN_ADDRESS]) {
  OwnMember member;
  const bool known = !place->here && own_node_member(table->node, place->member, &member);
  snprintf(out, OWN_ADDRESS, "%s",
           place->here ? table->node->address
           : known     ? member.address
                       : "");
  return out;
}

void own_node_hurry(OwnNode *node) {
  if (node->private || node->inherited) return;
  atomic_store(&node->hurry, true);
  node->coord->wake(node->coord);
}

bool own_node_member(OwnNode *node, int number, OwnMember *out) {
  pthread_mutex_lock(&node->lock);
  const bool ok = number >= 0 && number < node->nmembers;
  if (ok) *out = node->members[number];
  pthread_mutex_unlock(&node->lock);
  return ok;
}

void own_node_trouble(OwnNode *node, char out[FAULT_TEXT]) {
  pthread_mutex_lock(&node->lock);
  memcpy(out, node->trouble, FAULT_TEXT);
  pthread_mutex_unlock(&node->lock);
}

void own_node_stats(OwnNode *node, OwnNodeStats *out) {
  pthread_mutex_lock(&node->lock);
  *out = node->stats;
  pthread_mutex_unlock(&node->lock);
}

/* ---- tables in use by a thread --------------------------------------------------------------- */

OwnUse *own_use(OwnUse **uses, OwnTable *table, Fault *fault) {
  OwnUse *use = *uses;
  while (use && use->table != table) use = use->next;
  if (use) {
    own_table_release(table);
  } else if ((use = calloc(1, sizeof *use))) {
    use->table = table;
    use->next = *uses;
    *uses = use;
  } else {
    own_table_release(table);
    fault_oom(fault);
  }
  return use;
}

bool own_use_clerk(OwnUse *use, Fault *fault) {
  const OwnStore *store = &use->table->store;
  if (!use->clerk && store->open) use->clerk = store->open(store->ctx, fault);
  return use->clerk ||
         fault_set(fault, FAULT_UNSUPPORTED, "%s: its rows are in no database that others can open",
                   use->table->name);
}

void own_uses_end(OwnUse **uses) {
  for (OwnUse *use = *uses, *next; use; use = next) {
    next = use->next;
    if (use->clerk) use->table->store.close(use->clerk);
    own_table_release(use->table);
    free(use);
  }
  *uses = NULL;
}

OwnAnswer own_use_find(OwnUse *use, const OwnKey *key, OwnObject **out, Fault *fault) {
  uint64_t ticket;
  for (int attempt = 0; attempt < 100; attempt++) {
    OwnAnswer answer = own_table_find(use->table, key, out, &ticket);
    if (answer != OWN_MISS) return answer;
    if (!own_use_clerk(use, fault) || !use->table->store.load(use->clerk, key, out, fault))
      return OWN_MISS;
    if (!*out) return OWN_ABSENT;
    answer = own_table_add(use->table, out, ticket);
    if (answer == OWN_FOUND) return OWN_FOUND;
    own_object_drop(*out);
    *out = NULL;
    if (answer == OWN_NOMEM) {
      fault_oom(fault);
      return OWN_MISS;
    }
  }
  return OWN_WAIT;
}

/* A turn that is over does not write any more. */
static bool may_save(OwnUse *use, int slice, uint64_t epoch, Fault *fault) {
  uint64_t later = 0;
  if (!use->table->store.fenced(use->clerk, slice, &later, fault)) return false;
  return later <= epoch || fault_set(fault, FAULT_CONFLICT, "%s: slice %d has a later owner",
                                     use->table->name, slice);
}

/* What is written is what is there once nobody else writes: who owns the slice next writes later.
** */
static bool flush_slice(OwnUse *use, int number, uint64_t *left, uint64_t *count, Fault *fault) {
  OwnTable *table = use->table;
  const OwnStore *store = &table->store;
  OwnSlice *slice = &table->slices[number];
  OwnObject **rows = NULL;
  size_t n = 0;
  pthread_mutex_lock(&slice->lock);
  const bool any = slice->ndirty > 0;
  const uint64_t epoch = slice->epoch;
  pthread_mutex_unlock(&slice->lock);
  if (!any) return true;
  bool ok = own_use_clerk(use, fault) && store->begin(use->clerk, fault);
  if (ok) {
    ok = may_save(use, number, epoch, fault);
    if (ok && own_slice_rows(table, number, true, &rows, &n) == OWN_NOMEM) ok = fault_oom(fault);
    /* A copy is never older than the database. */
    if (ok && own_standby_drain(table, number) == OWN_COPY_FAILED) {
      if (left) left[number / 64] |= UINT64_C(1) << (number % 64);
      own_rows_drop(rows, n);
      rows = NULL;
      n = 0;
    }
    for (size_t i = 0; ok && i < n; i++) {
      OwnObject *object = own_object_keep(rows[i]);
      ok = store->save(use->clerk, &object, false, fault);
      own_object_drop(object);
    }
    ok = store->end(use->clerk, ok, fault) && ok;
  }
  if (ok) own_slice_clean(table, number, rows, n);
  if (ok) *count += n;
  own_rows_drop(rows, n);
  return ok;
}

bool own_use_flush(OwnUse *use, uint64_t *out_left, uint64_t *count, Fault *fault) {
  OwnTable *table = use->table;
  bool ok = true;
  if (table->write != OWN_WRITE_BACK) return true;
  pthread_mutex_lock(&table->flushing);
  for (int i = 0; ok && i < table->nslices; i++) ok = flush_slice(use, i, out_left, count, fault);
  pthread_mutex_unlock(&table->flushing);
  return ok;
}

bool own_use_flush_here(OwnUse *use, uint64_t *out, Fault *fault) {
  OwnTable *table = use->table;
  uint64_t epochs[OWN_MOST_SLICES] = {0}, left[OWN_MOST_SLICES / 64] = {0}, count = 0;
  for (int i = 0; i < table->nslices; i++) {
    const OwnPlace place = own_node_place(table, i);
    if (place.here) epochs[i] = place.epoch;
  }
  if (!own_use_flush(use, left, &count, fault)) return false;
  for (int i = 0; i < table->nslices; i++) {
    const OwnPlace place = own_node_place(table, i);
    const bool whole = !(left[i / 64] >> (i % 64) & 1);
    if (place.here && place.epoch == epochs[i] && whole) out[i / 64] |= UINT64_C(1) << (i % 64);
  }
  return true;
}

bool own_table_flush(OwnTable *table, uint64_t *out, Fault *fault) {
  OwnUse *uses = NULL, *use = own_use(&uses, own_table_keep(table), fault);
  const bool ok = use && own_use_flush_here(use, out, fault);
  own_uses_end(&uses);
  return ok;
}
