/*
** The keeper: a node's thread that watches the coordinator. It claims slices that nobody owns,
** gives away what another node should have, and sends what is not in the database yet there.
*/
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "remote/owners/assign.h"
#include "remote/owners/inside.h"

enum { TICK = 10000000, FLUSH = 50000000, MOVES_AT_ONCE = 8, SHORT_GOODBYE = 200000000 };
static const int64_t long_goodbye = 5000000000;

/* ---- what is asked for ----------------------------------------------------------------------- */

static void do_move(OwnKeeper *it, OwnMove *move) {
  OwnNode *node = it->node;
  int to = OWN_NOBODY;
  pthread_mutex_lock(&node->lock);
  for (int i = 0; i < node->nmembers; i++)
    if (node->members[i].alive && !strcmp(node->members[i].address, move->address)) to = i;
  pthread_mutex_unlock(&node->lock);
  const OwnPlace place = own_node_place(move->table, move->slice);
  if (to == OWN_NOBODY) {
    fault_set(&move->fault, FAULT_NOTFOUND, "there is no node at %s", move->address);
  } else if (!place.here) {
    fault_set(&move->fault, FAULT_BUSY, "slice %d is not here", move->slice);
  } else {
    move->ok = to == OWN_SELF || own_hand_over(it, move->table, move->slice, to, &move->fault);
  }
}

static void do_moves(OwnKeeper *it) {
  OwnNode *node = it->node;
  pthread_mutex_lock(&node->lock);
  while (node->moves) {
    OwnMove *move = node->moves;
    node->moves = move->next;
    pthread_mutex_unlock(&node->lock);
    do_move(it, move);
    pthread_mutex_lock(&node->lock);
    move->done = true;
    pthread_cond_broadcast(&node->news);
  }
  pthread_mutex_unlock(&node->lock);
}

bool own_node_move(OwnTable *table, int slice, const char *address, Stop *stop, Fault *fault) {
  OwnNode *node = table->node;
  OwnMove move = {.table = table, .slice = slice};
  if (node->private || node->inherited)
    return fault_set(fault, FAULT_UNSUPPORTED, "%s: there are no other nodes", table->name);
  snprintf(move.address, sizeof move.address, "%s", address);
  pthread_mutex_lock(&node->lock);
  move.next = node->moves;
  node->moves = &move;
  node->coord->wake(node->coord);
  while (!move.done) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&node->news, &node->lock, &until);
    OwnMove **at = &node->moves;
    while (*at && *at != &move) at = &(*at)->next;
    if (*at && ((stop && stop_now(stop)) || atomic_load(&node->stopping))) { /* not begun */
      *at = move.next;
      fault_set(&move.fault, FAULT_INTERRUPT, "interrupted");
      break;
    }
  }
  pthread_mutex_unlock(&node->lock);
  return move.ok || fault_set(fault, move.fault.code, "%s", move.fault.text);
}

/* ---- tables that go -------------------------------------------------------------------------- */

static bool read_map(OwnKeeper *it, Fault *fault) {
  free(it->items);
  it->items = NULL;
  it->nitems = 0;
  if (!it->node->coord->get(it->node->coord, "", &it->items, &it->nitems, fault)) return false;
  own_read_members(it);
  return true;
}

/* Gives away what is ours. False: some of it is ours still, and somebody may take it later. */
static bool give_away(OwnKeeper *it, OwnTable *table, int64_t until) {
  int owners[OWN_MOST_SLICES], targets[OWN_MOST_SLICES], left = 0;
  Fault fault = {0};
  if (!read_map(it, &fault) || !own_apply_map(it, table, &fault)) return false;
  if (!own_assign_table(it, table, true, owners, targets)) return true; /* there is nobody */
  for (int i = 0; i < table->nslices; i++) {
    Fault told = {0};
    if (owners[i] != OWN_SELF || targets[i] < 0) continue;
    left += clock_now() > until || !own_hand_over(it, table, i, targets[i], &told);
  }
  return !left;
}

