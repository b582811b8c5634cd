/*
** What the files of the extension share: labels in order of appearance, checked arguments.
*/
#ifndef TENFOLD_VIZ_VIZ_H
#define TENFOLD_VIZ_VIZ_H

#include "base/arena.h"
#include "base/array.h"
#include "vtab/vt.h"

#include "extensions/viz/svg.h"
#include "extensions/viz/when.h"

/* Distinct texts, numbered as they come. All zero is empty. */
typedef struct Label {
  const char *text;
  size_t length;
} Label;

typedef struct Labels {
  Map numbers;
  Arena arena;
  Label *at;
  size_t count, capacity;
  size_t longest; /* in characters */
} Labels;

/* The text's number, or -1 when memory runs out. */
int64_t viz_label(Labels *labels, const char *text, size_t length);
void viz_labels_finish(Labels *labels);

/* A finite number, or false after func_fail() naming the argument. NULL is not a number here. */
bool viz_number(sqlite3_context *ctx, sqlite3_value *value, const char *name, double *out);

/* A label: text as it is, numbers as SQLite prints them; false after func_fail() for blobs. */
bool viz_text(sqlite3_context *ctx, sqlite3_value *value, const char *name, Label *out);

/* True when any of the values is NULL: such rows are left out of every picture. */
bool viz_any_null(int argc, sqlite3_value **argv);

/* Margin for labels of that many characters. */
double viz_margin(size_t longest);

/* The functions; init.c lists them. */
void viz_bar_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void viz_bar_final(sqlite3_context *ctx);
void viz_heat_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void viz_heat_final(sqlite3_context *ctx);
void viz_timeline_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void viz_timeline_final(sqlite3_context *ctx);
void viz_flame_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void viz_flame_final(sqlite3_context *ctx);
void viz_trace_step(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void viz_trace_final(sqlite3_context *ctx);

#endif
