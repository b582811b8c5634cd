/*
** far_map and far_vector: maps and vectors in far memory as tables.
**
**   CREATE VIRTUAL TABLE users USING far_map(id INTEGER PRIMARY KEY, score REAL, name TEXT(40),
**                                            at='shm:demo');
**   SELECT name FROM users WHERE id IN (SELECT uid FROM recent);     -- one round, not one per row
**   CREATE VIRTUAL TABLE hist USING far_vector(n INTEGER, at='shm:demo', length=1000);
**   UPDATE hist SET n = 5 WHERE i = 7;
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { AT_ONCE = 512 }; /* keys that are looked for in one round */

/* Room for rows by their keys. A cursor lives as long as a statement runs, and a look-up is shorter
** than what malloc() takes: the room is left to the next cursor of the table. */
typedef struct FarRoom {
  unsigned char *keys; /* sorted, each once */
  size_t keys_capacity;
  unsigned char *elements; /* of the last AT_ONCE keys, each with the key's stride */
  FarSeen *seens;
  bool *there;
  size_t capacity; /* of the last three */
  FarBrought brought;
} FarRoom;

typedef struct MapCursor {
  VtCursor base;
  /* Rows by their keys: those of a list, in order. */
  FarRoom *room;
  size_t nkeys, next_key;
  size_t count, at;
  bool by_key, reverse;
  uint64_t used; /* columns */
  bool whole;    /* all of a row is kept, whatever columns are used */
  /* Rows in order. */
  FarScan *scan;
  const unsigned char *element; /* the row */
  FarSeen seen;
  unsigned char *own; /* an element that the transaction made */
} MapCursor;

static FarTab *tab_of(const MapCursor *cur) { return (FarTab *)cur->base.tab; }

static Stop stop_of(MapCursor *cur) { return (Stop){.asked = vt_asked, .ctx = &cur->base.poll}; }

static void free_room(FarRoom *room) {
  if (!room) return;
  free(room->keys);
  free(room->elements);
  free(room->seens);
  free(room->there);
  far_brought_free(&room->brought);
  free(room);
}

/* ---- the table's life ------------------------------------------------------------------------ */

static int map_connect(VtTab *base, const VtCreate *create) {
  return far_tab_connect((FarTab *)base, FAR_KIND_MAP, create);
}

static int vector_connect(VtTab *base, const VtCreate *create) {
  return far_tab_connect((FarTab *)base, FAR_KIND_VECTOR, create);
}

static void map_disconnect(VtTab *base) {
  free_room(((FarTab *)base)->room);
  far_tab_disconnect(base);
}

/* One round finds what one round finds: a key or a list of them, or some buckets of a range. */
static void map_estimate(VtTab *base, const VtPlan *plan, double *rows, double *cost) {
  const FarTab *tab = (FarTab *)base;
  const double all = far_map_rows(tab->map) > 0 ? (double)far_map_rows(tab->map) : 1;
  enum { ROUND = 100 };
  double share = 1;
  bool point = false, list = false;
  for (int i = 0; i < plan->nterms; i++) {
    point = point || plan->terms[i].op == VT_OP_EQ;
    list = list || plan->terms[i].op == VT_OP_IN;
    share /= 4;
  }
  *rows = point ? 1 : list ? (all < 25 ? all : 25) : all * share;
  const double buckets = *rows / 40;
  *cost = point || list ? ROUND + *rows : ROUND * (1 + buckets / 16) + *rows;
}

/* ---- rows by their keys ---------------------------------------------------------------------- */

static bool take_room(MapCursor *cur) {
  FarTab *tab = tab_of(cur);
  if (cur->room) return true;
  cur->room = tab->room ? tab->room : calloc(1, sizeof *cur->room);
  tab->room = NULL;
  return cur->room != NULL;
}

static bool add_key(MapCursor *cur, sqlite3_value *value) {
  const FarRecord *record = &tab_of(cur)->record;
  const size_t size = record->shape.key;
  FarRoom *room = cur->room;
  bool none;
  if (cur->nkeys + 1 > room->keys_capacity) {
    const size_t more = room->keys_capacity ? 2 * room->keys_capacity : 16;
    unsigned char *keys = realloc(room->keys, more * size);
    if (!keys) return false;
    room->keys = keys;
    room->keys_capacity = more;
  }
  far_key_of_value(record, value, room->keys + cur->nkeys * size, &none);
  cur->nkeys += !none;
  return true;
}

