/*
** Rows by their keys, wherever they are: what the transaction has changed, objects of this process,
** and for the rest one message to each owner. An owner that has changed meanwhile is looked for
** again.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

enum { PEER_DEADLINE = 1000000000, SHORT = 500000, MOST_KEYS = 4096 };

/* ---- waiting, and connections ---------------------------------------------------------------- */

bool link_wait(LinkTab *tab, LinkWait *wait, const char *why, Stop *stop, Fault *fault) {
  const int64_t now = clock_now();
  if (!wait->until) wait->until = now + tab->deadline_ns;
  tab->kept->counts.retries++;
  if (own_node_inherited(tab->node)) return fault_set(fault, FAULT_INVALID, LINK_FORKED);
  if (stop && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "interrupted");
  if (now > wait->until) {
    char trouble[FAULT_TEXT];
    own_node_trouble(tab->node, trouble);
    return fault_set(fault, FAULT_BUSY, "%s%s%s", why, *trouble ? ": " : "", trouble);
  }
  own_node_hurry(tab->node);
  const struct timespec time = {0, SHORT};
  nanosleep(&time, NULL);
  return true;
}

static LinkState *state_of(const LinkTab *tab) { return vt_state(tab->base.conn); }

OwnPeer *link_peer(LinkTab *tab, int number, Stop *stop, Fault *fault) {
  LinkState *state = state_of(tab);
  OwnMember member;
  if (!own_node_member(tab->node, number, &member)) {
    fault_set(fault, FAULT_NOTFOUND, "there is no owner");
    return NULL;
  }
  LinkPeer **at = &state->peers;
  while (*at && strcmp((*at)->name, member.name)) at = &(*at)->next;
  LinkPeer *peer = *at;
  if (peer && !own_peer_lost(peer->peer)) return peer->peer;
  if (peer) { /* once more: the owner may live */
    *at = peer->next;
    own_peer_close(peer->peer);
    free(peer);
  }
  if (!(peer = calloc(1, sizeof *peer))) {
    fault_oom(fault);
    return NULL;
  }
  memcpy(peer->name, member.name, sizeof peer->name);
  const int64_t deadline = tab->deadline_ns < PEER_DEADLINE ? tab->deadline_ns : PEER_DEADLINE;
  peer->peer = own_peer_open(member.address, own_node_secret(tab->node), deadline, stop, fault);
  if (peer->peer && strcmp(own_peer_name(peer->peer), member.name)) {
    fault_set(fault, FAULT_IO, "%s is another one now", member.address);
    own_peer_close(peer->peer);
    peer->peer = NULL;
  }
  if (!peer->peer) {
    free(peer);
    return NULL;
  }
  peer->next = state->peers;
  state->peers = peer;
  return peer->peer;
}

void link_peers_close(LinkState *state) {
  for (LinkPeer *at = state->peers, *next; at; at = next) {
    next = at->next;
    own_peer_close(at->peer);
    free(at);
  }
  state->peers = NULL;
}

/* ---- one row here ---------------------------------------------------------------------------- */

/* After a miss. In a transaction that writes, the user's connection sees what nobody else does, and
** nothing of that is kept; otherwise it may see an old state, and is not asked. */
static OwnAnswer load(LinkTab *tab, const OwnKey *key, uint64_t ticket, LinkFound *out,
                      Fault *fault) {
  const LinkSource *source = tab->source;
  const bool writes =
      source->schema && sqlite3_txn_state(tab->base.db, source->schema) == SQLITE_TXN_WRITE;
  tab->kept->counts.loaded++;
  if (writes || !source->stored) {
    if (!link_clerk_load(&tab->user, key, &out->object, fault)) return OWN_MISS;
    out->current = writes;
    if (writes) return OWN_FOUND;
  } else {
    if (!tab->own && !(tab->own = link_store.open((void *)source, fault))) return OWN_MISS;
    if (!link_clerk_load(tab->own, key, &out->object, fault)) return OWN_MISS;
  }
  if (!out->object) return OWN_FOUND;
  const OwnAnswer answer = own_table_add(tab->table, &out->object, ticket);
  if (answer == OWN_FOUND) return OWN_FOUND;
  own_object_drop(out->object);
  out->object = NULL;
  if (answer != OWN_NOMEM) return OWN_WAIT;
  fault_oom(fault);
  return OWN_MISS;
}

