/*
** Deep copies: see sql.h.
**
** Two passes. The first copies the tree and notes for every node where its copy is; the second
** visits the copies and turns what points into the old tree to the new one. Pointers to what was
** not copied (the sources of an enclosing SELECT, say) stay.
*/
#include <stdint.h>
#include <string.h>

#include "base/array.h"
#include "sql/sql.h"

typedef struct Copier {
  Arena *arena;
  Map places; /* old node to new node */
  bool failed;
} Copier;

static SqlSelect *copy_select(Copier *copier, const SqlSelect *select);
static SqlExpr *copy_expr(Copier *copier, const SqlExpr *expr);

static void *copy_bytes(Copier *copier, const void *from, size_t count, size_t size) {
  if (!from || copier->failed) return NULL;
  void *to = arena_array(copier->arena, count, size);
  if (!to) {
    copier->failed = true;
    return NULL;
  }
  return memcpy(to, from, count * size);
}

static void note(Copier *copier, const void *from, const void *to) {
  if (copier->failed) return;
  if (!map_put(&copier->places, &from, sizeof from, (int64_t)(intptr_t)to, NULL)) {
    copier->failed = true;
  }
}

static void *moved(const Copier *copier, const void *from) {
  if (!from) return NULL;
  const int64_t *to = map_get(&copier->places, &from, sizeof from);
  return to ? (void *)(intptr_t)*to : (void *)(uintptr_t)from;
}

static const char *copy_text(Copier *copier, const char *text) {
  return text ? copy_bytes(copier, text, strlen(text) + 1, 1) : NULL;
}

static SqlExpr **copy_exprs(Copier *copier, SqlExpr **list, int n) {
  SqlExpr **to = copy_bytes(copier, list, (size_t)n, sizeof *list);
  for (int i = 0; to && i < n; i++) to[i] = copy_expr(copier, list[i]);
  return to;
}

static const char **copy_names(Copier *copier, const char **names, int n) {
  const char **to = copy_bytes(copier, names, (size_t)n, sizeof *names);
  for (int i = 0; to && i < n; i++) to[i] = copy_text(copier, names[i]);
  return to;
}

static SqlOrder *copy_orders(Copier *copier, const SqlOrder *order, int n) {
  SqlOrder *to = copy_bytes(copier, order, (size_t)n, sizeof *order);
  for (int i = 0; to && i < n; i++) to[i].expr = copy_expr(copier, order[i].expr);
  return to;
}

static SqlWindow *copy_windows(Copier *copier, const SqlWindow *window, int n) {
  SqlWindow *to = copy_bytes(copier, window, (size_t)n, sizeof *window);
  for (int i = 0; to && i < n; i++) {
    to[i].name = copy_text(copier, window[i].name);
    to[i].base = copy_text(copier, window[i].base);
    to[i].partition = copy_exprs(copier, window[i].partition, window[i].npartition);
    to[i].order = copy_orders(copier, window[i].order, window[i].norder);
    to[i].start_expr = copy_expr(copier, window[i].start_expr);
    to[i].end_expr = copy_expr(copier, window[i].end_expr);
  }
  return to;
}

static SqlSource *copy_sources(Copier *copier, const SqlSource *source) {
  SqlSource *first = NULL, **place = &first;
  for (; source; source = source->next) {
    SqlSource *to = copy_bytes(copier, source, 1, sizeof *source);
    if (!to) return NULL;
    note(copier, source, to);
    *place = to;
    place = &to->next;
    to->next = NULL;
    to->schema = copy_text(copier, source->schema);
    to->name = copy_text(copier, source->name);
    to->alias = copy_text(copier, source->alias);
    to->indexed_by = copy_text(copier, source->indexed_by);
    to->args = copy_exprs(copier, source->args, source->nargs);
    to->select = copy_select(copier, source->select);
    to->first = copy_sources(copier, source->first);
    to->on = copy_expr(copier, source->on);
    to->using_names = copy_names(copier, source->using_names, source->nusing);
    to->columns =
        copy_bytes(copier, source->columns, (size_t)source->ncolumns, sizeof *source->columns);
  }
  return first;
}

static SqlExpr *copy_expr(Copier *copier, const SqlExpr *e) {
  SqlExpr *to = copy_bytes(copier, e, 1, sizeof *e);
  if (!to) return NULL;
  note(copier, e, to);
  if (e->text) to->text = copy_bytes(copier, e->text, e->text_length + 1, 1);
  to->schema = copy_text(copier, e->schema);
  to->table = copy_text(copier, e->table);
  to->name = copy_text(copier, e->name);
  to->args = copy_exprs(copier, e->args, e->nargs);
  to->select = copy_select(copier, e->select);
  to->source = copy_sources(copier, e->source);
  to->filter = copy_expr(copier, e->filter);
  to->over = copy_windows(copier, e->over, 1);
  return copier->failed ? NULL : to;
}

