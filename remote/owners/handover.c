/*
** A slice that changes hands while both nodes live: changes wait, rows are sent, the map says whose
** it is, and the new owner begins. It is read here until the map is about to change.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/inside.h"

enum { PEER_DEADLINE = 1000000000 };

static bool tell(OwnKeeper *it, OwnAnswer *answer, Fault *fault) {
  if (!own_peer_tell(it->peer, answer, NULL, fault)) return false;
  return *answer == OWN_FOUND ||
         fault_set(fault, FAULT_BUSY, "%s does not take the slice now", it->peer_name);
}

static bool reach(OwnKeeper *it, const OwnMember *member, Fault *fault) {
  if (it->peer && !own_peer_lost(it->peer) && !strcmp(it->peer_name, member->name)) return true;
  own_peer_close(it->peer);
  snprintf(it->peer_name, sizeof it->peer_name, "%s", member->name);
  it->peer = own_peer_open(member->address, it->node->secret, PEER_DEADLINE, NULL, fault);
  return it->peer && (!strcmp(own_peer_name(it->peer), member->name) ||
                      fault_set(fault, FAULT_NOTFOUND, "%s is another one now", member->address));
}

static bool send_rows(OwnKeeper *it, OwnTable *table, int number, OwnObject **rows, size_t n,
                      Fault *fault) {
  OwnAnswer answer;
  for (size_t i = 0; i < n;) {
    FarWireBuffer *out = own_peer_begin(it->peer, OWN_MSG_ARRIVE, table->name);
    if (!out || !own_put_word(out, (uint64_t)number) || !own_put_word(out, 0))
      return fault_oom(fault);
    const size_t count_at = out->length - 8, first = i;
    for (; i < n && out->length < OWN_PAGE; i++) {
      const uint64_t flags = rows[i]->gone | (uint64_t)rows[i]->dirty << 1;
      if (!own_put_word(out, rows[i]->version) || !own_put_word(out, flags) ||
          !own_put_row(out, &table->type, rows[i]->row, UINT64_MAX))
        return fault_oom(fault);
    }
    const uint64_t count = i - first;
    memcpy(out->bytes + count_at, &count, sizeof count);
    if (!tell(it, &answer, fault)) return false;
  }
  return true;
}

/* No change begins any more, and those that had begun have ended. */
static bool quiet(OwnSlice *slice) {
  const int64_t until = clock_now() + 500000000;
  for (;;) {
    pthread_mutex_lock(&slice->lock);
    const bool still = slice->state == OWN_HERE || slice->state == OWN_LEAVING;
    const bool done = still && !slice->pending;
    if (still) slice->state = OWN_LEAVING;
    pthread_mutex_unlock(&slice->lock);
    if (done || !still || clock_now() > until) return done;
    own_pause(200000);
  }
}

static void resume(OwnSlice *slice) {
  pthread_mutex_lock(&slice->lock);
  if (slice->state == OWN_LEAVING) slice->state = OWN_HERE;
  pthread_mutex_unlock(&slice->lock);
}

static bool all_rows(OwnTable *table, int number, OwnObject ***out, size_t *out_n) {
  OwnObject **gone;
  size_t n;
  if (own_slice_rows(table, number, false, out, out_n) != OWN_FOUND) return false;
  if (own_slice_rows(table, number, true, &gone, &n) != OWN_FOUND) {
    own_rows_drop(*out, *out_n);
    return false;
  }
  OwnObject **rows = realloc(*out, (*out_n + n + 1) * sizeof *rows);
  if (rows) *out = rows;
  for (size_t i = 0; rows && i < n; i++)
    if (gone[i]->gone) rows[(*out_n)++] = own_object_keep(gone[i]);
  own_rows_drop(gone, n);
  if (!rows) own_rows_drop(*out, *out_n);
  return rows != NULL;
}

/* The moment in which it changes hands. */
static bool pass_on(OwnKeeper *it, OwnTable *table, int number, const OwnMember *member, int to,
                    Fault *fault) {
  OwnSlice *slice = &table->slices[number];
  OwnAnswer answer;
  char key[COORD_KEY], copy[COORD_KEY];
  bool done = false;
  uint64_t revision = 0, generation;
  own_slice_key(table, number, key);
  CoordChange changes[2] = {{key, member->name, own_node_place(table, number).epoch, NULL}};
  const size_t n = 1 + own_copy_part(table, number, copy, &generation, &changes[1]);
  const uint64_t load = own_load_of(table, number);
  own_slice_end(table, number, OWN_CLOSED); /* whatever comes of it, the map will say */
  atomic_store(&it->node->hurry, true);
  if (!it->node->coord->cas(it->node->coord, changes, n, &done, &revision, fault)) return false;
  if (!done) return fault_set(fault, FAULT_CONFLICT, "slice %d has changed hands", number);
  own_slice_end(table, number, OWN_ELSEWHERE);
  atomic_store(&table->balance.changed, true);
  pthread_mutex_lock(&slice->lock);
  slice->owner = to;
  slice->epoch = revision;
  pthread_mutex_unlock(&slice->lock);
  FarWireBuffer *out = own_peer_begin(it->peer, OWN_MSG_BEGIN, table->name);
  /* If it does not hear of it from us, it will see it in the map. */
  if (out && own_put_word(out, (uint64_t)number) && own_put_word(out, revision) &&
      own_put_word(out, load) && own_put_word(out, generation))
    own_peer_tell(it->peer, &answer, NULL, NULL);
  return true;
}

bool own_hand_over(OwnKeeper *it, OwnTable *table, int number, int to, Fault *fault) {
  OwnNode *node = it->node;
  OwnSlice *slice = &table->slices[number];
  OwnMember member;
  OwnAnswer answer;
  OwnObject **rows = NULL;
  size_t n = 0;
  if (!own_node_member(node, to, &member) || !reach(it, &member, fault)) return false;
  FarWireBuffer *out = own_peer_begin(it->peer, OWN_MSG_TAKE, table->name);
  if (!out || !own_put_word(out, (uint64_t)number)) return fault_oom(fault);
  if (!tell(it, &answer, fault)) return false;
  const int64_t began = clock_now();
  bool ok = quiet(slice) || fault_set(fault, FAULT_BUSY, "slice %d is being written", number);
  ok = ok && (all_rows(table, number, &rows, &n) || fault_oom(fault));
  if (ok) {
    ok = send_rows(it, table, number, rows, n, fault) &&
         pass_on(it, table, number, &member, to, fault);
    own_rows_drop(rows, n);
  }
  resume(slice);
  if (!ok) { /* what it has got of it is void */
    own_peer_close(it->peer);
    it->peer = NULL;
  }
  pthread_mutex_lock(&node->lock);
  node->stats.moves_out += ok;
  const int64_t pause = clock_now() - began;
  if (ok && pause > node->stats.longest_pause_ns) node->stats.longest_pause_ns = pause;
  pthread_mutex_unlock(&node->lock);
  return ok;
}