/* OWN_FOUND: *out says what there is. OWN_MISS: *fault is set. */
static OwnAnswer find_here(LinkTab *tab, const OwnKey *key, LinkFound *out, Fault *fault) {
  uint64_t ticket;
  *out = (LinkFound){0};
  const OwnAnswer answer = own_table_find(tab->table, key, &out->object, &ticket);
  if (answer == OWN_FOUND) tab->kept->counts.here++;
  if (answer == OWN_MISS) return load(tab, key, ticket, out, fault);
  return answer == OWN_ABSENT ? OWN_FOUND : answer;
}

/* ---- rows elsewhere -------------------------------------------------------------------------- */

typedef struct Reach {
  LinkTab *tab;
  const OwnKey *keys;
  size_t n;
  uint64_t mask;
  LinkFound *out;
  Stop *stop;
  int64_t asked;      /* when an owner was asked last */
  signed char *state; /* 0: not known yet; 1: known; 2: in the message */
} Reach;

static bool take_answer(Reach *it, size_t i, const unsigned char **at, const unsigned char *end,
                        Fault *fault) {
  const OwnType *type = &it->tab->type;
  uint64_t answer, version;
  OwnRow row;
  if (!own_take_word(at, end, &answer) || !own_take_word(at, end, &version))
    return fault_set(fault, FAULT_IO, "an owner's answer is cut off");
  it->state[i] = 0;
  if (answer == OWN_FOUND) {
    const char *wrong = own_take_row(at, end, type, &row);
    if (wrong) return fault_set(fault, FAULT_IO, "an owner's answer: %s", wrong);
    const OwnKey key = own_key_of(type, row.words);
    if (!own_keys_equal(&key, &it->keys[i]))
      return fault_set(fault, FAULT_IO, "an answer to another key");
    if (!(it->out[i].object = own_object_make(type, row.words))) return fault_oom(fault);
    it->out[i].object->version = version;
    link_near_put(it->tab, &it->keys[i], it->out[i].object, it->mask, it->asked);
  }
  if (answer == OWN_FOUND || answer == OWN_ABSENT) it->state[i] = 1;
  return true;
}

/* All rows of one owner. False: the connection failed, or he did. */
static bool ask_owner(Reach *it, int member, size_t first, Fault *fault) {
  LinkTab *tab = it->tab;
  it->asked = clock_now();
  OwnPeer *peer = link_peer(tab, member, it->stop, fault);
  if (!peer) return false;
  FarWireBuffer *out = own_peer_begin(peer, OWN_MSG_GET, tab->table->name);
  uint64_t count = 0;
  bool ok =
      out && own_put_word(out, it->mask | UINT64_C(1) << tab->type.key) && own_put_word(out, 0);
  const size_t count_at = ok ? out->length - 8 : 0;
  for (size_t i = first; ok && i < it->n && count < MOST_KEYS; i++) {
    if (it->state[i]) continue;
    const OwnPlace place = own_node_place(tab->table, own_slice_of(tab->table, it->keys[i].hash));
    if (place.here || place.member != member) continue;
    ok = own_put_word(out, place.epoch) && own_put_key(out, &tab->type, &it->keys[i]);
    it->state[i] = 2;
    count++;
  }
  if (!ok) return fault_oom(fault);
  memcpy(out->bytes + count_at, &count, sizeof count);
  OwnAnswer answer;
  const unsigned char *at, *end;
  tab->kept->counts.messages++;
  tab->kept->counts.asked += count;
  ok = own_peer_ask(peer, &answer, &at, &end, it->stop, fault);
  for (size_t i = first; i < it->n; i++) {
    if (it->state[i] != 2) continue;
    it->state[i] = 0;
    ok = ok && take_answer(it, i, &at, end, fault);
  }
  return ok;
}