/* The others know already that we are going, and give us nothing any more. What is in the database
** they can load; what is here alone is worth a while of trying. */
static void leave_table(OwnKeeper *it, OwnTable *table) {
  const bool stored = table->write == OWN_WRITE_THROUGH;
  const int64_t until = clock_now() + (stored ? SHORT_GOODBYE : long_goodbye);
  Fault fault = {0};
  uint64_t flushed = 0;
  while (!give_away(it, table, until) && clock_now() < until) own_pause(TICK / 2);
  own_copies_say(it, table, &fault);
  OwnUse *use = own_use(&it->uses, own_table_keep(table), &fault);
  if (use) own_use_flush(use, NULL, &flushed, &fault);
  if (read_map(it, &fault)) own_release(it, table, &fault);
  for (int i = 0; i < table->nslices; i++) own_slice_end(table, i, OWN_ELSEWHERE);
}

static OwnTable *table_that_goes(OwnNode *node) {
  pthread_mutex_lock(&node->lock);
  OwnTable *table = node->tables;
  while (table && (table->users || table->left)) table = table->next;
  if (table) table->going = node->tables_changed = true;
  pthread_mutex_unlock(&node->lock);
  return table;
}

static void drop_use(OwnKeeper *it, const OwnTable *table) {
  for (OwnUse **at = &it->uses; *at; at = &(*at)->next) {
    OwnUse *use = *at;
    if (use->table != table) continue;
    *at = use->next;
    use->next = NULL;
    own_uses_end(&use);
    return;
  }
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Says which tables we have open, and what they cost. */
static bool announce(OwnKeeper *it, Fault *fault) {
  OwnNode *node = it->node;
  char key[COORD_KEY], value[COORD_VALUE] = " ";
  size_t length = 1;
  bool fits = true;
  pthread_mutex_lock(&node->lock);
  const bool wanted = node->tables_changed;
  node->tables_changed = false;
  for (OwnTable *table = node->tables; table && wanted; table = table->next) {
    if (table->going) continue;
    table->balance.told = table->balance.load;
    const int n = snprintf(value + length, sizeof value - length, "%s/%llu ", table->name,
                           (unsigned long long)table->balance.told);
    fits = fits && (size_t)n + length < sizeof value;
    if (fits) length += (size_t)n;
  }
  value[length] = '\0';
  pthread_mutex_unlock(&node->lock);
  snprintf(key, sizeof key, "node/%s", node->name);
  if (!wanted) return true;
  if (!fits) fault_set(fault, FAULT_LIMIT, "%s: too many tables", node->address);
  if (node->coord->join(node->coord, key, value, fault)) return true;
  pthread_mutex_lock(&node->lock);
  node->tables_changed = true;
  pthread_mutex_unlock(&node->lock);
  return false;
}

/* References to all tables that are open. */
static size_t open_tables(OwnNode *node, OwnTable ***out) {
  size_t n = 0, capacity = 0;
  OwnTable **tables = NULL;
  pthread_mutex_lock(&node->lock);
  for (OwnTable *table = node->tables; table; table = table->next) {
    if (table->going || !array_grow(tables, capacity, n + 1)) continue;
    table->refs++;
    tables[n++] = table;
  }
  pthread_mutex_unlock(&node->lock);
  *out = tables;
  return n;
}

static void give(OwnKeeper *it, OwnTable *table, const int *owners, const int *targets) {
  int moved = 0;
  Fault fault = {0};
  for (int i = 0; i < table->nslices && moved < MOVES_AT_ONCE; i++) {
    if (owners[i] != OWN_SELF || targets[i] == OWN_SELF || targets[i] < 0) continue;
    if (atomic_load(&it->node->stopping)) return;
    moved++;
    if (!own_hand_over(it, table, i, targets[i], &fault)) return;
  }
  if (moved) atomic_store(&it->node->hurry, true); /* is there more? */
}

/* Slices whose sender is gone: what the map says from now on is what has become of them. */
static void settle_arrivals(OwnTable *table) {
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    if (slice->from == &own_gone) slice->from = NULL;
    pthread_mutex_unlock(&slice->lock);
  }
}

static bool look(OwnKeeper *it, Fault *fault) {
  OwnNode *node = it->node;
  OwnTable **tables;
  bool ok = true;
  const size_t n = open_tables(node, &tables);
  for (size_t i = 0; i < n; i++) settle_arrivals(tables[i]);
  ok = read_map(it, fault);
  const bool known = ok;
  for (size_t i = 0; i < n; i++) {
    int owners[OWN_MOST_SLICES], targets[OWN_MOST_SLICES];
    if (!known) {
      own_table_release(tables[i]);
      continue;
    }
    bool fine = own_apply_map(it, tables[i], fault);
    own_assign_table(it, tables[i], false, owners, targets);
    if (*node->address) fine = own_claim(it, tables[i], owners, targets, fault) && fine;
    if (fine) atomic_store(&tables[i]->known, true);
    ok = ok && fine;
    if (ok) give(it, tables[i], owners, targets);
    own_table_release(tables[i]);
  }
  free(tables);
  if (known) node->coord->settled(node->coord);
  return ok;
}

