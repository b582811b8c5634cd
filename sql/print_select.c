/*
** Printing SELECT, FROM, WITH and windows: see sql.h.
*/
#include <string.h>

#include "sql/equal.h"
#include "sql/print.h"

static void print_alias(Text *out, const char *alias, bool as) {
  if (!alias) return;
  text_add(out, as ? " AS " : " ");
  print_name(out, alias);
}

void print_orders(const SqlPrinter *printer, const SqlOrder *order, int n) {
  for (int i = 0; i < n; i++) {
    if (i) text_add(printer->out, ", ");
    sql_print_expr(printer, order[i].expr);
    if (order[i].descending) {
      text_add(printer->out, " DESC");
    } else if (order[i].sort_given) {
      text_add(printer->out, " ASC");
    }
    if (order[i].nulls_given) {
      text_add(printer->out, order[i].nulls_last ? " NULLS LAST" : " NULLS FIRST");
    }
  }
}

void print_limit(const SqlPrinter *printer, const SqlExpr *limit, const SqlExpr *offset,
                 bool offset_first) {
  if (!limit) return;
  text_add(printer->out, " LIMIT ");
  if (offset && offset_first) {
    sql_print_expr(printer, offset);
    text_add(printer->out, ", ");
  }
  sql_print_expr(printer, limit);
  if (offset && !offset_first) {
    text_add(printer->out, " OFFSET ");
    sql_print_expr(printer, offset);
  }
}

/* ---- windows */

static void print_bound(const SqlPrinter *printer, SqlFrameBound bound, const SqlExpr *expr) {
  static const char *const words[] = {
      [SQL_BOUND_UNBOUNDED_PRECEDING] = "UNBOUNDED PRECEDING",
      [SQL_BOUND_PRECEDING] = " PRECEDING",
      [SQL_BOUND_CURRENT] = "CURRENT ROW",
      [SQL_BOUND_FOLLOWING] = " FOLLOWING",
      [SQL_BOUND_UNBOUNDED_FOLLOWING] = "UNBOUNDED FOLLOWING",
  };
  if (expr) sql_print_expr(printer, expr);
  text_add(printer->out, words[bound]);
}

static void print_frame(const SqlPrinter *printer, const SqlWindow *window) {
  static const char *const units[] = {"", "RANGE ", "ROWS ", "GROUPS "};
  static const char *const excludes[] = {
      [SQL_EXCLUDE_NONE] = "",
      [SQL_EXCLUDE_NO_OTHERS] = " EXCLUDE NO OTHERS",
      [SQL_EXCLUDE_CURRENT] = " EXCLUDE CURRENT ROW",
      [SQL_EXCLUDE_GROUP] = " EXCLUDE GROUP",
      [SQL_EXCLUDE_TIES] = " EXCLUDE TIES",
  };
  text_add(printer->out, units[window->unit]);
  if (window->between) text_add(printer->out, "BETWEEN ");
  print_bound(printer, window->start, window->start_expr);
  if (window->between) {
    text_add(printer->out, " AND ");
    print_bound(printer, window->end, window->end_expr);
  }
  text_add(printer->out, excludes[window->exclude]);
}

void print_window(const SqlPrinter *printer, const SqlWindow *window) {
  const char *space = "";
  if (window->base) {
    print_name(printer->out, window->base);
    space = " ";
  }
  if (window->npartition) {
    text_addf(printer->out, "%sPARTITION BY ", space);
    print_list(printer, window->partition, window->npartition);
    space = " ";
  }
  if (window->norder) {
    text_addf(printer->out, "%sORDER BY ", space);
    print_orders(printer, window->order, window->norder);
    space = " ";
  }
  if (window->unit != SQL_FRAME_NONE) {
    text_add(printer->out, space);
    print_frame(printer, window);
  }
}

/* ---- FROM */

