/*
** Tables whose rows come from the helper: see listing.h.
*/
#define _GNU_SOURCE /* memfd_create */
#include "extensions/omni/listing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/moment.h"

/* ---- the question ---------------------------------------------------------------------------- */

int listing_begin(ListingCursor *cur, const VtPlan *plan, int trace_column, WireKind kind) {
  VtTab *tab = cur->base.tab;
  Fault fault = {0};
  const char *dir;
  if (!vt_arg_text(tab, plan, trace_column, NULL, &dir)) return SQLITE_ERROR;
  if (!omni_source_open(vt_state(tab->conn), dir, &cur->source, &fault)) {
    return vt_fault(tab, &fault);
  }
  cur->wire = malloc(sizeof *cur->wire);
  if (!cur->wire) return SQLITE_NOMEM;
  wire_begin(cur->wire, kind);
  wire_put_text(cur->wire, cur->source->path);
  return SQLITE_OK;
}

bool moment_read(const char *text, Wire *wire, Fault *fault) {
  Moment moment;
  if (!moment_parse(text, &moment, fault)) return false;
  wire_put_u64(wire, moment.ev);
  wire_put_u32(wire, (uint32_t)moment.tid);
  wire_put_u64(wire, moment.addr);
  wire_put_u64(wire, moment.hit);
  return true;
}

bool listing_put_moment(ListingCursor *cur, const VtPlan *plan, int col) {
  const char *text;
  Fault fault = {0};
  if (!vt_arg_text(cur->base.tab, plan, col, "", &text)) return false;
  if (moment_read(text, cur->wire, &fault)) return true;
  vt_fault(cur->base.tab, &fault);
  return false;
}

int listing_put_terms(ListingCursor *cur, const VtPlan *plan, const int *cols, int ncols) {
  const VtTerm *terms[VT_MAX_TERMS];
  uint32_t count = 0;
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    bool is_asked = false;
    for (int k = 0; k < ncols; k++) is_asked = is_asked || cols[k] == term->col;
    bool is_text = term->value && sqlite3_value_type(term->value) == SQLITE_TEXT;
    if (is_asked && is_text && (term->op == VT_OP_EQ || term->op == VT_OP_GLOB)) {
      terms[count++] = term;
    }
  }
  wire_put_u32(cur->wire, count);
  for (uint32_t i = 0; i < count; i++) {
    const char *text = (const char *)sqlite3_value_text(terms[i]->value);
    if (!text) return SQLITE_NOMEM;
    wire_put_u32(cur->wire, (uint32_t)terms[i]->col);
    wire_put_u32(cur->wire, terms[i]->op == VT_OP_GLOB);
    wire_put_text(cur->wire, text);
  }
  return SQLITE_OK;
}

bool listing_put_last(ListingCursor *cur, const VtPlan *plan, int ev) {
  sqlite3_int64 low, high;
  if (!vt_int_range(plan, ev, &low, &high) || high < 0) return false;
  wire_put_u64(cur->wire, high < INT64_MAX ? (uint64_t)high + 1 : UINT64_MAX);
  return true;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static int stand(ListingCursor *cur) {
  Fault fault = {0};
  bool more;
  if (!cells_next(&cur->cells, &more, &fault)) return vt_fault(cur->base.tab, &fault);
  cur->base.eof = !more;
  return SQLITE_OK;
}

static bool fetch(ListingCursor *cur, int width, Fault *fault) {
  VtTab *tab = cur->base.tab;
  int fd = memfd_create("omni cells", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  uint64_t rows;
  if (!helper_question(tab->conn, &cur->base.poll, cur->source, cur->wire, fd, fault)) {
    close(fd);
    return false;
  }
  rows = wire_get_u64(cur->wire);
  if (!wire_end(cur->wire, fault)) {
    close(fd);
    return false;
  }
  if (!width) {
    while (width < tab->ncols && !(tab->cols[width].flags & VT_ARG)) width++;
  }
  cells_open(&cur->cells, fd, width, rows);
  return true;
}

int listing_ask(ListingCursor *cur, int width) {
  Fault fault = {0};
  bool ok = fetch(cur, width, &fault);
  free(cur->wire);
  cur->wire = NULL;
  return ok ? stand(cur) : vt_fault(cur->base.tab, &fault);
}

int listing_step(VtCursor *base) { return stand((ListingCursor *)base); }

sqlite3_int64 listing_rowid(VtCursor *base) {
  const CellReader *reader = &((ListingCursor *)base)->cells;
  uint64_t hash = 0;
  for (int i = 1; i < reader->width; i++) {
    const Cell *cell = &reader->cells[i];
    const bool has_bytes = cell->kind == CELL_TEXT || cell->kind == CELL_BLOB;
    hash = has_bytes ? hash_bytes(cell->bytes, cell->size, hash)
                     : hash_bytes(&cell->integer, sizeof cell->integer, hash);
  }
  return (sqlite3_int64)(hash >> 1);
}

void omni_result_cell(sqlite3_context *ctx, const Cell *cell) {
  switch (cell->kind) {
  case CELL_INTEGER:
    sqlite3_result_int64(ctx, cell->integer);
    break;
  case CELL_REAL:
    sqlite3_result_double(ctx, cell->real);
    break;
  case CELL_TEXT:
    sqlite3_result_text64(ctx, cell->bytes, cell->size, SQLITE_TRANSIENT, SQLITE_UTF8);
    break;
  case CELL_BLOB:
    sqlite3_result_blob64(ctx, cell->bytes, cell->size, SQLITE_TRANSIENT);
    break;
  default:
    sqlite3_result_null(ctx);
  }
}

int listing_column(VtCursor *base, sqlite3_context *ctx, int col) {
  omni_result_cell(ctx, &((ListingCursor *)base)->cells.cells[col]);
  return SQLITE_OK;
}

void listing_done(VtCursor *base) {
  ListingCursor *cur = (ListingCursor *)base;
  cells_close(&cur->cells);
  free(cur->wire);
  cur->wire = NULL;
  omni_source_release(vt_state(base->tab->conn), cur->source);
  cur->source = NULL;
}