/* SQLite sorts most lists itself. */
static bool are_sorted(const MapCursor *cur) {
  const FarShape *shape = &tab_of(cur)->record.shape;
  const unsigned char *keys = cur->room->keys;
  for (size_t i = 1; i < cur->nkeys; i++) {
    const int sign = far_key_compare(shape, keys + (i - 1) * shape->key, keys + i * shape->key);
    if (cur->reverse ? sign <= 0 : sign >= 0) return false;
  }
  return true;
}

/* Shell sort with Ciura's gaps: keys have any size, and lists are short. */
static void sort_keys(MapCursor *cur) {
  const FarShape *shape = &tab_of(cur)->record.shape;
  static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
  unsigned char held[FAR_MOST_KEY], *keys = cur->room->keys;
  const size_t size = shape->key;
  for (size_t g = 0; g < countof(gaps); g++) {
    for (size_t i = gaps[g]; i < cur->nkeys; i++) {
      size_t at = i;
      memcpy(held, keys + i * size, size);
      for (; at >= gaps[g]; at -= gaps[g]) {
        unsigned char *before = keys + (at - gaps[g]) * size;
        const int sign = far_key_compare(shape, before, held);
        if (cur->reverse ? sign >= 0 : sign <= 0) break;
        memcpy(keys + at * size, before, size);
      }
      memcpy(keys + at * size, held, size);
    }
  }
  size_t n = 0;
  for (size_t i = 0; i < cur->nkeys; i++) {
    if (n && !far_key_compare(shape, keys + (n - 1) * size, keys + i * size)) continue;
    memmove(keys + n++ * size, keys + i * size, size);
  }
  cur->nkeys = n;
}

static bool make_room(FarRoom *room, const FarShape *shape, size_t n) {
  if (n <= room->capacity) return true;
  free(room->elements);
  free(room->seens);
  free(room->there);
  room->elements = malloc(n * shape->stride);
  room->seens = malloc(n * sizeof *room->seens);
  room->there = malloc(n * sizeof *room->there);
  room->capacity = room->elements && room->seens && room->there ? n : 0;
  return room->capacity > 0;
}

/* A key as the transaction has it, if it has. */
static bool overlay(FarTab *tab, const unsigned char *key, unsigned char *element, FarSeen *seen,
                    bool *there) {
  const FarShape *shape = &tab->record.shape;
  const unsigned char *value;
  if (!tab->link->txn || !far_txn_look(tab->link->txn, tab->map, key, &value, seen)) return false;
  *there = value != NULL;
  if (!value) return true;
  memset(element, 0, FAR_STAMP);
  memcpy(element + FAR_STAMP, key, shape->key);
  memcpy(element + FAR_STAMP + shape->key, value, shape->stride - FAR_STAMP - shape->key);
  return true;
}

/* What is found goes to the places of the keys in the room; NULL: in their order. */
static void put_found(MapCursor *cur, const FarFound *found, const size_t *places, size_t n,
                      int64_t read_at) {
  FarTab *tab = tab_of(cur);
  FarRoom *room = cur->room;
  const FarShape *shape = &tab->record.shape;
  for (size_t i = 0; i < n; i++) {
    const size_t place = places ? places[i] : i;
    const unsigned char *key = room->keys + (cur->next_key + place) * shape->key;
    unsigned char *element = room->elements + place * shape->stride;
    room->there[place] = found[i].element != NULL;
    room->seens[place] = far_seen(&found[i]);
    if (found[i].element) memcpy(element, found[i].element, room->brought.wanted);
    if (places) far_kept_put(tab, key, found[i].element, &room->seens[place], read_at);
    if (!overlay(tab, key, element, &room->seens[place], &room->there[place]))
      far_brought_take(&room->brought, place, &found[i]);
  }
}

/* Those of the next n keys that are kept are put into the room, the others gathered, with their
** places: how many. */
static size_t use_kept(MapCursor *cur, size_t n, unsigned char *keys, size_t *places) {
  FarTab *tab = tab_of(cur);
  FarRoom *room = cur->room;
  const FarShape *shape = &tab->record.shape;
  const unsigned char *key = room->keys + cur->next_key * shape->key;
  size_t asked = 0;
  for (size_t i = 0; i < n; i++, key += shape->key) {
    const unsigned char *element;
    if (far_kept_get(tab, key, &element, &room->seens[i])) {
      room->there[i] = element != NULL;
      if (element) memcpy(room->elements + i * shape->stride, element, shape->stride);
    } else {
      memcpy(keys + asked * shape->key, key, shape->key);
      places[asked++] = i;
    }
  }
  return asked;
}

