/*
** far_queue: a queue in far memory as a table. SELECT shows what waits, INSERT puts something
** behind it when the transaction commits, and far_pop() and far_take() take from the front, at
** once.
**
**   CREATE VIRTUAL TABLE jobs USING far_queue(payload TEXT(200), prio INTEGER, length=1000);
**   INSERT INTO jobs VALUES ('a', 1), ('b', 2);
**   SELECT far_pop('jobs');                           -- {"payload":"a","prio":1}
**   SELECT value FROM far_take('jobs', 10);
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { AT_ONCE = 64 };

/* ---- values ---------------------------------------------------------------------------------- */

static void add_value(const FarTab *tab, const unsigned char *element, int i, Text *out) {
  const FarColumn *column = &tab->record.columns[i];
  const unsigned char *bytes;
  uint64_t length;
  FarPointer block;
  double real;
  if (far_cell_null(&tab->record, element, i)) {
    text_add(out, "null");
  } else if (column->type == FAR_INTEGER) {
    text_addf(out, "%lld", (long long)far_cell_word(&tab->record, element, i));
  } else if (column->type == FAR_REAL) {
    memcpy(&real, element + column->at, sizeof real);
    text_add_real(out, real);
  } else if (!far_cell_bytes(&tab->record, element, i, &bytes, &length, &block) || block) {
    text_add(out, "null"); /* damaged */
  } else if (column->type == FAR_TEXT) {
    text_add_json(out, (const char *)bytes, length);
  } else { /* as hex() shows it */
    text_addc(out, '"');
    for (uint64_t j = 0; j < length; j++) text_addf(out, "%02X", bytes[j]);
    text_addc(out, '"');
  }
}

static void add_element(const FarTab *tab, const unsigned char *element, Text *out) {
  const FarRecord *record = &tab->record;
  if (record->ncolumns == 2) {
    add_value(tab, element, 1, out);
    return;
  }
  for (int i = 1; i < record->ncolumns; i++) {
    text_addc(out, i == 1 ? '{' : ',');
    text_add_json(out, record->columns[i].name, strlen(record->columns[i].name));
    text_addc(out, ':');
    add_value(tab, element, i, out);
  }
  text_addc(out, '}');
}

/* The value of a queue with one column is what it is; of others it is an object. */
int far_element_result(FarTab *tab, const unsigned char *element, sqlite3_context *ctx) {
  Text text = {0};
  if (tab->record.ncolumns == 2) return far_result(&tab->base, &tab->record, element, 1, NULL, ctx);
  add_element(tab, element, &text);
  vt_result_text(ctx, &text, true);
  text_finish(&text);
  return SQLITE_OK;
}

/* ---- what waits ------------------------------------------------------------------------------ */

typedef struct QueueCursor {
  VtCursor base;
  unsigned char *elements; /* AT_ONCE of them */
  uint64_t n, at;
  uint64_t next; /* ticket to go on from, 0: there is no more */
} QueueCursor;

static const unsigned char *element_of(const QueueCursor *cur) {
  const FarTab *tab = (FarTab *)cur->base.tab;
  return cur->elements + cur->at * tab->record.shape.stride;
}

static int read_some(QueueCursor *cur) {
  FarTab *tab = (FarTab *)cur->base.tab;
  Stop stop = {.asked = vt_asked, .ctx = &cur->base.poll};
  Fault fault = {0};
  cur->at = 0;
  if (!far_queue_peek(tab->queue, cur->next, AT_ONCE, cur->elements, &cur->n, &cur->next, &stop,
                      &fault))
    return vt_fault(&tab->base, &fault);
  cur->base.eof = cur->n == 0;
  return SQLITE_OK;
}

static int queue_seek(VtCursor *base, const VtPlan *plan) {
  QueueCursor *cur = (QueueCursor *)base;
  FarTab *tab = (FarTab *)base->tab;
  Stop stop = {.asked = vt_asked, .ctx = &base->poll};
  Fault fault = {0};
  (void)plan;
  if (!cur->elements && !(cur->elements = malloc(AT_ONCE * tab->record.shape.stride)))
    return SQLITE_NOMEM;
  if (!far_link_ready(tab->link, &stop, &fault)) return vt_fault(&tab->base, &fault);
  cur->next = 0;
  return read_some(cur);
}

static int queue_step(VtCursor *base) {
  QueueCursor *cur = (QueueCursor *)base;
  if (++cur->at < cur->n) return SQLITE_OK;
  base->eof = !cur->next;
  return base->eof ? SQLITE_OK : read_some(cur);
}

static int queue_column(VtCursor *base, sqlite3_context *ctx, int col) {
  FarTab *tab = (FarTab *)base->tab;
  return far_result(base->tab, &tab->record, element_of((QueueCursor *)base), col, NULL, ctx);
}

static sqlite3_int64 queue_rowid(VtCursor *base) {
  sqlite3_int64 ticket;
  memcpy(&ticket, element_of((QueueCursor *)base) + FAR_STAMP, sizeof ticket);
  return ticket;
}

static void queue_close(VtCursor *base) { free(((QueueCursor *)base)->elements); }

