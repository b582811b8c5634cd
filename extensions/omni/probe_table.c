/*
** omni_probe: every call of a function with what C expressions are worth there.
**
**   CREATE VIRTUAL TABLE temp.reqs USING omni_probe('redis.omni', 'processCommand', 'c->id AS id',
**                                                   'c->argv[0]->ptr AS cmd TEXT');
**   SELECT cmd, count(*), max(ret_ev - ev) FROM reqs GROUP BY cmd;
**
** The calls come from probes in one replay, as those of omni_calls do. Expressions are evaluated in
** another one, which goes from call to call, as many at a time as one message has room for, and
** only when a column of theirs is read.
*/
#define _GNU_SOURCE /* memfd_create */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/answer.h"
#include "extensions/omni/listing.h"
#include "extensions/omni/probe_ask.h"
#include "extensions/omni/probe_kept.h"

enum {
  PROBE_SEQ,
  PROBE_EV,
  PROBE_TID,
  PROBE_MOMENT,
  PROBE_CALLER,
  PROBE_RET,
  PROBE_RET_EV,
  PROBE_FIXED
};
enum { FIRST_CHUNK = 16, LARGEST_CHUNK = 1024 };

static const VtColumn probe_columns[] = {
    [PROBE_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the calls as they happened"},
    [PROBE_EV] = {"ev", "INTEGER", VT_OUT, 0, "the last event before the call"},
    [PROBE_TID] = {"tid", "INTEGER", VT_OUT, 0, "thread, as it was numbered in the run"},
    [PROBE_MOMENT] = {"moment", "TEXT", VT_OUT, 0, "names this moment, as in omni_calls"},
    [PROBE_CALLER] = {"caller", "INTEGER", VT_OUT, 0, "address to which it returns"},
    [PROBE_RET] = {"ret", "INTEGER", VT_OUT, 0, "what it returned, as in omni_calls"},
    [PROBE_RET_EV] = {"ret_ev", "INTEGER", VT_OUT, 0, "the last event before it returned"},
};

typedef struct ProbeTab {
  VtTab base;
  const char *dir, *func;
  const char *key; /* all that is asked, as one text */
  int count;
  const char *exprs[PROBE_EXPRESSIONS];
  ProbeWant wants[PROBE_EXPRESSIONS];
} ProbeTab;

typedef struct ProbeCursor {
  VtCursor base;
  OmniSource *source;
  CallsAnswer *answer;
  uint64_t at;                       /* the row of the answer */
  uint64_t entry;                    /* how many calls came before */
  PackedBlock block, ahead, returns; /* of the row, of those asked about next, of a return */
  /* Calls whose expressions are there: from `first` on; the reader stands behind `read` of them. */
  uint64_t first, count, read;
  uint64_t size; /* of the next ones */
  CellReader cells;
} ProbeCursor;

/* ---- CREATE VIRTUAL TABLE -------------------------------------------------------------------- */

/* An SQL string without its quotes; anything else as it is. NULL: no memory. */
static char *unquote(Arena *arena, const char *text) {
  char *out = arena_strdup(arena, text), *to = out;
  if (!out || *text != '\'') return out;
  for (const char *at = text + 1; *at && !(at[0] == '\'' && at[1] != '\''); at++) {
    *to++ = *at;
    at += *at == '\'';
  }
  *to = 0;
  return out;
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c & 0x80; }

/* The last AS between words, outside of quotes; NULL: none. */
static char *find_as(char *text) {
  char *found = NULL, quote = 0;
  for (char *at = text; *at; at++) {
    if (quote) {
      if (*at == '\\' && at[1])
        at++;
      else if (*at == quote)
        quote = 0;
    } else if (*at == '"' || *at == '\'') {
      quote = *at;
    } else if ((at[0] | 0x20) == 'a' && (at[1] | 0x20) == 's' && at[2] == ' ' &&
               (at == text || !is_word(at[-1]))) {
      found = at;
    }
  }
  return found;
}

static char *trim(char *text) {
  while (*text == ' ') text++;
  for (char *end = text + strlen(text); end > text && end[-1] == ' ';) *--end = 0;
  return text;
}

/* "expression AS name TYPE" */
static int add_column(ProbeTab *tab, VtColumn *columns, const char *arg) {
  VtTab *base = &tab->base;
  char *text = unquote(&base->arena, arg), *as = text ? find_as(text) : NULL, *type = NULL;
  if (!text) return SQLITE_NOMEM;
  char *name = as ? trim(as + 2) : text;
  if (as) {
    const bool quoted = *name == '"';
    *as = 0;
    name += quoted;
    type = strchr(name, quoted ? '"' : ' ');
    if (type) *type++ = 0;
  }
  text = trim(text);
  if (!*text || !*name)
    return vt_fail(base, SQLITE_ERROR, "'expression AS name TYPE', not %s", arg);
  for (int i = 0; i < PROBE_FIXED + tab->count; i++) {
    if (sqlite3_stricmp(columns[i].name, name) == 0) {
      return vt_fail(base, SQLITE_ERROR, "there are two columns \"%s\"", name);
    }
  }
  type = type ? trim(type) : "";
  columns[PROBE_FIXED + tab->count] =
      (VtColumn){.name = name, .type = type, .flags = VT_OUT, .doc = text};
  tab->exprs[tab->count] = text;
  tab->wants[tab->count] = !sqlite3_stricmp(type, "TEXT")      ? PROBE_TEXT
                           : !sqlite3_stricmp(type, "INTEGER") ? PROBE_INTEGER
                                                               : PROBE_ANY;
  tab->count++;
  return SQLITE_OK;
}

static bool make_key(ProbeTab *tab) {
  Text key = {0};
  text_addf(&key, "%zu:%s", strlen(tab->func), tab->func);
  for (int i = 0; i < tab->count; i++) {
    text_addf(&key, "%d:%zu:%s", (int)tab->wants[i], strlen(tab->exprs[i]), tab->exprs[i]);
  }
  tab->key = key.oom ? NULL : arena_strdup(&tab->base.arena, text_get(&key));
  text_finish(&key);
  return tab->key != NULL;
}

static int probe_connect(VtTab *base, const VtCreate *create) {
  ProbeTab *tab = (ProbeTab *)base;
  const int count = create->nargs - 2;
  if (count < 1) {
    return vt_fail(base, SQLITE_ERROR, "USING omni_probe(recording, function, expression ...)");
  }
  if (count > PROBE_EXPRESSIONS) {
    return vt_fail(base, SQLITE_TOOBIG, "%d expressions, the limit is %d", count,
                   PROBE_EXPRESSIONS);
  }
  VtColumn *columns = arena_array(&base->arena, PROBE_FIXED + (size_t)count, sizeof *columns);
  tab->dir = unquote(&base->arena, create->args[0]);
  tab->func = unquote(&base->arena, create->args[1]);
  if (!columns || !tab->dir || !tab->func) return SQLITE_NOMEM;
  memcpy(columns, probe_columns, sizeof probe_columns);
  int rc = SQLITE_OK;
  for (int i = 0; i < count && rc == SQLITE_OK; i++) {
    rc = add_column(tab, columns, create->args[2 + i]);
  }
  base->cols = columns;
  base->ncols = PROBE_FIXED + tab->count;
  return rc == SQLITE_OK && !make_key(tab) ? SQLITE_NOMEM : rc;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static uint64_t word_at(const ProbeCursor *cur, const PackedBlock *block, uint64_t at,
                        RowColumn column) {
  const unsigned word = cur->answer->rows.layout.word[column];
  return packed_get(&block->words[word], at - block->first);
}
static uint64_t word_of(const ProbeCursor *cur, RowColumn column) {
  return word_at(cur, &cur->block, cur->at, column);
}

/* The site of a row, if it is a call. */
static const CallSite *site_at(const ProbeCursor *cur, const PackedBlock *block, uint64_t at) {
  const uint64_t tag = packed_get(&block->words[0], at - block->first);
  if (row_kind(tag) != ROW_ENTRY || row_site(tag) >= cur->answer->nsites) return NULL;
  return &cur->answer->sites[row_site(tag)];
}

/* From row *at on to the next call, in *block. NULL with fault->code 0: there is none. */
static const CallSite *find_call(ProbeCursor *cur, uint64_t *at, PackedBlock *block, Fault *fault) {
  const Packed *rows = &cur->answer->rows;
  for (; *at < rows->rows; ++*at) {
    if (*at < block->first || *at >= block->end) {
      if (vt_poll(&cur->base.poll) != SQLITE_OK) {
        fault_set(fault, FAULT_INTERRUPT, "interrupted");
        return NULL;
      }
      if (!packed_seek(rows, *at, block, fault)) return NULL;
    }
    const CallSite *site = site_at(cur, block, *at);
    if (site) return site;
  }
  return NULL;
}

/* From row cur->at on to the next call. */
static int stand(ProbeCursor *cur) {
  Fault fault = {0};
  cur->base.eof = !find_call(cur, &cur->at, &cur->block, &fault);
  return fault.code ? vt_fault(cur->base.tab, &fault) : SQLITE_OK;
}

static int probe_seek(VtCursor *base, const VtPlan *plan) {
  ProbeCursor *cur = (ProbeCursor *)base;
  const ProbeTab *tab = (const ProbeTab *)base->tab;
  Fault fault = {0};
  Ask *ask = arena_alloc(&base->arena, sizeof *ask);
  cur->cells.fd = -1;
  cur->at = cur->entry = cur->first = cur->count = 0;
  cur->block.end = cur->ahead.end = cur->returns.end = 0;
  cur->size = FIRST_CHUNK;
  if (!ask) return SQLITE_NOMEM;
  if (!omni_source_open(vt_state(base->tab->conn), tab->dir, &cur->source, &fault)) {
    return vt_fault(base->tab, &fault);
  }
  ask->dir = cur->source->path;
  ask->module = "";
  ask->nnames = 1;
  ask->names[0].text = tab->func;
  ask->last = UINT64_MAX;
  ask->columns = 1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT | 1u << ROW_CALLER;
  ask->returns = (plan->used >> PROBE_RET & 3) != 0;
  if (ask->returns) ask->columns |= 1u << ROW_RSP;
  if (!answer_get(base->tab->conn, &base->poll, cur->source, ask, &cur->answer, &fault)) {
    return vt_fault(base->tab, &fault);
  }
  return stand(cur);
}

static int probe_step(VtCursor *base) {
  ProbeCursor *cur = (ProbeCursor *)base;
  cur->at++;
  cur->entry++;
  return stand(cur);
}

static void probe_done(VtCursor *base) {
  ProbeCursor *cur = (ProbeCursor *)base;
  cells_close(&cur->cells);
  answer_release(cur->answer);
  omni_source_release(vt_state(base->tab->conn), cur->source);
  cur->answer = NULL;
  cur->source = NULL;
}

/* ---- expressions ----------------------------------------------------------------------------- */

/* The question: the expressions, and moments from where the cursor stands. */
static bool put_question(ProbeCursor *cur, Wire *wire, Fault *fault) {
  const ProbeTab *tab = (const ProbeTab *)cur->base.tab;
  wire_begin(wire, WIRE_PROBE);
  wire_put_text(wire, cur->source->path);
  wire_put_u32(wire, (uint32_t)tab->count);
  for (int i = 0; i < tab->count; i++) {
    wire_put_u32(wire, tab->wants[i]);
    wire_put_text(wire, tab->exprs[i]);
  }
  cur->first = cur->entry;
  cur->count = cur->read = 0;
  const CallSite *site;
  uint64_t at = cur->at;
  for (; cur->count < cur->size && (site = find_call(cur, &at, &cur->ahead, fault)); at++) {
    if (!site->addr) {
      return fault_set(fault, FAULT_UNSUPPORTED,
                       "%s is at different addresses in several processes", site->name);
    }
    wire_put_u32(wire, 1); /* another one */
    wire_put_u64(wire, word_at(cur, &cur->ahead, at, ROW_EV));
    wire_put_u32(wire, (uint32_t)word_at(cur, &cur->ahead, at, ROW_TID));
    wire_put_u64(wire, site->addr);
    wire_put_u64(wire, word_at(cur, &cur->ahead, at, ROW_HIT));
    cur->count++;
  }
  if (fault->code) return false;
  wire_put_u32(wire, 0);
  if (cur->size < LARGEST_CHUNK) cur->size *= 4;
  return true;
}

/* Those that an earlier scan has fetched. */
static bool fetch_kept(ProbeCursor *cur) {
  const ProbeTab *tab = (const ProbeTab *)cur->base.tab;
  KeptCells kept;
  CellReader reader;
  if (!probe_kept_open(vt_state(cur->base.tab->conn), cur->source, tab->key, cur->entry, tab->count,
                       &kept, &reader)) {
    return false;
  }
  cells_close(&cur->cells);
  cur->cells = reader;
  cur->first = kept.first;
  cur->count = kept.count;
  cur->read = 0;
  return true;
}

static bool fetch(ProbeCursor *cur, Fault *fault) {
  VtConn *conn = cur->base.tab->conn;
  const ProbeTab *tab = (const ProbeTab *)cur->base.tab;
  const int width = tab->count;
  if (fetch_kept(cur)) return true;
  int fd = memfd_create("omni cells", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  Wire *wire = malloc(sizeof *wire);
  bool ok = wire ? put_question(cur, wire, fault) : fault_oom(fault);
  ok = ok && helper_question(conn, &cur->base.poll, cur->source, wire, fd, fault);
  const uint64_t rows = ok ? wire_get_u64(wire) : 0;
  ok = ok && wire_end(wire, fault);
  free(wire);
  if (ok && rows != cur->count) {
    ok = fault_set(fault, FAULT_INTERNAL, "%" PRIu64 " moments, %" PRIu64 " answers", cur->count,
                   rows);
  }
  cells_close(&cur->cells);
  cur->cells.fd = -1;
  if (!ok) {
    close(fd);
    return false;
  }
  probe_kept_add(vt_state(conn), cur->source, tab->key, cur->first, cur->count, fd);
  cells_open(&cur->cells, fd, width, rows);
  return true;
}

/* The reader stands on the expressions of this call. */
static bool reach(ProbeCursor *cur, Fault *fault) {
  bool more = true;
  if (cur->entry >= cur->first + cur->count && !fetch(cur, fault)) return false;
  while (more && cur->read <= cur->entry - cur->first) {
    if (!cells_next(&cur->cells, &more, fault)) return false;
    cur->read++;
  }
  return more || fault_set(fault, FAULT_CORRUPT, "an answer that ends too early");
}

/* ---- columns --------------------------------------------------------------------------------- */

static void result_moment(const ProbeCursor *cur, sqlite3_context *ctx) {
  const CallSite *site = site_at(cur, &cur->block, cur->at);
  char text[96];
  if (!site || !site->addr) return;
  snprintf(text, sizeof text, "%" PRIu64 ":%" PRId64 ":0x%" PRIx64 ":%" PRIu64,
           word_of(cur, ROW_EV), (int64_t)word_of(cur, ROW_TID), site->addr, word_of(cur, ROW_HIT));
  sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static bool result_return(ProbeCursor *cur, RowColumn column, sqlite3_context *ctx, Fault *fault) {
  const CallsAnswer *answer = cur->answer;
  const uint32_t at = answer->returned ? answer->returned[cur->at] : NO_ROW;
  uint64_t value;
  if (at == NO_ROW) return true;
  const unsigned word = answer->rows.layout.word[column];
  if (!packed_at(&answer->rows, at, word, &cur->returns, &value, fault)) return false;
  sqlite3_result_int64(ctx, (sqlite3_int64)value);
  return true;
}

static int probe_column(VtCursor *base, sqlite3_context *ctx, int col) {
  ProbeCursor *cur = (ProbeCursor *)base;
  Fault fault = {0};
  switch (col) {
  case PROBE_SEQ:
    sqlite3_result_int64(ctx, (sqlite3_int64)cur->entry + 1);
    break;
  case PROBE_EV:
    sqlite3_result_int64(ctx, (sqlite3_int64)word_of(cur, ROW_EV));
    break;
  case PROBE_TID:
    sqlite3_result_int64(ctx, (sqlite3_int64)word_of(cur, ROW_TID));
    break;
  case PROBE_MOMENT:
    result_moment(cur, ctx);
    break;
  case PROBE_CALLER:
    sqlite3_result_int64(ctx, (sqlite3_int64)word_of(cur, ROW_CALLER));
    break;
  case PROBE_RET:
    if (!result_return(cur, ROW_RET, ctx, &fault)) return vt_fault(base->tab, &fault);
    break;
  case PROBE_RET_EV:
    if (!result_return(cur, ROW_EV, ctx, &fault)) return vt_fault(base->tab, &fault);
    break;
  default:
    if (!reach(cur, &fault)) return vt_fault(base->tab, &fault);
    omni_result_cell(ctx, &cur->cells.cells[col - PROBE_FIXED]);
  }
  return SQLITE_OK;
}

static const VtError probe_errors[] = {
    {"column n: x", "an expression makes no sense in that function", "column counts its bytes"},
    {"there are two columns \"x\"",
     "seq, ev, tid, moment, caller, ret and ret_ev are there already",
     "name it otherwise: 'expression AS name'"},
    {0}};

const VtTable omni_probe_table = {
    .name = "omni_probe",
    .doc =
        "Every call of a function, with what C expressions are worth when it is entered. "
        "CREATE VIRTUAL TABLE temp.t USING omni_probe('DIR', 'FUNCTION', 'EXPRESSION AS NAME "
        "TYPE', ...): TEXT makes a pointer the text that it points to, INTEGER an enumerator its "
        "number; what is not known is NULL, and omni_eval says why.",
    .needs = "replay",
    .errors = probe_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = probe_columns,
    .ncols = PROBE_FIXED,
    .rows = 1e5,
    .seek_cost = 1e6,
    .row_cost = 100,
    .order = (const VtOrder[]){{PROBE_SEQ, false}},
    .norder = 1,
    .wants_used = true,
    .created = true,
    .table_size = sizeof(ProbeTab),
    .cursor_size = sizeof(ProbeCursor),
    .connect = probe_connect,
    .seek = probe_seek,
    .step = probe_step,
    .column = probe_column,
    .done = probe_done,
};