/* The next n keys of a table that keeps rows: a round if it has not all of them. */
static bool read_unless_kept(MapCursor *cur, size_t n, FarFound *found, Stop *stop, Fault *fault) {
  FarTab *tab = tab_of(cur);
  unsigned char one[FAR_MOST_KEY], *keys = n == 1 ? one : malloc(n * tab->record.shape.key);
  size_t first, *places = n == 1 ? &first : malloc(n * sizeof *places);
  bool ok = (keys && places) || fault_oom(fault);
  const size_t asked = ok ? use_kept(cur, n, keys, places) : 0;
  const int64_t read_at = clock_now();
  ok = ok && (!asked || far_map_find(tab->map, keys, asked, found, stop, fault));
  if (ok) put_found(cur, found, places, asked, read_at);
  if (n > 1) {
    free(keys);
    free(places);
  }
  return ok;
}

static int read_keys(MapCursor *cur) {
  FarTab *tab = tab_of(cur);
  const FarShape *shape = &tab->record.shape;
  FarRoom *room = cur->room;
  const size_t left = cur->nkeys - cur->next_key, n = left < AT_ONCE ? left : AT_ONCE;
  Stop stop = stop_of(cur);
  FarFound one, *found = n == 1 ? &one : malloc(n * sizeof *found);
  Fault fault;
  fault_clear(&fault);
  if (!found || !make_room(room, shape, n)) {
    if (found != &one) free(found);
    return SQLITE_NOMEM;
  }
  const unsigned char *keys = room->keys + cur->next_key * shape->key;
  bool ok = far_brought_begin(&room->brought, tab, cur->used, cur->whole, n);
  if (ok && tab->kept_rows.ns) {
    ok = read_unless_kept(cur, n, found, &stop, &fault);
  } else if (ok) {
    ok = far_map_find(tab->map, keys, n, found, &stop, &fault);
    if (ok) put_found(cur, found, NULL, n, 0);
  }
  far_map_bring(tab->map, 0, NULL, 0, 0);
  if (found != &one) free(found);
  cur->count = n;
  cur->at = 0;
  cur->next_key += n;
  return ok ? SQLITE_OK : fault.code ? vt_fault(&tab->base, &fault) : SQLITE_NOMEM;
}

static int next_by_key(MapCursor *cur) {
  for (;;) {
    if (cur->at == cur->count) {
      cur->base.eof = cur->next_key == cur->nkeys;
      if (cur->base.eof) return SQLITE_OK;
      const int rc = read_keys(cur);
      if (rc != SQLITE_OK) return rc;
      continue;
    }
    const size_t i = cur->at++;
    if (!cur->room->there[i]) continue;
    cur->element = cur->room->elements + i * tab_of(cur)->record.shape.stride;
    cur->seen = cur->room->seens[i];
    return SQLITE_OK;
  }
}

static int seek_keys(MapCursor *cur, const VtTerm *term) {
  bool started = false;
  int rc = SQLITE_OK;
  cur->nkeys = cur->next_key = cur->count = cur->at = 0;
  if (!take_room(cur)) return SQLITE_NOMEM;
  if (term->op == VT_OP_EQ) return add_key(cur, term->value) ? SQLITE_OK : SQLITE_NOMEM;
  for (sqlite3_value *value; (value = vt_in_next(term, &started, &rc));)
    if (!add_key(cur, value)) return SQLITE_NOMEM;
  if (rc == SQLITE_OK && !are_sorted(cur)) sort_keys(cur);
  return rc;
}

/* ---- rows in order --------------------------------------------------------------------------- */

