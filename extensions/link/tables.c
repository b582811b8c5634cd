/*
** link_slices, link_nodes, link_stats: who owns what of the link tables that this connection has
** open, and what it has cost.
*/
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "extensions/link/tab.h"
#include "remote/owners/standby.h"

enum { PATIENCE = 2000000000 }; /* ns */

/* They show what the coordinator says: a new table waits a while until that has been read. */
static LinkKept *tables_known(VtCursor *cur) {
  LinkKept *tables = ((LinkState *)vt_state(cur->tab->conn))->kept;
  Stop stop = {.asked = vt_asked, .ctx = &cur->poll, .deadline = clock_now() + PATIENCE};
  const struct timespec pause = {0, 500000};
  for (const LinkKept *tab = tables; tab; tab = tab->next)
    while (!own_node_inherited(tab->node) && !atomic_load(&tab->table->known) && !stop_now(&stop))
      nanosleep(&pause, NULL);
  return tables;
}

/* ---- slices ---------------------------------------------------------------------------------- */

enum {
  SLICE_TABLE,
  SLICE_NUMBER,
  SLICE_LO,
  SLICE_HI,
  SLICE_OWNER,
  SLICE_EPOCH,
  SLICE_HERE,
  SLICE_ROWS,
  SLICE_READS,
  SLICE_WRITES,
  SLICE_LOADS,
  SLICE_LOAD,
  SLICE_STANDBY,
  SLICE_BYTES,
  SLICE_EVICTED,
  SLICE_NCOL
};

static const VtColumn slice_columns[] = {
    [SLICE_TABLE] = {"table", "TEXT", VT_OUT, 0, "the link table"},
    [SLICE_NUMBER] = {"slice", "INTEGER", VT_OUT, 0, "its number, from 0 on"},
    [SLICE_LO] = {"lo", "TEXT", VT_OUT, 0, "first hash of a key that is in it, hexadecimal"},
    [SLICE_HI] = {"hi", "TEXT", VT_OUT, 0, "last hash"},
    [SLICE_OWNER] = {"owner", "TEXT", VT_OUT, 0, "address of the process that owns it; NULL: none"},
    [SLICE_EPOCH] = {"epoch", "INTEGER", VT_OUT, 0, "of this turn of ownership"},
    [SLICE_HERE] = {"here", "INTEGER", VT_OUT, 0, "1: this process serves it"},
    [SLICE_ROWS] = {"rows", "INTEGER", VT_OUT, 0, "in memory; NULL: in another process"},
    [SLICE_READS] = {"reads", "INTEGER", VT_OUT, 0, "since it is here"},
    [SLICE_WRITES] = {"writes", "INTEGER", VT_OUT, 0, "likewise"},
    [SLICE_LOADS] = {"loads", "INTEGER", VT_OUT, 0, "rows that came from the database"},
    [SLICE_LOAD] = {"load", "INTEGER", VT_OUT, 0,
                    "what requests for it cost, in millionths of a processor: an average of late"},
    [SLICE_STANDBY] = {"standby", "INTEGER", VT_OUT, 0, "1: there is a copy in far memory"},
    [SLICE_BYTES] = {"bytes", "INTEGER", VT_OUT, 0, "that its rows take in memory"},
    [SLICE_EVICTED] = {"evicted", "INTEGER", VT_OUT, 0, "rows that had to go because of memory="},
};

typedef struct SliceCursor {
  VtCursor base;
  LinkKept *tab;
  int slice;
  OwnPlace place;
  uint64_t counts[8];
} SliceCursor;

static void look_at_slice(SliceCursor *cur) {
  OwnSlice *slice = &cur->tab->table->slices[cur->slice];
  cur->place = own_node_place(cur->tab->table, cur->slice);
  pthread_mutex_lock(&slice->lock);
  const uint64_t counts[] = {slice->count, slice->reads,     slice->writes, slice->loads,
                             slice->load,  slice->copy.told, slice->bytes,  slice->evicted};
  pthread_mutex_unlock(&slice->lock);
  memcpy(cur->counts, counts, sizeof counts);
}

static int slice_seek(VtCursor *base, const VtPlan *plan) {
  SliceCursor *cur = (SliceCursor *)base;
  (void)plan;
  cur->tab = tables_known(base);
  cur->slice = 0;
  base->eof = !cur->tab;
  if (cur->tab) look_at_slice(cur);
  return SQLITE_OK;
}

static int slice_step(VtCursor *base) {
  SliceCursor *cur = (SliceCursor *)base;
  if (++cur->slice == cur->tab->table->nslices) {
    cur->tab = cur->tab->next;
    cur->slice = 0;
  }
  base->eof = !cur->tab;
  if (cur->tab) look_at_slice(cur);
  return SQLITE_OK;
}