static SqlWith *copy_with(Copier *copier, const SqlWith *with) {
  SqlWith *to = copy_bytes(copier, with, 1, sizeof *with);
  if (!to) return NULL;
  to->ctes = copy_bytes(copier, with->ctes, (size_t)with->nctes, sizeof *with->ctes);
  for (int i = 0; to->ctes && i < with->nctes; i++) {
    const SqlCte *cte = &with->ctes[i];
    note(copier, cte, &to->ctes[i]);
    to->ctes[i].name = copy_text(copier, cte->name);
    to->ctes[i].columns = copy_names(copier, cte->columns, cte->ncolumns);
    to->ctes[i].select = copy_select(copier, cte->select);
  }
  return to;
}

static SqlResult *copy_results(Copier *copier, const SqlResult *results, int n) {
  SqlResult *to = copy_bytes(copier, results, (size_t)n, sizeof *results);
  for (int i = 0; to && i < n; i++) {
    to[i].expr = copy_expr(copier, results[i].expr);
    to[i].alias = copy_text(copier, results[i].alias);
    to[i].written = copy_text(copier, results[i].written);
    to[i].name = copy_text(copier, results[i].name);
  }
  return to;
}

/* The expanded results share expressions with the written ones; the columns a * stands for are
** theirs alone. */
static void copy_expanded(Copier *copier, SqlSelect *to, const SqlSelect *select) {
  if (!select->expanded) return;
  to->expanded =
      copy_bytes(copier, select->expanded, (size_t)select->nexpanded, sizeof *select->expanded);
  for (int i = 0; to->expanded && i < select->nexpanded; i++) {
    const SqlExpr *e = select->expanded[i].expr;
    SqlExpr *known = moved(copier, e);
    to->expanded[i].expr = known == e ? copy_expr(copier, e) : known;
    to->expanded[i].name = copy_text(copier, select->expanded[i].name);
  }
}

static SqlSelect *copy_select(Copier *copier, const SqlSelect *select) {
  SqlSelect *first = NULL, **place = &first;
  for (; select; select = select->next) {
    SqlSelect *to = copy_bytes(copier, select, 1, sizeof *select);
    if (!to) return NULL;
    note(copier, select, to);
    *place = to;
    place = &to->next;
    to->next = NULL;
    to->with = copy_with(copier, select->with);
    to->rows = copy_exprs(copier, select->rows, select->nrows);
    to->results = copy_results(copier, select->results, select->nresults);
    to->from = copy_sources(copier, select->from);
    to->where = copy_expr(copier, select->where);
    to->group = copy_exprs(copier, select->group, select->ngroup);
    to->having = copy_expr(copier, select->having);
    to->windows = copy_windows(copier, select->windows, select->nwindows);
    to->order = copy_orders(copier, select->order, select->norder);
    to->limit = copy_expr(copier, select->limit);
    to->offset = copy_expr(copier, select->offset);
    copy_expanded(copier, to, select);
  }
  return first;
}

/* ---- second pass */

static SqlWalk fix_expr(void *ctx, SqlExpr *e) {
  e->bound = moved(ctx, e->bound);
  e->alias_of = moved(ctx, e->alias_of);
  return SQL_WALK_ON;
}

static SqlWalk fix_source(void *ctx, SqlSource *source) {
  source->cte = moved(ctx, source->cte);
  for (int i = 0; source->columns && i < source->ncolumns; i++) {
    source->columns[i].expr = moved(ctx, source->columns[i].expr);
  }
  return SQL_WALK_ON;
}

static SqlWalk fix_select(void *ctx, SqlSelect *select) {
  select->outer = moved(ctx, select->outer);
  for (int i = 0; select->expanded && i < select->nexpanded; i++) {
    fix_expr(ctx, select->expanded[i].expr);
  }
  return SQL_WALK_ON;
}

SqlExpr *sql_copy_expr(Arena *arena, const SqlExpr *expr) {
  Copier copier = {.arena = arena};
  SqlVisitor fix = {&copier, fix_expr, fix_select, fix_source};
  SqlExpr *to = copy_expr(&copier, expr);
  if (!copier.failed) sql_walk_expr(to, &fix);
  map_finish(&copier.places);
  return copier.failed ? NULL : to;
}

SqlSelect *sql_copy_select(Arena *arena, const SqlSelect *select) {
  Copier copier = {.arena = arena};
  SqlVisitor fix = {&copier, fix_expr, fix_select, fix_source};
  SqlSelect *to = copy_select(&copier, select);
  if (!copier.failed) sql_walk_select(to, &fix);
  map_finish(&copier.places);
  return copier.failed ? NULL : to;
}
