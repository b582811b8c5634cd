/*
** What other nodes ask, and what they are answered. Nothing that is sent here is trusted: lengths,
** numbers and rows are looked at before they are used.
*/
#include <stdlib.h>
#include <string.h>

#include "remote/owners/inside.h"
#include "remote/owners/standby.h"

typedef struct Ask { /* a request about a table */
  OwnConn *conn;
  OwnUse *use;
  const unsigned char *at, *end;
  Fault fault;
} Ask;

static const char cut_off[] = "a request is cut off";
static const char no_memory[] = "out of memory";

/* ---- answers --------------------------------------------------------------------------------- */

static bool begin_answer(OwnConn *conn, OwnAnswer answer) {
  conn->out.length = 0;
  return far_wire_begin(&conn->out, (FarWireKind)OWN_MSG_DONE) && own_put_word(&conn->out, answer);
}

static const char *only(Ask *it, OwnAnswer answer) {
  return begin_answer(it->conn, answer) ? NULL : no_memory;
}

const char *own_answer_fault(OwnConn *conn, const Fault *fault) {
  conn->out.length = 0;
  return far_wire_begin(&conn->out, (FarWireKind)OWN_MSG_FAULT) &&
                 far_wire_put_fault(&conn->out, fault)
             ? NULL
             : no_memory;
}

/* How many follow; each has at least `least` bytes. */
static bool take_count(Ask *it, size_t least, uint64_t *out) {
  return own_take_word(&it->at, it->end, out) && *out <= (size_t)(it->end - it->at) / least;
}

