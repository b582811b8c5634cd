/*
** The end of a transaction. Everything that can fail happens in sync(): what has changed goes to
** the owners of the rows, one message to each, who look whether the rows are still what they were
** and let nobody else change them. Then SQLite commits, and the owners are told.
**
** With write='through' the database's lock is held from the first write to the end, by every writer
** in his turn; an owner who loses us meanwhile takes that lock once and then believes the database
** (remote/owners/serve.c). An owner who has taken over a slice from a dead one has left his epoch
** in the same database: who was prepared by the dead one finds it there and gives up.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

enum { LOCKED_NS = 250000000 }; /* as long is waited for owners with the database locked */

typedef struct Sync {
  LinkTab *tab;
  OwnChange *changes; /* the latest of each row */
  int *members;       /* who was asked to prepare it; OWN_SELF: we */
  size_t n;
  Stop *stop;
  Fault fault;
} Sync;

static bool is_prepared(const LinkTab *tab, int member) {
  return tab->prepared_members[member / 64] >> (member % 64) & 1;
}

/* ---- preparing ------------------------------------------------------------------------------- */

static OwnAnswer prepare_here(Sync *it) {
  LinkTab *tab = it->tab;
  OwnChange *mine = calloc(it->n + 1, sizeof *mine);
  size_t n = 0, failed = 0;
  if (!mine) return OWN_NOMEM;
  for (size_t i = 0; i < it->n; i++)
    if (it->members[i] == OWN_SELF) mine[n++] = it->changes[i];
  const OwnAnswer answer = own_table_prepare(tab->table, mine, n, tab, &failed);
  for (size_t i = 0, at = 0; i < it->n; i++)
    if (it->members[i] == OWN_SELF) it->changes[i].epoch = mine[at++].epoch;
  free(mine);
  if (answer == OWN_FOUND) tab->prepared_members[0] |= 1;
  return answer;
}

static bool put_change(const Sync *it, FarWireBuffer *out, const OwnChange *change) {
  LinkTab *tab = it->tab;
  const OwnPlace place = own_node_place(tab->table, own_slice_of(tab->table, change->object->hash));
  return own_put_word(out, change->expect) && own_put_word(out, change->version) &&
         own_put_word(out, place.epoch) && own_put_word(out, change->object->gone) &&
         own_put_row(out, &tab->type, change->object->row,
                     change->object->gone ? UINT64_C(1) << tab->type.key : UINT64_MAX);
}

/* OWN_MISS: *fault is set. */
static OwnAnswer prepare_there(Sync *it, int member, Fault *fault) {
  LinkTab *tab = it->tab;
  OwnAnswer answer;
  const unsigned char *at, *end;
  uint64_t n = 0, failed;
  OwnPeer *peer = link_peer(tab, member, it->stop, fault);
  if (!peer) return OWN_MISS;
  for (size_t i = 0; i < it->n; i++) n += it->members[i] == member;
  FarWireBuffer *out = own_peer_begin(peer, OWN_MSG_PREPARE, tab->table->name);
  bool ok = out && own_put_word(out, n);
  for (size_t i = 0; ok && i < it->n; i++)
    if (it->members[i] == member) ok = put_change(it, out, &it->changes[i]);
  if (!ok) return OWN_NOMEM;
  tab->kept->counts.messages++;
  tab->prepared_members[member / 64] |= UINT64_C(1) << (member % 64);
  if (!own_peer_ask(peer, &answer, &at, &end, it->stop, fault)) return OWN_MISS;
  ok = own_take_word(&at, end, &failed);
  for (size_t i = 0; ok && answer == OWN_FOUND && i < it->n; i++)
    if (it->members[i] == member) ok = own_take_word(&at, end, &it->changes[i].epoch);
  if (ok) return answer;
  fault_set(fault, FAULT_IO, "an owner's answer is cut off");
  return OWN_MISS;
}