/* The bounds of a text key, which may let too much through: a text that is longer than any key is
** cut. False: nothing is between them. */
static bool text_bounds(FarTab *tab, const VtPlan *plan, unsigned char *low, bool *has_low,
                        unsigned char *high, bool *has_high) {
  const FarColumn *key = &tab->record.columns[tab->record.key];
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    const bool is_low = term->op == VT_OP_GT || term->op == VT_OP_GE;
    if (term->op == VT_OP_IN || term->op == VT_OP_EQ) continue;
    if (sqlite3_value_type(term->value) == SQLITE_BLOB) { /* above all texts */
      if (is_low) return false;
      continue;
    }
    unsigned char bound[FAR_MOST_KEY] = {0};
    const void *text = sqlite3_value_text(term->value);
    uint32_t length = (uint32_t)sqlite3_value_bytes(term->value);
    if (!text) continue;
    if (length > key->room) length = key->room;
    bound[0] = (unsigned char)length;
    bound[1] = (unsigned char)(length >> 8);
    memcpy(bound + 2, text, length);
    unsigned char *out = is_low ? low : high;
    bool *has = is_low ? has_low : has_high;
    const int sign = *has ? far_key_compare(&tab->record.shape, bound, out) : 0;
    if (!*has || (is_low ? sign > 0 : sign < 0)) memcpy(out, bound, tab->record.shape.key);
    *has = true;
  }
  return true;
}

static bool bounds(FarTab *tab, const VtPlan *plan, unsigned char *low, bool *has_low,
                   unsigned char *high, bool *has_high) {
  sqlite3_int64 from, to;
  if (tab->record.columns[tab->record.key].type == FAR_TEXT)
    return text_bounds(tab, plan, low, has_low, high, has_high);
  if (!vt_int_range(plan, tab->record.key, &from, &to)) return false;
  memcpy(low, &from, sizeof from);
  memcpy(high, &to, sizeof to);
  *has_low = from != INT64_MIN;
  *has_high = to != INT64_MAX;
  return true;
}

static int next_in_order(MapCursor *cur) {
  FarTab *tab = tab_of(cur);
  Stop stop = stop_of(cur);
  Fault fault;
  fault_clear(&fault);
  if (!far_scan_next(cur->scan, &cur->element, &cur->seen, &stop, &fault))
    return vt_fault(&tab->base, &fault);
  cur->base.eof = cur->element == NULL;
  return SQLITE_OK;
}

static int seek_range(MapCursor *cur, const VtPlan *plan) {
  FarTab *tab = tab_of(cur);
  unsigned char low[FAR_MOST_KEY], high[FAR_MOST_KEY];
  bool has_low = false, has_high = false;
  Fault fault;
  fault_clear(&fault);
  Stop stop = stop_of(cur);
  if (!bounds(tab, plan, low, &has_low, high, &has_high)) {
    cur->base.eof = true;
    return SQLITE_OK;
  }
  if (!cur->scan && !(cur->scan = far_scan_begin(tab->map, &fault)))
    return vt_fault(&tab->base, &fault);
  far_scan_bring(cur->scan, cur->whole ? 0 : far_prefix_of(&tab->record, cur->used));
  const uint64_t expected = plan->limit == INT64_MAX ? UINT64_MAX : (uint64_t)plan->limit;
  if (!far_scan_seek(cur->scan, tab->link->txn, has_low ? low : NULL, has_high ? high : NULL,
                     cur->reverse, expected, &stop, &fault))
    return vt_fault(&tab->base, &fault);
  return next_in_order(cur);
}

/* ---- the scan -------------------------------------------------------------------------------- */

/* What a statement that writes has read is what it may change; whole, since it began before. */
static int keep(MapCursor *cur) {
  FarTab *tab = tab_of(cur);
  if (cur->base.eof || !cur->whole || !tab->link->txn || !tab->base.began) return SQLITE_OK;
  Fault fault = {0};
  if (far_reads_add(tab, cur->element + FAR_STAMP, &cur->seen, cur->element, &fault))
    return SQLITE_OK;
  return vt_fault(&tab->base, &fault);
}

static int map_seek(VtCursor *base, const VtPlan *plan) {
  MapCursor *cur = (MapCursor *)base;
  const int key = tab_of(cur)->record.key;
  const VtTerm *term = vt_term(plan, key, VT_OP_EQ);
  if (!term) term = vt_term(plan, key, VT_OP_IN);
  cur->by_key = term != NULL;
  cur->reverse = plan->reverse;
  cur->used = plan->used;
  cur->whole = base->tab->began || tab_of(cur)->kept_rows.ns;
  cur->element = NULL;
  FarMap *map = tab_of(cur)->map;
  /* What a transaction is about to change is not taken from what is kept. */
  if (map->vector) far_vector_ask(map, tab_of(cur)->link->txn && base->tab->began);
  Stop stop = stop_of(cur);
  Fault fault;
  fault_clear(&fault);
  if (!far_link_ready(tab_of(cur)->link, &stop, &fault)) return vt_fault(base->tab, &fault);
  int rc = term ? seek_keys(cur, term) : seek_range(cur, plan);
  if (rc == SQLITE_OK && term) rc = next_by_key(cur);
  return rc == SQLITE_OK ? keep(cur) : rc;
}