static void print_join(Text *out, const SqlSource *source) {
  if (source->join == SQL_JOIN_NONE) return;
  if (source->join == SQL_JOIN_COMMA) {
    text_add(out, ", ");
    return;
  }
  if (source->natural) text_add(out, " NATURAL");
  switch (source->join) {
  case SQL_JOIN_CROSS:
    text_add(out, " CROSS");
    break;
  case SQL_JOIN_LEFT:
    text_add(out, " LEFT");
    break;
  case SQL_JOIN_RIGHT:
    text_add(out, " RIGHT");
    break;
  case SQL_JOIN_FULL:
    text_add(out, " FULL");
    break;
  default:
    if (source->inner_word) text_add(out, " INNER");
  }
  text_add(out, " JOIN ");
}

static void print_table(const SqlPrinter *printer, const SqlSource *source) {
  Text *out = printer->out;
  if (printer->source && printer->source(printer->ctx, out, source)) return;
  switch (source->kind) {
  case SQL_SOURCE_TABLE:
    print_qualified(out, source->schema, source->name);
    break;
  case SQL_SOURCE_FUNCTION:
    print_qualified(out, source->schema, source->name);
    text_addc(out, '(');
    print_list(printer, source->args, source->nargs);
    text_addc(out, ')');
    break;
  case SQL_SOURCE_SELECT:
    text_addc(out, '(');
    sql_print_select(printer, source->select);
    text_addc(out, ')');
    break;
  case SQL_SOURCE_JOIN:
    text_addc(out, '(');
    print_sources(printer, source->first);
    text_addc(out, ')');
    break;
  }
  print_alias(out, source->alias, source->alias_as);
  if (source->indexed_by) {
    text_add(out, " INDEXED BY ");
    print_name(out, source->indexed_by);
  } else if (source->not_indexed) {
    text_add(out, " NOT INDEXED");
  }
}

void sql_print_source(const SqlPrinter *printer, const SqlSource *source) {
  print_join(printer->out, source);
  print_table(printer, source);
  if (source->on) {
    text_add(printer->out, " ON ");
    sql_print_expr(printer, source->on);
  } else if (source->nusing) {
    text_add(printer->out, " USING ");
    print_names(printer->out, source->using_names, source->nusing);
  }
}

void print_sources(const SqlPrinter *printer, const SqlSource *first) {
  for (const SqlSource *source = first; source; source = source->next) {
    sql_print_source(printer, source);
  }
}

/* ---- SELECT */

static bool is_text(const Text *out, size_t from, const char *text, size_t length) {
  return out->length - from == length && memcmp(out->data + from, text, length) == 0;
}

/* True when the expression was printed as itself and not by a hook as something else. */
static bool is_itself(const Text *out, size_t from, const SqlExpr *e) {
  Text plain = {0};
  SqlPrinter printer = {.out = &plain};
  sql_print_expr(&printer, e);
  bool same = !plain.oom && is_text(out, from, plain.data, plain.length);
  text_finish(&plain);
  return same;
}

/* likely(x) and its like: x to whoever asks for names below. */
static bool is_hint(const SqlExpr *e) {
  return e->kind == SQL_EXPR_FUNCTION && e->nargs &&
         (sql_same_name(e->name, "likely") || sql_same_name(e->name, "unlikely") ||
          sql_same_name(e->name, "likelihood"));
}

/* SQLite names an expression by its text, so that other text needs the old name said. A column is
** named by its name, but before it is bound it may still be a string, a number (TRUE) or, in a FULL
** JOIN, several columns, which are named by their text; and with COLLATE it goes by its text at the
** top and by its name below. So these are written as they were. */
static void print_kept_name(const SqlPrinter *printer, const SqlResult *result, size_t from) {
  Text *out = printer->out;
  const SqlExpr *e = result->expr, *inner = e;
  if (out->oom || !result->written) return;
  if (is_text(out, from, result->written, strlen(result->written))) return;
  while (inner->kind == SQL_EXPR_COLLATE || is_hint(inner)) inner = inner->args[0];
  if (inner->kind == SQL_EXPR_COLUMN && is_itself(out, from, e)) {
    if (inner == e && e->bound && !e->merged) return;
    out->length = from;
    text_add(out, result->written);
    if (strstr(result->written, "--")) text_addc(out, '\n');
    /* A comment cut off at the end of the text: alone, the two characters would be operators. */
    size_t length = strlen(result->written);
    if (length >= 2 && !strcmp(result->written + length - 2, "/*")) text_addc(out, ' ');
    return;
  }
  print_alias(out, result->name ? result->name : result->written, true);
}