/* Who owns what now: false, somebody is not known. */
static bool find_owners(Sync *it) {
  LinkTab *tab = it->tab;
  for (size_t i = 0; i < it->n; i++) {
    const OwnPlace place =
        own_node_place(tab->table, own_slice_of(tab->table, it->changes[i].object->hash));
    it->members[i] = place.here ? OWN_SELF : place.member;
    if (place.member == OWN_NOBODY || (!place.here && place.member == OWN_SELF)) return false;
  }
  return true;
}

static OwnAnswer prepare_all(Sync *it) {
  if (!find_owners(it)) return OWN_WAIT;
  OwnAnswer answer = OWN_FOUND;
  bool here = false;
  for (size_t i = 0; answer == OWN_FOUND && i < it->n; i++) {
    const int member = it->members[i];
    if (member == OWN_SELF ? here : is_prepared(it->tab, member)) continue;
    if (member == OWN_SELF) {
      answer = prepare_here(it);
      here = true;
      continue;
    }
    Fault told = {0};
    answer = prepare_there(it, member, &told);
    if (answer != OWN_MISS) continue;
    if (told.code == FAULT_IO || told.code == FAULT_NOTFOUND) {
      answer = OWN_WAIT;
    } else {
      fault_set(&it->fault, told.code, "%s", told.text);
    }
  }
  return answer;
}

/* ---- the fence ------------------------------------------------------------------------------- */