static bool take_slice(Ask *it, int *out) {
  uint64_t number;
  if (!own_take_word(&it->at, it->end, &number)) return false;
  *out = (int)number;
  return number < (uint64_t)it->use->table->nslices;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Who knows of a later owner than us is right. */
static bool outdated(Ask *it, const OwnKey *key, uint64_t epoch) {
  OwnTable *table = it->use->table;
  const int slice = own_slice_of(table, key->hash);
  own_load_touch(it->conn, table, slice);
  return own_node_place(table, slice).epoch < epoch;
}

static const char *do_get(Ask *it) {
  OwnTable *table = it->use->table;
  FarWireBuffer *out = &it->conn->out;
  uint64_t mask, n, epoch;
  if (!own_take_word(&it->at, it->end, &mask) || !take_count(it, 16, &n)) return cut_off;
  bool ok = begin_answer(it->conn, OWN_FOUND);
  for (uint64_t i = 0; ok && i < n; i++) {
    OwnKey key;
    OwnObject *object = NULL;
    if (!own_take_word(&it->at, it->end, &epoch) ||
        !own_take_key(&it->at, it->end, &table->type, &key))
      return cut_off;
    OwnAnswer answer = outdated(it, &key, epoch) || out->length > WIRE_MOST - OWN_MOST_ROW
                           ? OWN_WAIT
                           : own_use_find(it->use, &key, &object, &it->fault);
    if (answer == OWN_MISS) return own_answer_fault(it->conn, &it->fault);
    if (answer == OWN_FOUND && object->size > OWN_MOST_ROW) {
      own_object_drop(object);
      fault_set(&it->fault, FAULT_LIMIT, "a row is too long to be sent");
      return own_answer_fault(it->conn, &it->fault);
    }
    ok = own_put_word(out, answer) && own_put_word(out, object ? object->version : 0) &&
         (!object || own_put_row(out, &table->type, object->row, mask));
    own_object_drop(object);
  }
  return ok ? NULL : no_memory;
}

/* One change: NULL, or what is wrong with it. */
static const char *take_change(Ask *it, OwnChange *change, uint64_t *out_epoch) {
  const OwnType *type = &it->use->table->type;
  uint64_t expect, gone;
  OwnRow row;
  if (!own_take_word(&it->at, it->end, &expect) ||
      !own_take_word(&it->at, it->end, &change->version) ||
      !own_take_word(&it->at, it->end, out_epoch) || !own_take_word(&it->at, it->end, &gone))
    return cut_off;
  const char *wrong = own_take_row(&it->at, it->end, type, &row);
  if (wrong) return wrong;
  const OwnKey key = own_key_of(type, row.words);
  if (expect > OWN_VERSION || own_null(row.words, type->key) || key.text.length > OWN_MOST_KEY)
    return "a change of no kind";
  change->expect = (OwnExpect)expect;
  change->object = gone ? own_object_make_gone(type, &key) : own_object_make(type, row.words);
  return change->object ? NULL : no_memory;
}

static const char *do_prepare(Ask *it) {
  OwnTable *table = it->use->table;
  uint64_t n;
  if (!take_count(it, 48, &n)) return cut_off;
  OwnChange *changes = calloc(n + 1, sizeof *changes);
  const char *wrong = changes ? NULL : no_memory;
  OwnAnswer answer = OWN_FOUND;
  size_t failed = 0;
  for (uint64_t i = 0; !wrong && i < n; i++) {
    uint64_t epoch = 0;
    wrong = take_change(it, &changes[i], &epoch);
    if (wrong || answer != OWN_FOUND) continue;
    const OwnKey key = own_key_of(&table->type, changes[i].object->row);
    if (outdated(it, &key, epoch)) answer = OWN_WAIT;
  }
  if (!wrong && answer == OWN_FOUND)
    answer = own_table_prepare(table, changes, n, it->conn, &failed);
  bool ok = !wrong && begin_answer(it->conn, answer) && own_put_word(&it->conn->out, failed);
  for (uint64_t i = 0; ok && answer == OWN_FOUND && i < n; i++)
    ok = own_put_word(&it->conn->out, changes[i].epoch);
  for (uint64_t i = 0; changes && i < n; i++) own_object_drop(changes[i].object);
  free(changes);
  return wrong ? wrong : ok ? NULL : no_memory;
}

static const char *do_forget(Ask *it) {
  OwnTable *table = it->use->table;
  uint64_t n;
  OwnAnswer answer = OWN_FOUND;
  if (!take_count(it, 8, &n)) return cut_off;
  for (uint64_t i = 0; i < n; i++) {
    OwnKey key;
    if (!own_take_key(&it->at, it->end, &table->type, &key)) return cut_off;
    if (!own_table_forget(table, &key)) answer = OWN_WAIT;
  }
  return only(it, answer);
}

/* ---- operations ------------------------------------------------------------------------------ */

typedef struct Call {
  OwnKey key;
  OwnBytes op, args;
  FarWireBuffer reply;
} Call;

/* Reads the row, makes another one of it, and has it stored: all before anybody else writes. */
static OwnAnswer call_once(Ask *it, Call *call) {
  OwnTable *table = it->use->table;
  const OwnStore *store = &table->store;
  const bool through = table->write == OWN_WRITE_THROUGH;
  OwnObject *old = NULL;
  OwnChange change = {.expect = OWN_VERSION};
  size_t failed;
  uint64_t later = 0;
  call->reply.length = 0;
  if (!own_use_clerk(it->use, &it->fault)) return OWN_MISS;
  if (through && !store->begin(it->use->clerk, &it->fault)) return OWN_MISS;
  OwnAnswer answer = own_use_find(it->use, &call->key, &old, &it->fault);
  bool ok = answer == OWN_FOUND && store->call(it->use->clerk, old, call->op, call->args,
                                               &change.object, &call->reply, &it->fault);
  if (ok && through) ok = store->save(it->use->clerk, &change.object, true, &it->fault);
  if (answer == OWN_FOUND && !ok) answer = OWN_MISS;
  if (ok) {
    change.version = old->version;
    answer = own_table_prepare(table, &change, 1, it->conn, &failed);
    ok = answer == OWN_FOUND;
  }
  if (ok && through) {
    ok = store->fenced(it->use->clerk, own_slice_of(table, call->key.hash), &later, &it->fault);
    if (ok && later > change.epoch) answer = OWN_WAIT;
    ok = ok && answer == OWN_FOUND;
    if (!ok && answer == OWN_FOUND) answer = OWN_MISS;
  }
  if (through && !store->end(it->use->clerk, ok, &it->fault)) {
    answer = OWN_MISS;
    ok = false;
  }
  if (ok) {
    own_table_commit(table, it->conn);
  } else {
    own_table_abort(table, it->conn);
  }
  own_object_drop(old);
  own_object_drop(change.object);
  return answer;
}

static const char *do_call(Ask *it) {
  OwnTable *table = it->use->table;
  Call call = {0};
  uint64_t epoch;
  if (!own_take_word(&it->at, it->end, &epoch) ||
      !own_take_key(&it->at, it->end, &table->type, &call.key) ||
      !own_take_bytes(&it->at, it->end, &call.op) || !own_take_bytes(&it->at, it->end, &call.args))
    return cut_off;
  if (own_table_prepared(table, it->conn)) return "a call in the middle of a transaction";
  OwnAnswer answer = outdated(it, &call.key, epoch) ? OWN_WAIT : OWN_LOCKED;
  for (int attempt = 0; answer == OWN_LOCKED || answer == OWN_CONFLICT; attempt++) {
    if (attempt) own_pause(200000);
    answer = attempt < 1000 ? call_once(it, &call) : OWN_WAIT;
  }
  const char *wrong = answer == OWN_MISS ? own_answer_fault(it->conn, &it->fault) : NULL;
  if (!wrong && answer != OWN_MISS) {
    const bool ok = begin_answer(it->conn, answer) &&
                    own_put_bytes(&it->conn->out, call.reply.bytes, call.reply.length);
    wrong = ok ? NULL : no_memory;
  }
  far_wire_free(&call.reply);
  return wrong;
}

/* ---- whole slices ---------------------------------------------------------------------------- */

static const char *do_rows(Ask *it) {
  OwnTable *table = it->use->table;
  OwnConn *conn = it->conn;
  uint64_t mask, from;
  int slice;
  OwnAnswer answer = OWN_FOUND;
  if (!own_take_word(&it->at, it->end, &mask)) return cut_off;
  if (!take_slice(it, &slice) || !own_take_word(&it->at, it->end, &from)) return cut_off;
  own_load_touch(conn, table, slice);
  if (!from) {
    own_rows_drop(conn->rows, conn->nrows);
    conn->rows = NULL;
    conn->nrows = 0;
    answer = own_slice_rows(table, slice, false, &conn->rows, &conn->nrows);
  }
  if (!begin_answer(conn, answer) || !own_put_word(&conn->out, 0) || !own_put_word(&conn->out, 0))
    return no_memory;
  const size_t counts_at = conn->out.length - 16;
  uint64_t i = from;
  for (; i < conn->nrows && conn->out.length < OWN_PAGE; i++) {
    if (!own_put_word(&conn->out, conn->rows[i]->version) ||
        !own_put_row(&conn->out, &table->type, conn->rows[i]->row, mask))
      return no_memory;
  }
  const uint64_t counts[] = {i > from ? i - from : 0, i < conn->nrows};
  memcpy(conn->out.bytes + counts_at, counts, sizeof counts);
  return NULL;
}

static const char *do_counts(Ask *it) {
  OwnTable *table = it->use->table;
  bool ok = begin_answer(it->conn, OWN_FOUND);
  for (int i = 0; ok && i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    const uint64_t words[] = {slice->state, slice->count, slice->reads, slice->writes,
                              slice->loads};
    pthread_mutex_unlock(&slice->lock);
    ok = far_wire_add(&it->conn->out, words, sizeof words);
  }
  return ok ? NULL : no_memory;
}

static const char *do_move(Ask *it) {
  int slice;
  OwnBytes address;
  char text[OWN_ADDRESS] = "";
  if (!take_slice(it, &slice) || !own_take_bytes(&it->at, it->end, &address)) return cut_off;
  if (address.length >= sizeof text) return "an address that is too long";
  memcpy(text, address.bytes, address.length);
  return own_node_move(it->use->table, slice, text, NULL, &it->fault)
             ? only(it, OWN_FOUND)
             : own_answer_fault(it->conn, &it->fault);
}

static const char *do_take(Ask *it) {
  int number;
  if (!take_slice(it, &number)) return cut_off;
  OwnSlice *slice = &it->use->table->slices[number];
  pthread_mutex_lock(&slice->lock);
  const bool ok = slice->state == OWN_ELSEWHERE && !it->use->table->going;
  if (ok) {
    slice->state = OWN_CLOSED;
    slice->from = it->conn;
    slice->awaited = 0;
  }
  pthread_mutex_unlock(&slice->lock);
  return only(it, ok ? OWN_FOUND : OWN_WAIT);
}

static const char *do_arrive(Ask *it) {
  OwnTable *table = it->use->table;
  int slice;
  uint64_t n;
  bool ok = true;
  if (!take_slice(it, &slice) || !take_count(it, 32, &n)) return cut_off;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t version, flags;
    OwnRow row;
    if (!own_take_word(&it->at, it->end, &version) || !own_take_word(&it->at, it->end, &flags))
      return cut_off;
    const char *wrong = own_take_row(&it->at, it->end, &table->type, &row);
    if (wrong) return wrong;
    const OwnKey key = own_key_of(&table->type, row.words);
    if (own_null(row.words, table->type.key) || own_slice_of(table, key.hash) != slice)
      return "a row of another slice";
    OwnObject *object = own_object_make(&table->type, row.words);
    if (!object) return no_memory;
    object->version = version;
    object->gone = flags & 1;
    object->dirty = table->write == OWN_WRITE_BACK && (flags & 2);
    ok = own_slice_arrive(table, slice, it->conn, object) && ok;
    own_object_drop(object);
  }
  return only(it, ok ? OWN_FOUND : OWN_WAIT);
}

