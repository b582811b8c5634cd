/*
** viz_heat(row, col, value): a matrix of coloured cells as SVG.
**
**   SELECT viz_heat(node, resource, used) FROM usage
**
** Rows and columns stand in the order in which they first come. Values of the same cell are added.
** With values below zero the colours diverge from white, otherwise they run from pale to dark.
*/
#include "extensions/viz/viz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CELL_LIMIT = 200000, SIDE_LIMIT = 2000, TIP_LIMIT = 20000 };

typedef struct Cell {
  int64_t row, col;
  double value;
} Cell;

typedef struct Heat {
  Labels rows, cols;
  Map numbers; /* (row, col) to index in cells */
  Cell *cells;
  size_t count, capacity;
} Heat;

static bool add_cell(Heat *heat, int64_t row, int64_t col, double value) {
  int64_t key[2] = {row, col};
  bool added;
  if (row < 0 || col < 0) return false;
  if (!array_grow(heat->cells, heat->capacity, heat->count + 1)) return false;
  int64_t *at = map_put(&heat->numbers, key, sizeof key, (int64_t)heat->count, &added);
  if (!at) return false;
  if (added) heat->cells[heat->count++] = (Cell){row, col, 0};
  heat->cells[*at].value += value;
  return true;
}

void viz_heat_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  if (viz_any_null(argc, argv)) return;
  Heat *heat = sqlite3_aggregate_context(ctx, sizeof *heat);
  Label row, col;
  double value;
  if (!heat) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (!viz_text(ctx, argv[0], "row", &row) || !viz_text(ctx, argv[1], "col", &col)) return;
  if (!viz_number(ctx, argv[2], "value", &value)) return;
  int64_t i = viz_label(&heat->rows, row.text, row.length);
  int64_t j = viz_label(&heat->cols, col.text, col.length);
  if (!add_cell(heat, i, j, value)) {
    sqlite3_result_error_nomem(ctx);
  } else if (fabs(value) > 1e100) {
    func_fail(ctx, SQLITE_ERROR, "value is beyond 1e100"); /* sums of any number stay finite */
  } else if (heat->count > CELL_LIMIT) {
    func_fail(ctx, SQLITE_TOOBIG, "more than %d cells", CELL_LIMIT);
  } else if (heat->rows.count > SIDE_LIMIT || heat->cols.count > SIDE_LIMIT) {
    func_fail(ctx, SQLITE_TOOBIG, "%zu rows and %zu columns, the limit is %d each",
              heat->rows.count, heat->cols.count, SIDE_LIMIT);
  }
}

/* ---- drawing ---------------------------------------------------------------------------- */

typedef struct Frame {
  double left, top, width, height; /* of the cells */
  double cell_width, cell_height;
  double low, high;
  bool diverging, upright; /* column labels stand */
} Frame;