static void result_hash(sqlite3_context *ctx, uint64_t hash) {
  char text[20];
  sqlite3_snprintf(sizeof text, text, "%016llx", hash);
  sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static int slice_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const SliceCursor *cur = (SliceCursor *)base;
  char address[OWN_ADDRESS];
  switch (col) {
  case SLICE_TABLE:
    sqlite3_result_text(ctx, cur->tab->name, -1, SQLITE_TRANSIENT);
    break;
  case SLICE_NUMBER:
    sqlite3_result_int(ctx, cur->slice);
    break;
  case SLICE_LO:
    result_hash(ctx, own_slice_first(cur->tab->table, cur->slice));
    break;
  case SLICE_HI:
    result_hash(ctx, cur->slice + 1 == cur->tab->table->nslices
                         ? UINT64_MAX
                         : own_slice_first(cur->tab->table, cur->slice + 1) - 1);
    break;
  case SLICE_OWNER:
    if (cur->place.here || cur->place.member >= 0)
      sqlite3_result_text(ctx, own_place_address(cur->tab->table, &cur->place, address), -1,
                          SQLITE_TRANSIENT);
    break;
  case SLICE_EPOCH:
    sqlite3_result_int64(ctx, (sqlite3_int64)cur->place.epoch);
    break;
  case SLICE_HERE:
    sqlite3_result_int(ctx, cur->place.here);
    break;
  default:
    if (cur->place.here) sqlite3_result_int64(ctx, (sqlite3_int64)cur->counts[col - SLICE_ROWS]);
  }
  return SQLITE_OK;
}

const VtTable link_slices_table = {
    .name = "link_slices",
    .doc = "The slices of the link tables that this connection has open, and their owners.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 64,
    .cols = slice_columns,
    .ncols = SLICE_NCOL,
    .cursor_size = sizeof(SliceCursor),
    .seek = slice_seek,
    .step = slice_step,
    .column = slice_column,
};

/* ---- nodes ----------------------------------------------------------------------------------- */

enum { NODE_TABLE, NODE_ADDRESS, NODE_NAME, NODE_ME, NODE_SLICES, NODE_LOAD, NODE_NCOL };

static const VtColumn node_columns[] = {
    [NODE_TABLE] = {"table", "TEXT", VT_OUT, 0, "the link table"},
    [NODE_ADDRESS] = {"address", "TEXT", VT_OUT, 0,
                      "where the process listens; '': it owns nothing"},
    [NODE_NAME] = {"name", "TEXT", VT_OUT, 0,
                   "the address and a number that is new for each start"},
    [NODE_ME] = {"me", "INTEGER", VT_OUT, 0, "1: this process"},
    [NODE_SLICES] = {"slices", "INTEGER", VT_OUT, 0, "how many it owns"},
    [NODE_LOAD] = {"load", "INTEGER", VT_OUT, 0,
                   "what it said last that they cost, in millionths of a processor"},
};

typedef struct NodeCursor {
  VtCursor base;
  LinkKept *tab;
  int number;
  OwnMember member;
} NodeCursor;

/* The next one that lives, from `number` on. */
static int find_node(NodeCursor *cur) {
  for (; cur->tab; cur->tab = cur->tab->next, cur->number = 0) {
    for (; own_node_member(cur->tab->node, cur->number, &cur->member); cur->number++)
      if (cur->member.alive || cur->number == OWN_SELF) return SQLITE_OK;
  }
  cur->base.eof = true;
  return SQLITE_OK;
}

static int node_seek(VtCursor *base, const VtPlan *plan) {
  NodeCursor *cur = (NodeCursor *)base;
  (void)plan;
  cur->tab = tables_known(base);
  cur->number = 0;
  return find_node(cur);
}

static int node_step(VtCursor *base) {
  ((NodeCursor *)base)->number++;
  return find_node((NodeCursor *)base);
}

static int slices_of(const NodeCursor *cur) {
  int n = 0;
  for (int i = 0; i < cur->tab->table->nslices; i++) {
    const OwnPlace place = own_node_place(cur->tab->table, i);
    n += (place.here ? OWN_SELF : place.member) == cur->number;
  }
  return n;
}

static int node_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const NodeCursor *cur = (NodeCursor *)base;
  switch (col) {
  case NODE_TABLE:
    sqlite3_result_text(ctx, cur->tab->name, -1, SQLITE_TRANSIENT);
    break;
  case NODE_ADDRESS:
    sqlite3_result_text(ctx, cur->member.address, -1, SQLITE_TRANSIENT);
    break;
  case NODE_NAME:
    sqlite3_result_text(ctx, cur->member.name, -1, SQLITE_TRANSIENT);
    break;
  case NODE_ME:
    sqlite3_result_int(ctx, cur->number == OWN_SELF);
    break;
  case NODE_LOAD:
    sqlite3_result_int64(ctx, (sqlite3_int64)own_node_load(cur->tab->table, cur->number));
    break;
  default:
    sqlite3_result_int(ctx, slices_of(cur));
  }
  return SQLITE_OK;
}

