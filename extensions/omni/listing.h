/*
** Tables whose rows come from the helper as they are: a question, then cells (cells.h) of which
** each is a column. Such a table embeds a ListingCursor, says its question in seek(), and leaves
** the rest to the functions here.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_LISTING_H
#define TENFOLD_EXTENSIONS_OMNI_LISTING_H

#include "extensions/omni/cells.h"
#include "extensions/omni/helper.h"
#include "extensions/omni/scan.h"

typedef struct ListingCursor {
  VtCursor base;
  OmniSource *source;
  CellReader cells;
  Wire *wire; /* of the question */
} ListingCursor;

/* Opens the recording that the argument names and begins the question, which begins with its folder
** in cur->wire; the table adds the rest. */
int listing_begin(ListingCursor *cur, const VtPlan *plan, int trace_column, WireKind kind);
/* Asks, and stands on the first row. Rows have the columns before the first argument, or as many as
** `width` says when that is not 0. */
int listing_ask(ListingCursor *cur, int width);

int listing_step(VtCursor *cur);
int listing_column(VtCursor *cur, sqlite3_context *ctx, int col);
void listing_done(VtCursor *cur);

/* An argument that is a moment, "ev:tid:addr:hit" as omni_calls has them; "ev" alone is where the
** thread of that event stands after it, "ev:tid" where that thread does. Puts u64 ev, u32 tid (0:
** the event's), u64 addr, u64 hit (0: right after the event). False after vt_fail(). */
bool listing_put_moment(ListingCursor *cur, const VtPlan *plan, int col);
/* Likewise for functions. */
bool moment_read(const char *text, Wire *wire, Fault *fault);

/* Terms on text columns, for the helper to leave out what does not fit: u32 number, and of each u32
** column, u32 1 for GLOB, text. SQLite tests again. */
int listing_put_terms(ListingCursor *cur, const VtPlan *plan, const int *cols, int ncols);

/* u64: the event at which nothing more is wanted, by what is said of a column of ordinals. False:
** no row can fit. */
bool listing_put_last(ListingCursor *cur, const VtPlan *plan, int ev);

/* A number made of the row, `seq` (column 0) left out: the same in every scan. */
sqlite3_int64 listing_rowid(VtCursor *cur);

void omni_result_cell(sqlite3_context *ctx, const Cell *cell);

#endif