/* It goes on to be kept, without being read. */
static void take_copy(OwnTable *table, int number, uint64_t epoch, uint64_t generation) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  slice->epoch = epoch;
  if (generation) own_copy_distrust(slice);
  pthread_mutex_unlock(&slice->lock);
  if (generation && table->standby) own_standby_adopt(table, &number, &generation, 1, false);
}

static const char *do_begin(Ask *it) {
  int number;
  uint64_t epoch, load, generation;
  if (!take_slice(it, &number) || !own_take_word(&it->at, it->end, &epoch) ||
      !own_take_word(&it->at, it->end, &load) || !own_take_word(&it->at, it->end, &generation))
    return cut_off;
  OwnSlice *slice = &it->use->table->slices[number];
  OwnNode *node = it->conn->node;
  pthread_mutex_lock(&slice->lock);
  const bool ok = slice->state == OWN_CLOSED && slice->from == it->conn && epoch >= slice->epoch;
  pthread_mutex_unlock(&slice->lock);
  if (ok) take_copy(it->use->table, number, epoch, generation);
  if (ok) own_slice_begin(it->use->table, number, epoch);
  if (ok) own_load_carry(it->use->table, number, load);
  if (ok) own_node_hurry(node);
  pthread_mutex_lock(&node->lock);
  node->stats.moves_in += ok;
  pthread_mutex_unlock(&node->lock);
  return only(it, OWN_FOUND);
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *do_flush(Ask *it) {
  uint64_t whole[OWN_MOST_SLICES / 64] = {0};
  if (own_use_flush_here(it->use, whole, &it->fault)) {
    return begin_answer(it->conn, OWN_FOUND) && far_wire_add(&it->conn->out, whole, sizeof whole)
               ? NULL
               : no_memory;
  }
  return own_answer_fault(it->conn, &it->fault);
}

static const char *do_commit(Ask *it) {
  own_table_commit(it->use->table, it->conn);
  return only(it, OWN_FOUND);
}

static const char *do_abort(Ask *it) {
  own_table_abort(it->use->table, it->conn);
  return only(it, OWN_FOUND);
}

const char *own_answer(OwnConn *conn, uint32_t kind) {
  static const char *(*const requests[])(Ask *) = {
      [OWN_MSG_GET] = do_get,     [OWN_MSG_PREPARE] = do_prepare, [OWN_MSG_COMMIT] = do_commit,
      [OWN_MSG_ABORT] = do_abort, [OWN_MSG_FORGET] = do_forget,   [OWN_MSG_CALL] = do_call,
      [OWN_MSG_ROWS] = do_rows,   [OWN_MSG_COUNTS] = do_counts,   [OWN_MSG_FLUSH] = do_flush,
      [OWN_MSG_MOVE] = do_move,   [OWN_MSG_TAKE] = do_take,       [OWN_MSG_ARRIVE] = do_arrive,
      [OWN_MSG_BEGIN] = do_begin,
  };
  Ask it = {.conn = conn, .at = conn->in.bytes + 8, .end = conn->in.bytes + conn->in.length};
  OwnBytes name;
  if (kind < OWN_MSG_GET || kind > OWN_MSG_BEGIN) return "a request that is not known";
  /* How a transaction ends is about what it was about. */
  if (kind != OWN_MSG_COMMIT && kind != OWN_MSG_ABORT) conn->nslices = 0;
  if (!own_take_bytes(&it.at, it.end, &name)) return cut_off;
  OwnTable *table = own_node_find_table(conn->node, name.bytes, name.length);
  if (!table) {
    fault_set(&it.fault, FAULT_NOTFOUND, "no table \"%.*s\" is open there",
              name.length < 100 ? (int)name.length : 100, name.bytes);
    return own_answer_fault(conn, &it.fault);
  }
  it.use = own_use(&conn->uses, table, &it.fault);
  return it.use ? requests[kind](&it) : no_memory;
}