static int map_next(sqlite3_vtab_cursor *base) {
  MapCursor *cur = (MapCursor *)base;
  const int rc = cur->by_key ? next_by_key(cur) : next_in_order(cur);
  return rc == SQLITE_OK ? keep(cur) : rc;
}

/* A cell out of line. Was its row changed since it was read, what is there may be anything. */
static int far_column(MapCursor *cur, sqlite3_context *ctx, int col, FarPointer block,
                      uint64_t length) {
  FarTab *tab = tab_of(cur);
  const void *here =
      cur->by_key ? far_brought(&cur->room->brought, cur->at - 1, col, length) : NULL;
  if (here) return far_result(&tab->base, &tab->record, cur->element, col, here, ctx);
  Fault fault = {0};
  Stop stop = stop_of(cur);
  void *bytes;
  bool changed;
  const FarPointer bucket = cur->seen.stamp ? cur->seen.bucket : 0;
  if (!far_read_block(tab, bucket, cur->seen.version, block, length, &bytes, &changed, &stop,
                      &fault))
    return vt_fault(&tab->base, &fault);
  if (changed) { /* the bucket; perhaps another row of it */
    FarFound found;
    const uint64_t stamp = cur->seen.stamp;
    if (!far_map_find(tab->map, cur->element + FAR_STAMP, 1, &found, &stop, &fault)) {
      free(bytes);
      return vt_fault(&tab->base, &fault);
    }
    changed = found.stamp != stamp;
  }
  if (changed) {
    free(bytes);
    return vt_fail(&tab->base, SQLITE_BUSY_SNAPSHOT,
                   "a row was changed by another client while it was read");
  }
  const int rc = far_result(&tab->base, &tab->record, cur->element, col, bytes, ctx);
  free(bytes);
  return rc;
}

static int map_value(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  MapCursor *cur = (MapCursor *)base;
  FarTab *tab = tab_of(cur);
  uint64_t length;
  if (far_result_in_line(&tab->record, cur->element, col, ctx)) return SQLITE_OK;
  const FarPointer block = far_cell_block(&tab->record, cur->element, col, &length);
  if (!block) return far_result(&tab->base, &tab->record, cur->element, col, NULL, ctx);
  if (sqlite3_vtab_nochange(ctx)) return SQLITE_OK; /* an UPDATE that leaves it alone */
  return far_column(cur, ctx, col, block, length);
}

static sqlite3_int64 map_rowid(VtCursor *base) {
  sqlite3_int64 key = 0;
  memcpy(&key, ((MapCursor *)base)->element + FAR_STAMP, sizeof key);
  return key;
}

static void map_close(VtCursor *base) {
  MapCursor *cur = (MapCursor *)base;
  FarTab *tab = tab_of(cur);
  far_scan_end(cur->scan);
  if (tab->room) {
    free_room(cur->room);
  } else {
    tab->room = cur->room;
  }
}

#define ROWS                                                                                       \
  .needs = "remote", .risk = SQLITE_VTAB_DIRECTONLY, .rows = 1000, .reversible = true,             \
  .wants_limit = true, .wants_used = true, .table_size = sizeof(FarTab),                           \
  .cursor_size = sizeof(MapCursor), .created = true, .disconnect = map_disconnect,                 \
  .destroy = far_tab_destroy, .rename = far_tab_rename, .is_shadow = far_tab_is_shadow,            \
  .estimate = map_estimate, .seek = map_seek, .next = map_next, .value = map_value,                \
  .rowid = map_rowid, .close = map_close, .writer = &far_map_writer

const VtTable far_map_table = {
    .name = "far_map",
    .doc = "Rows in far memory, under an INTEGER or TEXT key: looked up in one round, read in the "
           "order of the key, changed by transactions.",
    .connect = map_connect,
    ROWS,
};

const VtTable far_vector_table = {
    .name = "far_vector",
    .doc =
        "Rows 0 to length - 1 in far memory, all of them there: column i is the index. Looked up "
        "in one round, changed by transactions; with refresh= a copy is kept, which costs none.",
    .connect = vector_connect,
    ROWS,
};