/* Nobody has taken over a slice since its owner agreed. */
static OwnAnswer look_at_fence(Sync *it) {
  LinkTab *tab = it->tab;
  if (tab->table->write != OWN_WRITE_THROUGH || tab->alone) return OWN_FOUND;
  uint64_t seen[OWN_MOST_SLICES / 64] = {0};
  for (size_t i = 0; i < it->n; i++) {
    const int slice = own_slice_of(tab->table, it->changes[i].object->hash);
    uint64_t later;
    if (seen[slice / 64] >> (slice % 64) & 1) continue;
    seen[slice / 64] |= UINT64_C(1) << (slice % 64);
    if (!link_clerk_fenced(&tab->user, slice, &later, &it->fault)) return OWN_MISS;
    if (later > it->changes[i].epoch) return OWN_WAIT;
  }
  return OWN_FOUND;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int answer_code(Sync *it, OwnAnswer answer) {
  LinkTab *tab = it->tab;
  switch (answer) {
  case OWN_NOMEM:
    return SQLITE_NOMEM;
  case OWN_CONFLICT:
    return vt_fail(&tab->base, SQLITE_BUSY_SNAPSHOT,
                   "a row was changed by somebody else since it was read");
  default:
    return vt_fault(&tab->base, &it->fault);
  }
}

static int prepare(Sync *it) {
  LinkTab *tab = it->tab;
  LinkWait wait = {0};
  const bool locked = tab->table->write == OWN_WRITE_THROUGH && tab->deadline_ns > LOCKED_NS;
  if (locked) wait.until = clock_now() + LOCKED_NS;
  for (;;) {
    OwnAnswer answer = prepare_all(it);
    if (answer == OWN_FOUND) answer = look_at_fence(it);
    if (answer == OWN_FOUND) {
      tab->prepared = true;
      return SQLITE_OK;
    }
    link_rollback(tab);
    const bool again = answer == OWN_WAIT || answer == OWN_NOT_HERE || answer == OWN_LOCKED;
    const char *why = answer == OWN_LOCKED ? "somebody else is changing a row"
                                           : "the owner of a row does not answer";
    if (!again || !link_wait(tab, &wait, why, it->stop, &it->fault))
      return answer_code(it, again ? OWN_MISS : answer);
  }
}

int link_sync(LinkTab *tab, Stop *stop) {
  Sync it = {.tab = tab, .stop = stop};
  if (tab->prepared) link_rollback(tab); /* a COMMIT that was BUSY, and changes after it */
  int rc = link_settle_cut(tab);
  if (rc != SQLITE_OK || !tab->nchanges) return rc;
  if (own_node_inherited(tab->node)) return vt_fail(&tab->base, SQLITE_MISUSE, LINK_FORKED);
  it.changes = calloc(tab->nchanges, sizeof *it.changes);
  it.members = calloc(tab->nchanges, sizeof *it.members);
  if (!it.changes || !it.members) rc = SQLITE_NOMEM;
  for (size_t i = 0; rc == SQLITE_OK && i < tab->nchanges; i++) {
    const LinkChange *change = &tab->changes[i];
    if (!change->latest) continue;
    it.changes[it.n++] = (OwnChange){change->object, change->expect, change->version, 0};
  }
  if (rc == SQLITE_OK) rc = prepare(&it);
  free(it.changes);
  free(it.members);
  return rc;
}

static bool tell(LinkTab *tab, int member, OwnKindOfMessage kind) {
  Fault ignored = {0};
  OwnAnswer answer;
  OwnMember who;
  if (!own_node_member(tab->node, member, &who)) return false;
  const LinkPeer *peer = ((LinkState *)vt_state(tab->base.conn))->peers;
  while (peer && strcmp(peer->name, who.name)) peer = peer->next;
  if (!peer || own_peer_lost(peer->peer)) return false;
  tab->kept->counts.messages++;
  return own_peer_begin(peer->peer, kind, tab->table->name) &&
         own_peer_tell(peer->peer, &answer, NULL, &ignored);
}

/* An owner was not reached any more: whoever owns the rows now must not show what they were. */
static void forget(LinkTab *tab) {
  LinkWait wait = {0};
  Fault ignored = {0};
  for (size_t i = 0; i < tab->nchanges; i++) {
    const OwnKey key = own_key_of(&tab->type, tab->changes[i].object->row);
    const int slice = own_slice_of(tab->table, key.hash);
    for (;;) {
      Fault fault = {0};
      OwnAnswer answer = OWN_WAIT;
      const OwnPlace place = own_node_place(tab->table, slice);
      if (place.here) {
        own_table_forget(tab->table, &key);
        break;
      }
      OwnPeer *peer = place.member > OWN_SELF ? link_peer(tab, place.member, NULL, &fault) : NULL;
      FarWireBuffer *out = peer ? own_peer_begin(peer, OWN_MSG_FORGET, tab->table->name) : NULL;
      if (out && own_put_word(out, 1) && own_put_key(out, &tab->type, &key) &&
          own_peer_tell(peer, &answer, NULL, &fault) && answer == OWN_FOUND)
        break;
      if (!link_wait(tab, &wait, "", NULL, &ignored)) return;
    }
  }
}

/* The kit calls it also when nothing was prepared. */
void link_commit(LinkTab *tab) {
  if (!tab->prepared) return;
  tab->prepared = false;
  for (size_t i = 0; i < tab->nchanges; i++) {
    const OwnKey key = own_key_of(&tab->type, tab->changes[i].object->row);
    link_near_forget(tab, &key);
  }
  for (int i = 0; i < OWN_MEMBERS; i++) {
    if (!is_prepared(tab, i)) continue;
    if (i == OWN_SELF) {
      own_table_commit(tab->table, tab);
    } else if (!tell(tab, i, OWN_MSG_COMMIT) && tab->table->loads) {
      forget(tab);
    }
  }
  memset(tab->prepared_members, 0, sizeof tab->prepared_members);
}

void link_rollback(LinkTab *tab) {
  tab->prepared = false;
  for (int i = 0; i < OWN_MEMBERS; i++) {
    if (!is_prepared(tab, i)) continue;
    if (i == OWN_SELF) {
      own_table_abort(tab->table, tab);
    } else {
      tell(tab, i, OWN_MSG_ABORT);
    }
  }
  memset(tab->prepared_members, 0, sizeof tab->prepared_members);
}