static int queue_connect(VtTab *base, const VtCreate *create) {
  return far_tab_connect((FarTab *)base, FAR_KIND_QUEUE, create);
}

/* ---- putting --------------------------------------------------------------------------------- */

static int queue_insert(VtTab *base, sqlite3_value *key, sqlite3_value **columns,
                        sqlite3_int64 *rowid) {
  FarTab *tab = (FarTab *)base;
  const FarRecord *record = &tab->record;
  Fault fault = {0};
  if (sqlite3_value_type(key) != SQLITE_NULL || sqlite3_value_type(columns[0]) != SQLITE_NULL)
    return vt_fail(base, SQLITE_CONSTRAINT, "what is put gets the ticket that is next, not %s",
                   sqlite3_value_text(sqlite3_value_type(key) == SQLITE_NULL ? columns[0] : key));
  unsigned char *element = calloc(1, record->shape.stride);
  int rc = element ? SQLITE_OK : SQLITE_NOMEM;
  for (int i = 1; rc == SQLITE_OK && i < record->ncolumns; i++)
    rc = far_put_value(tab, element, i, columns[i], NULL);
  if (rc == SQLITE_OK &&
      !far_txn_push(tab->link->txn, tab->queue, element + FAR_STAMP + record->shape.key, &fault))
    rc = vt_fault(base, &fault);
  free(element);
  *rowid = 0; /* not known before the commit */
  return rc;
}

static int queue_update(VtTab *base, sqlite3_value *old_key, sqlite3_value *new_key,
                        sqlite3_value **columns) {
  (void)old_key, (void)new_key, (void)columns;
  return vt_fail(base, SQLITE_READONLY, "what waits in a queue cannot be changed");
}

static int queue_remove(VtTab *base, sqlite3_value *key) {
  (void)key;
  return vt_fail(base, SQLITE_READONLY,
                 "what waits in a queue is taken by far_pop() or far_take(), not by DELETE");
}

static const VtWriter queue_writer = {
    .insert = queue_insert,
    .update = queue_update,
    .remove = queue_remove,
    FAR_TAB_TRANSACTION,
};

const VtTable far_queue_table = {
    .name = "far_queue",
    .doc =
        "A queue in far memory: SELECT shows what waits and takes nothing, INSERT puts behind it "
        "when its transaction commits, far_pop() and far_take() take at once.",
    .needs = "remote",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 1000,
    .seek_cost = 200,
    .table_size = sizeof(FarTab),
    .cursor_size = sizeof(QueueCursor),
    .created = true,
    .connect = queue_connect,
    .disconnect = far_tab_disconnect,
    .destroy = far_tab_destroy,
    .rename = far_tab_rename,
    .is_shadow = far_tab_is_shadow,
    .seek = queue_seek,
    .step = queue_step,
    .column = queue_column,
    .rowid = queue_rowid,
    .close = queue_close,
    .writer = &queue_writer,
};

/* ---- taking ---------------------------------------------------------------------------------- */

/* Takes up to n elements: malloc'ed, or NULL after func_fail(). What was taken before something
** went wrong is told; the failure, the next time. */
static unsigned char *pop_some(sqlite3_context *ctx, FarTab *tab, uint64_t n, uint64_t *out_n) {
  VtPoll poll = vt_poll_begin(vt_conn(ctx));
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  Fault fault = {0};
  unsigned char *out = malloc((n ? n : 1) * tab->record.shape.stride);
  bool ok = out || fault_oom(&fault);
  ok = ok && far_link_ready(tab->link, &stop, &fault);
  *out_n = 0;
  while (ok && *out_n < n) {
    uint64_t more = 0;
    ok = far_queue_pop(tab->queue, n - *out_n, out + *out_n * tab->record.shape.stride, &more,
                       &stop, &fault);
    *out_n += more;
    if (!more) break;
  }
  vt_poll_end(&poll);
  if (ok || *out_n) return out;
  func_fault(ctx, &fault);
  free(out);
  return NULL;
}

enum { MOST_POPPED = 100000 };

void far_pop(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  FarTab *tab = far_tab_find(ctx, argv[0], FAR_KIND_QUEUE);
  const sqlite3_int64 n = argc > 1 ? sqlite3_value_int64(argv[1]) : 1;
  uint64_t taken;
  Text text = {0};
  if (!tab) return;
  if (n < 0 || n > MOST_POPPED) {
    func_fail(ctx, SQLITE_RANGE, "0 to %d elements, not %lld", MOST_POPPED, (long long)n);
    return;
  }
  unsigned char *elements = pop_some(ctx, tab, (uint64_t)n, &taken);
  if (!elements) return;
  if (argc == 1) {
    if (taken) far_element_result(tab, elements, ctx);
  } else {
    text_addc(&text, '[');
    for (uint64_t i = 0; i < taken; i++) {
      if (i) text_addc(&text, ',');
      add_element(tab, elements + i * tab->record.shape.stride, &text);
    }
    text_addc(&text, ']');
    vt_result_text(ctx, &text, true);
    text_finish(&text);
  }
  free(elements);
}