const VtTable link_nodes_table = {
    .name = "link_nodes",
    .doc = "The processes that share the link tables of this connection.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 8,
    .cols = node_columns,
    .ncols = NODE_NCOL,
    .cursor_size = sizeof(NodeCursor),
    .seek = node_seek,
    .step = node_step,
    .column = node_column,
};

/* ---- counts ---------------------------------------------------------------------------------- */

enum { STAT_TABLE, STAT_NAME, STAT_VALUE, STAT_TEXT, STAT_NCOL };

static const VtColumn stat_columns[] = {
    [STAT_TABLE] = {"table", "TEXT", VT_OUT, 0, "the link table"},
    [STAT_NAME] =
        {"name", "TEXT", VT_OUT, 0,
         "here, loaded, asked, near (rows); messages, retries: of this connection. claims, "
         "moves_out, moves_in (slices), longest_pause_ns, requests, refused, bytes_in, "
         "bytes_out, flushed: of the process. standby (slices of which there is a copy in far "
         "memory), standby_behind (rows that wait to be written there), standby_written, "
         "standby_read, standby_long (rows; those were too long to be written), standby_failures: "
         "of the process, for this table"},
    [STAT_VALUE] = {"value", "INTEGER", VT_OUT, 0, "since it was opened"},
    [STAT_TEXT] =
        {"text", "TEXT", VT_OUT, 0,
         "of standby: why there is none; of claims: what could not be done the last time; "
         "NULL: all is well"},
};

static const char *const stat_names[] = {"here",
                                         "loaded",
                                         "asked",
                                         "near",
                                         "messages",
                                         "retries",
                                         "claims",
                                         "moves_out",
                                         "moves_in",
                                         "longest_pause_ns",
                                         "requests",
                                         "refused",
                                         "bytes_in",
                                         "bytes_out",
                                         "flushed",
                                         "standby",
                                         "standby_behind",
                                         "standby_written",
                                         "standby_read",
                                         "standby_long",
                                         "standby_failures"};

typedef struct StatCursor {
  VtCursor base;
  LinkKept *tab;
  size_t at;
  uint64_t values[countof(stat_names)];
  OwnStandbyStats standby;
} StatCursor;

static void count_all(StatCursor *cur) {
  const LinkCounts *counts = &cur->tab->counts;
  OwnNodeStats stats;
  OwnStandbyStats *standby = &cur->standby;
  own_node_stats(cur->tab->node, &stats);
  own_standby_stats(cur->tab->table, standby);
  const uint64_t values[countof(stat_names)] = {counts->here,     counts->loaded,
                                                counts->asked,    counts->near,
                                                counts->messages, counts->retries,
                                                stats.claims,     stats.moves_out,
                                                stats.moves_in,   (uint64_t)stats.longest_pause_ns,
                                                stats.requests,   stats.refused,
                                                stats.bytes_in,   stats.bytes_out,
                                                stats.flushed,    standby->slices,
                                                standby->behind,  standby->written,
                                                standby->read,    standby->longer,
                                                standby->failures};
  memcpy(cur->values, values, sizeof values);
}

static int stat_seek(VtCursor *base, const VtPlan *plan) {
  StatCursor *cur = (StatCursor *)base;
  (void)plan;
  cur->tab = ((LinkState *)vt_state(base->tab->conn))->kept;
  cur->at = 0;
  base->eof = !cur->tab;
  if (cur->tab) count_all(cur);
  return SQLITE_OK;
}

static int stat_step(VtCursor *base) {
  StatCursor *cur = (StatCursor *)base;
  if (++cur->at < countof(stat_names)) return SQLITE_OK;
  cur->tab = cur->tab->next;
  cur->at = 0;
  base->eof = !cur->tab;
  if (cur->tab) count_all(cur);
  return SQLITE_OK;
}

/* What is in the way. */
static void stat_text(const StatCursor *cur, sqlite3_context *ctx) {
  char text[FAULT_TEXT] = "";
  if (!strcmp(stat_names[cur->at], "standby")) memcpy(text, cur->standby.trouble, sizeof text);
  if (!strcmp(stat_names[cur->at], "claims")) own_node_trouble(cur->tab->node, text);
  if (*text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static int stat_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const StatCursor *cur = (StatCursor *)base;
  if (col == STAT_TEXT) {
    stat_text(cur, ctx);
  } else if (col == STAT_VALUE) {
    sqlite3_result_int64(ctx, (sqlite3_int64)cur->values[cur->at]);
  } else {
    sqlite3_result_text(ctx, col == STAT_TABLE ? cur->tab->name : stat_names[cur->at], -1,
                        SQLITE_TRANSIENT);
  }
  return SQLITE_OK;
}

const VtTable link_stats_table = {
    .name = "link_stats",
    .doc = "What the link tables of this connection have done.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 21,
    .cols = stat_columns,
    .ncols = STAT_NCOL,
    .cursor_size = sizeof(StatCursor),
    .seek = stat_seek,
    .step = stat_step,
    .column = stat_column,
};