static double clamp(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

static Frame plan_frame(const Heat *heat) {
  Frame frame = {.low = INFINITY, .high = -INFINITY};
  for (size_t i = 0; i < heat->count; i++) {
    double value = heat->cells[i].value;
    if (value < frame.low) frame.low = value;
    if (value > frame.high) frame.high = value;
  }
  frame.diverging = frame.low < 0;
  frame.cell_height = clamp(floor(800.0 / (double)heat->rows.count), 2, 24);
  frame.cell_width = clamp(floor(880.0 / (double)heat->cols.count), 2, 60);
  double longest = SVG_CHAR * (double)(heat->cols.longest < 30 ? heat->cols.longest : 30);
  frame.upright = longest + 6 > frame.cell_width;
  frame.left = viz_margin(heat->rows.longest);
  frame.top = frame.upright ? 16 + longest * 0.75 : 28;
  frame.width = frame.cell_width * (double)heat->cols.count;
  frame.height = frame.cell_height * (double)heat->rows.count;
  return frame;
}

static unsigned colour_of(const Frame *frame, double value) {
  if (frame->diverging) {
    double most = fmax(-frame->low, frame->high);
    return svg_diverge(most > 0 ? value / most : 0);
  }
  /* From zero, so that twice the value is twice as far along. */
  return svg_ramp(frame->high > 0 ? value / frame->high : 0);
}

/* Every how many-th label has room for its `pixels`. */
static size_t stride(double size, double pixels) {
  return size >= pixels ? 1 : (size_t)ceil(pixels / size);
}

static void draw_labels(Text *out, const Heat *heat, const Frame *frame) {
  size_t each = stride(frame->cell_height, 11);
  for (size_t i = 0; i < heat->rows.count; i += each) {
    double y = frame->top + frame->cell_height * ((double)i + 0.5) + 4;
    svg_label(out, frame->left - 6, y, SVG_END, SVG_INK, heat->rows.at[i].text,
              heat->rows.at[i].length, 30);
  }
  each = stride(frame->cell_width, 12);
  for (size_t i = 0; i < heat->cols.count; i += each) {
    double x = frame->left + frame->cell_width * ((double)i + 0.5);
    if (frame->upright) {
      text_add(out, "<g transform=\"translate(");
      svg_coord(out, x + 3);
      text_addc(out, ' ');
      svg_coord(out, frame->top - 6);
      text_add(out, ") rotate(-45)\">");
      svg_label(out, 0, 0, SVG_START, SVG_INK, heat->cols.at[i].text, heat->cols.at[i].length, 30);
      text_add(out, "</g>\n");
    } else {
      svg_label(out, x, frame->top - 8, SVG_MIDDLE, SVG_INK, heat->cols.at[i].text,
                heat->cols.at[i].length, 30);
    }
  }
}

static void draw_cell(Text *out, const Heat *heat, const Frame *frame, const Cell *cell) {
  double gap = frame->cell_width > 6 && frame->cell_height > 6 ? 1 : 0;
  double x = frame->left + frame->cell_width * (double)cell->col;
  double y = frame->top + frame->cell_height * (double)cell->row;
  unsigned colour = colour_of(frame, cell->value);
  svg_box(out, x, y, frame->cell_width - gap, frame->cell_height - gap, colour);
  if (heat->count > TIP_LIMIT) {
    text_add(out, "/>\n");
    return;
  }
  const Label *row = &heat->rows.at[cell->row], *col = &heat->cols.at[cell->col];
  svg_tip_begin(out);
  svg_escape(out, row->text, row->length, 0);
  text_add(out, " / ");
  svg_escape(out, col->text, col->length, 0);
  text_add(out, ": ");
  svg_number(out, cell->value);
  svg_tip_end(out, "rect");
  Text number = {0};
  svg_number(&number, cell->value);
  bool fits = SVG_CHAR * (double)number.length + 6 <= frame->cell_width;
  if (number.oom) out->oom = true;
  if (fits && frame->cell_height >= 14 && number.data) {
    svg_label(out, x + frame->cell_width / 2, y + frame->cell_height / 2 + 4, SVG_MIDDLE,
              svg_ink_on(colour), number.data, number.length, 0);
  }
  text_finish(&number);
}

static void draw_legend(Text *out, const Frame *frame, double y) {
  enum { WIDTH = 192 };
  static const SvgAnchor anchors[] = {SVG_START, SVG_MIDDLE, SVG_END};
  double most = fmax(-frame->low, frame->high);
  double low = frame->diverging ? -most : 0, high = frame->diverging ? most : frame->high;
  svg_scale(out, frame->left, y, WIDTH, 10, frame->diverging);
  Text number = {0};
  for (int i = 0; i <= 2; i++) {
    text_clear(&number);
    svg_number(&number, low + (high - low) * i / 2);
    if (number.oom) out->oom = true;
    svg_label(out, frame->left + WIDTH * i / 2.0, y + 24, anchors[i], SVG_PALE,
              number.data ? number.data : "", number.length, 0);
  }
  text_finish(&number);
}

static void draw(Text *out, const Heat *heat) {
  Frame frame = plan_frame(heat);
  /* Slanted labels lean over the last column. */
  double lean = frame.upright ? frame.top - 16 : 0;
  double width = frame.left + fmax(frame.width, 200) + lean + 24;
  double height = frame.top + frame.height + 56;
  svg_begin(out, width, height, "Heat map");
  draw_labels(out, heat, &frame);
  svg_box(out, frame.left, frame.top, frame.width, frame.height, SVG_EMPTY);
  svg_tip_begin(out);
  text_add(out, "no value");
  svg_tip_end(out, "rect");
  for (size_t i = 0; i < heat->count; i++) draw_cell(out, heat, &frame, &heat->cells[i]);
  draw_legend(out, &frame, frame.top + frame.height + 14);
  svg_end(out);
}

void viz_heat_final(sqlite3_context *ctx) {
  Heat *heat = sqlite3_aggregate_context(ctx, 0);
  if (!heat) return;
  if (heat->count > 0) {
    Text out = {0};
    draw(&out, heat);
    vt_result_text(ctx, &out, false);
    text_finish(&out);
  }
  viz_labels_finish(&heat->rows);
  viz_labels_finish(&heat->cols);
  map_finish(&heat->numbers);
  free(heat->cells);
}