/* One look at all that is not known, until an owner fails. False: *fault is set; *out_left: how
** many are still unknown. */
static bool reach_once(Reach *it, size_t *out_left, Fault *fault) {
  LinkTab *tab = it->tab;
  bool failed = false;
  *out_left = 0;
  for (size_t i = 0; i < it->n; i++) {
    if (it->state[i] == 1) continue;
    if (failed) {
      ++*out_left;
      continue;
    }
    const OwnAnswer answer = find_here(tab, &it->keys[i], &it->out[i], fault);
    if (answer == OWN_MISS) return false;
    if (answer == OWN_NOT_HERE) it->out[i].object = link_near_get(tab, &it->keys[i], it->mask);
    if (answer == OWN_FOUND || it->out[i].object) {
      it->state[i] = 1;
      continue;
    }
    const OwnPlace place = own_node_place(tab->table, own_slice_of(tab->table, it->keys[i].hash));
    if (answer == OWN_NOT_HERE && !place.here && place.member > OWN_SELF) {
      Fault told = {0};
      failed = !ask_owner(it, place.member, i, &told);
      if (failed && told.code != FAULT_IO && told.code != FAULT_NOTFOUND)
        return fault_set(fault, told.code, "%s", told.text);
    }
    *out_left += it->state[i] != 1;
  }
  return true;
}

bool link_find(LinkTab *tab, const OwnKey *keys, size_t n, uint64_t mask, LinkFound *out,
               Stop *stop, Fault *fault) {
  signed char one = 0;
  Reach it = {.tab = tab, .keys = keys, .n = n, .mask = mask, .out = out, .stop = stop};
  LinkWait wait = {0};
  bool ok = true;
  size_t left = 0;
  /* The usual case: one row, which is here. */
  if (n == 1 && !tab->index.count) {
    const OwnAnswer answer = find_here(tab, keys, out, fault);
    if (answer == OWN_FOUND || answer == OWN_MISS) return answer == OWN_FOUND;
  }
  for (size_t i = 0; i < n; i++) out[i] = (LinkFound){0};
  it.state = n == 1 ? &one : calloc(n, 1);
  if (!it.state) return fault_oom(fault);
  for (size_t i = 0; i < n; i++) {
    if (link_changed(tab, &keys[i], &out[i].object)) {
      if (out[i].object) own_object_keep(out[i].object);
      it.state[i] = 1;
    } else if (link_doubtful(tab, &keys[i])) {
      out[i].current = true;
      it.state[i] = 1;
      ok = ok && link_clerk_load(&tab->user, &keys[i], &out[i].object, fault);
    }
  }
  ok = ok && reach_once(&it, &left, fault);
  if (it.asked) wait.until = it.asked + tab->deadline_ns;
  while (ok && left) {
    ok = link_wait(tab, &wait, "the owner of a row does not answer", stop, fault) &&
         reach_once(&it, &left, fault);
  }
  if (it.state != &one) free(it.state);
  for (size_t i = 0; !ok && i < n; i++) {
    own_object_drop(out[i].object);
    out[i].object = NULL;
  }
  return ok;
}

int link_reach(LinkTab *tab, const OwnKey *keys, size_t n, uint64_t mask, LinkFound *out,
               Stop *stop) {
  Fault fault;
  fault_clear(&fault);
  return link_find(tab, keys, n, mask, out, stop, &fault) ? SQLITE_OK
                                                          : vt_fault(&tab->base, &fault);
}

/* ---- whole slices ---------------------------------------------------------------------------- */

typedef struct Pages {
  OwnObject **rows;
  size_t n, capacity;
} Pages;

static bool take_page(LinkTab *tab, Pages *pages, const unsigned char *at, const unsigned char *end,
                      uint64_t *more, Fault *fault) {
  uint64_t n, version;
  if (!own_take_word(&at, end, &n) || !own_take_word(&at, end, more))
    return fault_set(fault, FAULT_IO, "an owner's answer is cut off");
  for (uint64_t i = 0; i < n; i++) {
    OwnRow row;
    if (!own_take_word(&at, end, &version))
      return fault_set(fault, FAULT_IO, "an owner's answer is cut off");
    const char *wrong = own_take_row(&at, end, &tab->type, &row);
    if (wrong) return fault_set(fault, FAULT_IO, "an owner's answer: %s", wrong);
    OwnObject *object = array_grow(pages->rows, pages->capacity, pages->n + 1)
                            ? own_object_make(&tab->type, row.words)
                            : NULL;
    if (!object) return fault_oom(fault);
    object->version = version;
    pages->rows[pages->n++] = object;
  }
  *more = *more && n;
  return true;
}

