/*
** What other nodes send, and what they answer: any bytes. A node that owns everything is asked,
** with the fuzzer's bytes as the request behind a table's name; rows are read from them as well.
*/
#include <stdlib.h>
#include <string.h>

#include "remote/owners/inside.h"

static OwnNode *node;
static OwnTable *table;

static void set_up(void) {
  const OwnNodeOptions options = {.coordinator = "", .address = "", .secret = ""};
  Fault fault = {0};
  bool made;
  OwnTable like = {.name = (char *)"t", .nslices = 4, .strict = true};
  like.type = (OwnType){.ncolumns = 4,
                        .key = 0,
                        .columns = {{.name = "id", .kind = OWN_TEXT},
                                    {.name = "n", .kind = OWN_INTEGER, .not_null = true},
                                    {.name = "r", .kind = OWN_REAL},
                                    {.name = "b", .kind = OWN_BLOB}}};
  own_type_place(&like.type);
  node = own_node_open(&options, &fault);
  table = own_node_table(node, &like, &made, &fault);
}

static void check_rows(const uint8_t *data, size_t size) {
  const unsigned char *at = data;
  OwnRow row;
  if (own_take_row(&at, data + size, &table->type, &row)) return;
  if (own_null(row.words, 0) || own_null(row.words, 1)) return; /* it was sent in part */
  OwnObject *object = own_object_make(&table->type, row.words);
  FarWireBuffer out = {0};
  OwnRow again;
  if (!object || !own_put_row(&out, &table->type, object->row, UINT64_MAX)) abort();
  at = out.bytes;
  if (own_take_row(&at, out.bytes + out.length, &table->type, &again)) abort();
  OwnObject *copy = own_object_make(&table->type, again.words);
  for (int i = 1; copy && i < 3; i++)
    if (own_integer(&table->type, copy->row, i) != own_integer(&table->type, object->row, i))
      abort();
  own_object_drop(copy);
  own_object_drop(object);
  far_wire_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!table) set_up();
  OwnConn conn = {.node = node, .fd = -1};
  check_rows(data, size);
  /* Requests one after the other: kind (1), length (2), body. */
  while (size > 3) {
    size_t length = (size_t)(data[1] | data[2] << 8) & ~(size_t)7;
    const uint32_t kind = OWN_MSG_GET + data[0] % (OWN_MSG_BEGIN - OWN_MSG_GET + 1);
    if (length > size - 3) length = (size - 3) & ~(size_t)7;
    conn.in.length = 0;
    if (!far_wire_begin(&conn.in, (FarWireKind)kind) || !own_put_bytes(&conn.in, "t", 1) ||
        !far_wire_add(&conn.in, data + 3, length))
      abort();
    /* To move something it would have to wait for a keeper. */
    if (kind != OWN_MSG_MOVE && own_answer(&conn, kind)) break;
    data += 3 + length;
    size -= 3 + length;
  }
  own_table_abort(table, &conn);
  own_uses_end(&conn.uses);
  own_rows_drop(conn.rows, conn.nrows);
  far_wire_free(&conn.in);
  far_wire_free(&conn.out);
  return 0;
}
