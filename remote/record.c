#include "remote/record.h"

#include <string.h>

#include "base/array.h"

static uint32_t round_up(uint32_t n) { return (n + 7) / 8 * 8; }

static bool is_bytes(const FarColumn *column) {
  return column->type == FAR_TEXT || column->type == FAR_BLOB;
}

uint32_t far_cell_size(const FarRecord *record, int column) {
  const FarColumn *it = &record->columns[column];
  if (column == record->key) return record->shape.key;
  return is_bytes(it) ? 8 + round_up(it->room < 8 ? 8 : it->room) : 8;
}

static bool lay_key(FarRecord *record, Fault *fault) {
  FarColumn *key = &record->columns[record->key];
  if (key->type != FAR_INTEGER && key->type != FAR_TEXT)
    return fault_set(fault, FAULT_INVALID, "column \"%s\": a key is INTEGER or TEXT", key->name);
  if (key->type == FAR_TEXT && !key->room) key->room = FAR_USUAL_KEY;
  if (key->room + 2 > FAR_MOST_KEY) {
    return fault_set(fault, FAULT_LIMIT, "column \"%s\": a key has at most %d bytes, not %u",
                     key->name, FAR_MOST_KEY - 2, (unsigned)key->room);
  }
  record->shape.kind = key->type == FAR_INTEGER ? FAR_KEY_INTEGER : FAR_KEY_TEXT;
  record->shape.key = key->type == FAR_INTEGER ? 8 : round_up(key->room + 2);
  key->at = FAR_STAMP;
  key->not_null = true;
  return true;
}

static bool lay_cells(FarRecord *record, Fault *fault) {
  uint32_t at = FAR_STAMP + record->shape.key;
  for (int i = 0; i < record->ncolumns && !record->nulls_at; i++)
    if (!record->columns[i].not_null) record->nulls_at = at;
  if (record->nulls_at) at += 8;
  for (int i = 0; i < record->ncolumns; i++) {
    FarColumn *column = &record->columns[i];
    if (i == record->key) continue;
    if (is_bytes(column) && !column->room) column->room = FAR_USUAL_ROOM;
    if (column->room > FAR_MOST_ROOM) {
      return fault_set(fault, FAULT_LIMIT,
                       "column \"%s\": at most %d bytes have room in a row, not %u (longer ones "
                       "may be stored all the same, beside it)",
                       column->name, FAR_MOST_ROOM, (unsigned)column->room);
    }
    column->at = at;
    at += far_cell_size(record, i);
  }
  record->shape.stride = at;
  return at <= FAR_MOST_STRIDE ||
         fault_set(fault, FAULT_LIMIT, "a row takes %u bytes, the most is %d", (unsigned)at,
                   FAR_MOST_STRIDE);
}

static uint64_t schema_of(const FarRecord *record) {
  uint64_t hash = (uint64_t)record->key + 1;
  for (int i = 0; i < record->ncolumns; i++) {
    const FarColumn *column = &record->columns[i];
    const uint64_t more[] = {hash, column->type, column->room, column->not_null};
    hash = hash_bytes(column->name, strlen(column->name), 0);
    hash ^= hash_bytes(more, sizeof more, hash);
  }
  return hash;
}

bool far_record_layout(FarRecord *record, unsigned slots, Fault *fault) {
  if (record->ncolumns > FAR_COLUMNS) {
    return fault_set(fault, FAULT_LIMIT, "%d columns, the limit is %d", record->ncolumns,
                     FAR_COLUMNS);
  }
  if (!lay_key(record, fault)) return false;
  record->nulls_at = 0;
  if (!lay_cells(record, fault)) return false;
  const uint32_t head = far_slot_at(&record->shape, 0);
  const uint32_t most = (FAR_EXTENT - head) / record->shape.stride; /* a bucket is one block */
  if (slots > most || slots > FAR_SLOTS || slots == 1) {
    return fault_set(fault, FAULT_LIMIT, "leaf=%u: it is 2 to %u rows", slots,
                     (unsigned)(most < FAR_SLOTS ? most : FAR_SLOTS));
  }
  record->shape.slots = slots ? slots : most < FAR_SLOTS ? most : FAR_SLOTS;
  record->schema = schema_of(record);
  return true;
}

void far_cell_set_null(const FarRecord *record, unsigned char *element, int column, bool null) {
  if (!record->nulls_at) return;
  unsigned char *byte = &element[record->nulls_at + column / 8];
  const unsigned char bit = (unsigned char)(1 << column % 8);
  *byte = (unsigned char)(null ? *byte | bit : *byte & ~bit);
}

uint64_t far_cell_word(const FarRecord *record, const unsigned char *element, int column) {
  uint64_t word;
  memcpy(&word, element + record->columns[column].at, sizeof word);
  return word;
}

void far_cell_set_word(const FarRecord *record, unsigned char *element, int column, uint64_t word) {
  memcpy(element + record->columns[column].at, &word, sizeof word);
}

bool far_cell_fits(const FarRecord *record, int column, uint64_t length) {
  return length <= record->columns[column].room;
}

bool far_cell_bytes(const FarRecord *record, const unsigned char *element, int column,
                    const unsigned char **out, uint64_t *out_length, FarPointer *out_block) {
  const FarColumn *it = &record->columns[column];
  const unsigned char *cell = element + it->at;
  *out = NULL;
  *out_block = 0;
  if (column == record->key) {
    *out_length = (uint64_t)(cell[0] | cell[1] << 8);
    *out = cell + 2;
    return *out_length <= it->room;
  }
  memcpy(out_length, cell, sizeof *out_length);
  if (far_cell_fits(record, column, *out_length)) {
    *out = cell + 8;
  } else {
    memcpy(out_block, cell + 8, sizeof *out_block);
  }
  return *out_length <= FAR_MOST_LENGTH;
}

FarPointer far_cell_block(const FarRecord *record, const unsigned char *element, int column,
                          uint64_t *out_length) {
  const FarColumn *it = &record->columns[column];
  const unsigned char *bytes;
  FarPointer block;
  if (!is_bytes(it) || column == record->key ||
      far_cell_fits(record, column, far_cell_word(record, element, column)) ||
      far_cell_null(record, element, column) ||
      !far_cell_bytes(record, element, column, &bytes, out_length, &block))
    return 0;
  return block;
}

void far_cell_set_bytes(const FarRecord *record, unsigned char *element, int column,
                        const void *bytes, uint64_t length, FarPointer block) {
  unsigned char *cell = element + record->columns[column].at;
  if (column == record->key) {
    memset(cell, 0, record->shape.key);
    cell[0] = (unsigned char)length;
    cell[1] = (unsigned char)(length >> 8);
    if (length) memcpy(cell + 2, bytes, length);
    return;
  }
  memcpy(cell, &length, sizeof length);
  if (!far_cell_fits(record, column, length)) {
    memcpy(cell + 8, &block, sizeof block);
  } else if (length) {
    memcpy(cell + 8, bytes, length);
  }
}