/* OWN_FOUND: all are there. OWN_MISS: *fault is set. */
static OwnAnswer ask_slice(LinkTab *tab, int slice, int member, uint64_t mask, Pages *pages,
                           Stop *stop, Fault *fault) {
  OwnAnswer answer = OWN_FOUND;
  uint64_t more = 1;
  while (more) {
    const unsigned char *at, *end;
    OwnPeer *peer = link_peer(tab, member, stop, fault);
    FarWireBuffer *out = peer ? own_peer_begin(peer, OWN_MSG_ROWS, tab->table->name) : NULL;
    if (!peer) return OWN_MISS;
    if (!out || !own_put_word(out, mask | UINT64_C(1) << tab->type.key) ||
        !own_put_word(out, (uint64_t)slice) || !own_put_word(out, pages->n)) {
      fault_oom(fault);
      return OWN_MISS;
    }
    tab->kept->counts.messages++;
    if (!own_peer_ask(peer, &answer, &at, &end, stop, fault)) return OWN_MISS;
    if (answer != OWN_FOUND) return answer;
    if (!take_page(tab, pages, at, end, &more, fault)) return OWN_MISS;
  }
  tab->kept->counts.asked += pages->n;
  return OWN_FOUND;
}

int link_reach_slice(LinkTab *tab, int slice, uint64_t mask, OwnObject ***out, size_t *out_n,
                     Stop *stop) {
  LinkWait wait = {0};
  Fault fault = {0};
  for (;;) {
    Pages pages = {0};
    OwnAnswer answer = own_slice_rows(tab->table, slice, false, out, out_n);
    if (answer == OWN_FOUND) return SQLITE_OK;
    if (answer == OWN_NOMEM) return SQLITE_NOMEM;
    const OwnPlace place = own_node_place(tab->table, slice);
    if (answer == OWN_NOT_HERE && !place.here && place.member > OWN_SELF) {
      Fault told = {0};
      answer = ask_slice(tab, slice, place.member, mask, &pages, stop, &told);
      if (answer == OWN_FOUND) {
        *out = pages.rows;
        *out_n = pages.n;
        return SQLITE_OK;
      }
      own_rows_drop(pages.rows, pages.n);
      if (answer == OWN_MISS && told.code != FAULT_IO && told.code != FAULT_NOTFOUND)
        return vt_fault(&tab->base, &told);
    }
    if (!link_wait(tab, &wait, "the owner of a slice does not answer", stop, &fault))
      return vt_fault(&tab->base, &fault);
  }
}

/* Bits of slices of which all is in the database. */
static bool flush_once(LinkTab *tab, uint64_t *whole, Stop *stop, Fault *fault) {
  OwnMember member;
  OwnAnswer answer;
  for (int i = OWN_SELF + 1; own_node_member(tab->node, i, &member); i++) {
    Fault told = {0};
    const unsigned char *at, *end;
    OwnPeer *peer = member.alive && *member.address ? link_peer(tab, i, stop, &told) : NULL;
    FarWireBuffer *out = peer ? own_peer_begin(peer, OWN_MSG_FLUSH, tab->table->name) : NULL;
    if (out && own_peer_ask(peer, &answer, &at, &end, stop, &told)) {
      uint64_t word = 0;
      for (int j = 0; j < OWN_MOST_SLICES / 64 && own_take_word(&at, end, &word); j++)
        whole[j] |= word;
    }
    if (told.code == FAULT_NONE || told.code == FAULT_NOTFOUND || told.code == FAULT_IO) continue;
    return fault_set(fault, told.code, "%s", told.text);
  }
  return own_table_flush(tab->table, whole, fault);
}

/* A slice that changes hands meanwhile may be seen at neither of the two: then it is done again. */
bool link_flush_all(LinkTab *tab, Stop *stop, Fault *fault) {
  LinkWait wait = {0};
  for (;;) {
    uint64_t whole[OWN_MOST_SLICES / 64] = {0};
    int missing = 0;
    if (!flush_once(tab, whole, stop, fault)) return false;
    for (int i = 0; i < tab->table->nslices; i++) missing += !(whole[i / 64] >> (i % 64) & 1);
    if (!missing) return true;
    if (!link_wait(tab, &wait, "the owner of a slice does not answer", stop, fault)) return false;
  }
}