static void say_copies(OwnKeeper *it) {
  OwnTable **tables;
  const size_t n = open_tables(it->node, &tables);
  for (size_t i = 0; i < n; i++) {
    Fault fault = {0};
    if (*it->node->address) own_copies_say(it, tables[i], &fault);
    own_table_release(tables[i]);
  }
  free(tables);
}

/* What is busy here is shared out. */
static void balance(OwnKeeper *it, OwnTable *table) {
  OwnNode *node = it->node;
  OwnBalance *balance = &table->balance;
  if (own_load_weigh(table)) {
    pthread_mutex_lock(&node->lock);
    node->tables_changed = true;
    pthread_mutex_unlock(&node->lock);
  }
  if (!balance->period_ns || clock_now() - balance->evened_at < balance->period_ns) return;
  balance->evened_at = clock_now();
  int owners[OWN_MOST_SLICES], targets[OWN_MOST_SLICES];
  if (!balance->welcoming && own_even_table(it, table, owners, targets))
    give(it, table, owners, targets);
}

/* What is to be done now and then. */
static void tend(OwnKeeper *it) {
  OwnNode *node = it->node;
  OwnTable **tables;
  if (clock_now() - it->flushed < FLUSH) return;
  it->flushed = clock_now();
  const size_t n = open_tables(node, &tables);
  for (size_t i = 0; i < n; i++) {
    Fault fault = {0};
    uint64_t count = 0;
    balance(it, tables[i]);
    OwnUse *use = own_use(&it->uses, tables[i], &fault); /* takes the reference */
    if (use) own_use_flush(use, NULL, &count, &fault);
    if (use) own_fence_later(it, tables[i]);
    pthread_mutex_lock(&node->lock);
    node->stats.flushed += count;
    pthread_mutex_unlock(&node->lock);
  }
  free(tables);
}

static void leave_tables(OwnKeeper *it) {
  OwnNode *node = it->node;
  for (OwnTable *table; (table = table_that_goes(node));) {
    Fault fault = {0};
    announce(it, &fault);
    leave_table(it, table);
    drop_use(it, table);
    pthread_mutex_lock(&node->lock);
    table->left = true;
    pthread_cond_broadcast(&node->news);
    pthread_mutex_unlock(&node->lock);
  }
}

static void note(OwnNode *node, const Fault *fault) {
  pthread_mutex_lock(&node->lock);
  memcpy(node->trouble, fault->text, sizeof node->trouble);
  pthread_mutex_unlock(&node->lock);
}

static void *keep(void *ctx) {
  OwnKeeper it = {.node = ctx};
  OwnNode *node = it.node;
  bool again = true;
  while (!atomic_load(&node->stopping)) {
    Fault fault = {0};
    bool changed = false;
    own_gate_enter();
    announce(&it, &fault);
    own_gate_leave();
    node->coord->watch(node->coord, again ? TICK / 5 : TICK, &changed, &fault);
    own_gate_enter();
    if (atomic_exchange(&node->hurry, false) || changed || again) again = !look(&it, &fault);
    note(node, &fault);
    do_moves(&it);
    say_copies(&it);
    tend(&it);
    leave_tables(&it);
    own_gate_leave();
  }
  own_gate_enter();
  leave_tables(&it);
  own_peer_close(it.peer);
  own_uses_end(&it.uses);
  node->coord->leave(node->coord);
  own_gate_leave();
  free(it.items);
  return NULL;
}

bool own_keep(OwnNode *node, Fault *fault) {
  const int rc = pthread_create(&node->keeper, NULL, keep, node);
  node->keeping = rc == 0;
  return node->keeping || fault_set(fault, FAULT_IO, "no thread: %s", strerror(rc));
}

void own_keep_end(OwnNode *node) {
  if (!node->keeping) return;
  node->coord->wake(node->coord);
  pthread_join(node->keeper, NULL);
  node->keeping = false;
}