void print_results(const SqlPrinter *printer, const SqlResult *results, int n) {
  for (int i = 0; i < n; i++) {
    if (i) text_add(printer->out, ", ");
    size_t from = printer->out->length;
    sql_print_expr(printer, results[i].expr);
    if (results[i].alias) {
      print_alias(printer->out, results[i].alias, results[i].alias_as);
    } else {
      print_kept_name(printer, &results[i], from);
    }
  }
}

static void print_values(const SqlPrinter *printer, const SqlSelect *select) {
  text_add(printer->out, "VALUES ");
  for (int i = 0; i < select->nrows; i++) {
    text_add(printer->out, i ? ", (" : "(");
    print_list(printer, select->rows[i]->args, select->rows[i]->nargs);
    text_addc(printer->out, ')');
  }
}

static void print_arm(const SqlPrinter *printer, const SqlSelect *select) {
  Text *out = printer->out;
  if (select->is_values) {
    print_values(printer, select);
    return;
  }
  text_add(out, select->distinct    ? "SELECT DISTINCT "
                : select->all_given ? "SELECT ALL "
                                    : "SELECT ");
  print_results(printer, select->results, select->nresults);
  if (select->from) {
    text_add(out, " FROM ");
    print_sources(printer, select->from);
  }
  if (select->where) {
    text_add(out, " WHERE ");
    sql_print_expr(printer, select->where);
  }
  if (select->ngroup) {
    text_add(out, " GROUP BY ");
    print_list(printer, select->group, select->ngroup);
  }
  if (select->having) {
    text_add(out, " HAVING ");
    sql_print_expr(printer, select->having);
  }
  for (int i = 0; i < select->nwindows; i++) {
    text_add(out, i ? ", " : " WINDOW ");
    print_name(out, select->windows[i].name);
    text_add(out, " AS (");
    print_window(printer, &select->windows[i]);
    text_addc(out, ')');
  }
}

void print_with(const SqlPrinter *printer, const SqlWith *with) {
  static const char *const materialized[] = {" AS NOT MATERIALIZED (", " AS (",
                                             " AS MATERIALIZED ("};
  if (!with) return;
  text_add(printer->out, with->recursive ? "WITH RECURSIVE " : "WITH ");
  for (int i = 0; i < with->nctes; i++) {
    const SqlCte *cte = &with->ctes[i];
    if (i) text_add(printer->out, ", ");
    print_name(printer->out, cte->name);
    if (cte->ncolumns) print_names(printer->out, cte->columns, cte->ncolumns);
    text_add(printer->out, materialized[cte->materialized + 1]);
    sql_print_select(printer, cte->select);
    text_addc(printer->out, ')');
  }
  text_addc(printer->out, ' ');
}

void sql_print_select(const SqlPrinter *printer, const SqlSelect *select) {
  static const char *const words[] = {
      [SQL_COMPOUND_NONE] = "",
      [SQL_COMPOUND_UNION] = " UNION ",
      [SQL_COMPOUND_UNION_ALL] = " UNION ALL ",
      [SQL_COMPOUND_INTERSECT] = " INTERSECT ",
      [SQL_COMPOUND_EXCEPT] = " EXCEPT ",
  };
  print_with(printer, select->with);
  for (const SqlSelect *arm = select; arm; arm = arm->next) {
    if (arm != select) text_add(printer->out, words[arm->compound]);
    print_arm(printer, arm);
  }
  if (select->norder) {
    text_add(printer->out, " ORDER BY ");
    print_orders(printer, select->order, select->norder);
  }
  print_limit(printer, select->limit, select->offset, select->offset_first);
}
