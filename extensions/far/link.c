/*
** The far memories of a connection, and their part in its transactions.
**
** SQLite tells each table of a transaction by itself; the tables of one memory share one far
** transaction, so the first to be told does the work.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

FarLink *far_link(FarState *state, const char *at, const FarOptions *options, Fault *fault) {
  for (FarLink *link = state->links; link; link = link->next) {
    if (!strcmp(far_at(link->memory), at)) return link;
  }
  FarLink *link = calloc(1, sizeof *link);
  if (!link) {
    fault_oom(fault);
    return NULL;
  }
  if (!(link->memory = far_open(at, options, fault))) {
    free(link);
    return NULL;
  }
  link->next = state->links;
  state->links = link;
  return link;
}

void far_links_close(FarState *state) {
  far_watched_close(state);
  for (FarLink *link = state->links, *next; link; link = next) {
    next = link->next;
    far_txn_end(link->txn);
    far_close(link->memory);
    map_finish(&link->words);
    free(link->marks);
    free(link);
  }
  state->links = NULL;
}

bool far_link_ready(FarLink *link, Stop *stop, Fault *fault) {
  return link->txn || far_revive(link->memory, stop, fault);
}

bool far_link_begin(FarLink *link, FarTab *tab, Fault *fault) {
  if (!link->txn) {
    link->alone = sqlite3_get_autocommit(tab->base.db);
    link->nmarks = 0;
    link->synced = link->happened = false;
    if (!far_revive(link->memory, NULL, fault)) return false;
    link->client = far_client(link->memory);
    link->txn = far_txn_begin(link->memory, fault);
  }
  if (!link->txn) return false;
  tab->next_tab = link->tabs;
  link->tabs = tab;
  return true;
}

/* A table that goes in the middle of a transaction, because it could not be made, say. */
void far_link_leave(FarLink *link, FarTab *tab) {
  for (FarTab **at = &link->tabs; *at; at = &(*at)->next_tab) {
    if (*at != tab) continue;
    far_reads_end(tab, link->happened, far_client(link->memory) == link->client);
    *at = tab->next_tab;
    return;
  }
}

/* A table that comes later is told of savepoints that others know already. */
bool far_link_savepoint(FarLink *link, int n, Fault *fault) {
  if (!array_grow(link->marks, link->marks_capacity, (size_t)n + 1)) return fault_oom(fault);
  while (link->nmarks <= n) link->marks[link->nmarks++] = far_txn_mark(link->txn);
  return true;
}

void far_link_release(FarLink *link, int n) {
  if (link->nmarks > n) link->nmarks = n < 0 ? 0 : n;
}

bool far_link_rollback_to(FarLink *link, int n, Fault *fault) {
  if (link->nmarks <= n) return true;
  link->nmarks = n + 1; /* -1: the savepoint that began the transaction, of which nobody is told */
  return far_txn_back(link->txn, n < 0 ? 0 : link->marks[n], fault);
}

/* The first table to be told prepares for all of them, or commits: a statement by itself, where no
** file has to be locked after this, which may be refused. */
int far_link_sync(FarLink *link, FarTab *tab, Stop *stop) {
  unsigned char mark[FAR_MARK] = {0};
  const bool at_once = link->alone && !far_decided_stored(tab);
  int rc = SQLITE_OK, settled = 0;
  if (!link->txn || link->synced || !far_txn_count(link->txn)) return SQLITE_OK;
  if (far_client(link->memory) != link->client)
    return vt_fail(&tab->base, SQLITE_IOERR,
                   "the connection to the far memory was lost in the middle of the transaction");
  if (!link->alone) rc = far_decided_note(tab, mark);
  while (rc == SQLITE_OK) {
    Fault fault = {0};
    link->synced = at_once ? far_txn_commit(link->txn, stop, &fault)
                           : far_txn_prepare(link->txn, mark, stop, &fault);
    link->happened = link->synced && at_once;
    if (link->synced) break;
    /* In the way of a transaction whose end stands in our database, perhaps. */
    if (fault.code == FAULT_BUSY) rc = far_decided_settle(tab, &settled);
    if (rc == SQLITE_OK && !settled) rc = vt_fault(&tab->base, &fault);
  }
  return rc;
}

void far_link_end(FarLink *link, bool happens) {
  if (!link->txn) return;
  /* Who finishes it instead will ask for the mark: it stays. */
  if (!far_txn_finish(link->txn, happens, NULL)) {
    for (FarTab *tab = link->tabs; tab; tab = tab->next_tab) memset(tab->noted, 0, FAR_MARK);
  }
  happens = happens || link->happened; /* memory was refused after that, say */
  const bool same = far_client(link->memory) == link->client;
  for (; link->tabs; link->tabs = link->tabs->next_tab) {
    FarTab *tab = link->tabs;
    far_reads_end(tab, happens, same);
    far_kept_clear_map(vt_state(tab->base.conn), link, tab->far_name);
  }
  far_txn_end(link->txn);
  link->txn = NULL;
  link->nmarks = 0;
}
