/*
** Elements with columns: where each of them stands, so that programs agree on it.
**
**   stamp (8) | key | NULLs (a bit for each column, 8; none when all are NOT NULL) | cells
**
** An INTEGER or REAL takes 8 bytes. A TEXT or BLOB has its length (8 bytes) and `room` bytes; what
** is longer stands in a block of its own, and the first 8 bytes of the room point to it. The key is
** a column, but stands in front, and is never out of line.
*/
#ifndef TENFOLD_REMOTE_RECORD_H
#define TENFOLD_REMOTE_RECORD_H

#include "remote/layout.h"

typedef enum FarType { FAR_INTEGER = 1, FAR_REAL, FAR_TEXT, FAR_BLOB } FarType;

enum { FAR_COLUMNS = 64, FAR_MOST_ROOM = 4096, FAR_USUAL_ROOM = 16, FAR_USUAL_KEY = 62 };
#define FAR_MOST_LENGTH (UINT64_C(1) << 30)

typedef struct FarColumn {
  const char *name;
  FarType type;
  uint32_t room; /* of TEXT and BLOB; the key's: what it may be long. 0: the usual */
  bool not_null;
  uint32_t at; /* of its cell, from the beginning of the element; filled in */
} FarColumn;

typedef struct FarRecord {
  FarColumn *columns;
  int ncolumns;
  int key; /* a column: INTEGER or TEXT */
  /* Filled in: */
  FarShape shape;
  uint32_t nulls_at; /* 0: no column may be NULL */
  uint64_t schema;   /* hash of names, types, rooms and the key */
} FarRecord;

/* `slots`: elements of a bucket, 0: as many as are good. False: FAULT_LIMIT, FAULT_INVALID. */
bool far_record_layout(FarRecord *record, unsigned slots, Fault *fault);

/* The bytes of a cell, in line. */
uint32_t far_cell_size(const FarRecord *record, int column);

/* Cells of an element, or of one in the making (zeroed, shape.stride bytes). */
static inline bool far_cell_null(const FarRecord *record, const unsigned char *element,
                                 int column) {
  return record->nulls_at && element[record->nulls_at + column / 8] >> column % 8 & 1;
}
void far_cell_set_null(const FarRecord *record, unsigned char *element, int column, bool null);
uint64_t far_cell_word(const FarRecord *record, const unsigned char *element, int column);
void far_cell_set_word(const FarRecord *record, unsigned char *element, int column, uint64_t word);

/* Of TEXT and BLOB: the bytes, or NULL when they are out of line, at *out_block. False: damaged. */
bool far_cell_bytes(const FarRecord *record, const unsigned char *element, int column,
                    const unsigned char **out, uint64_t *out_length, FarPointer *out_block);
/* `bytes` are copied when they fit, else `block` points to them. */
void far_cell_set_bytes(const FarRecord *record, unsigned char *element, int column,
                        const void *bytes, uint64_t length, FarPointer block);
bool far_cell_fits(const FarRecord *record, int column, uint64_t length);
/* Where a cell that is out of line is, of any type; 0: it is not, or it is damaged. */
FarPointer far_cell_block(const FarRecord *record, const unsigned char *element, int column,
                          uint64_t *out_length);

#endif
