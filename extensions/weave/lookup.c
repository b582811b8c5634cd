/*
** Columns that serve as keys only: see block.h.
**
**   NOT EXISTS (SELECT 1 FROM toleration o WHERE o.pod = p.name AND o.key = …)
**
** depends on the pod's name only through the rows of toleration that it finds. Two pods that find
** the same rows, whatever they are called, are interchangeable here; told apart by their names, no
** two pods would ever be. So such a column is replaced by what it finds.
*/
#include "extensions/weave/block.h"

enum { MAX_LOOKUPS = 16, MAX_FOUND = 32 };

/* The equation `table.key = of.column` as it stands in an EXISTS. */
typedef struct Lookup {
  SqlExpr *equation;
  const SqlExpr *key;    /* the side inside */
  const SqlExpr *column; /* the side of the outer source */
} Lookup;

typedef struct LookupWalk {
  const SqlSource *of;
  const Table *table; /* which `of` is */
  Lookup found[MAX_LOOKUPS];
  int count;
} LookupWalk;

/* ---- finding -------------------------------------------------------------------------------- */

typedef struct OtherUse {
  const Lookup *lookup;
  bool found;
} OtherUse;

static SqlWalk find_other_use(void *ctx, SqlExpr *expr) {
  OtherUse *use = ctx;
  const SqlExpr *key = use->lookup->key;
  if (expr == use->lookup->equation) return SQL_WALK_SKIP;
  if (expr->kind != SQL_EXPR_COLUMN || expr->bound != key->bound) return SQL_WALK_ON;
  use->found |= expr->column < 0 || expr->column == key->column;
  return SQL_WALK_ON;
}

/* A table whose rows say all there is to say: no view, no decisions, no hidden columns. */
static bool is_plain(const SqlSource *source) {
  const Table *table = source->kind == SQL_SOURCE_TABLE && !source->cte ? source->object : NULL;
  return table && table->schema && !table->is_view && !table->is_virtual && !table->decisions;
}

static bool is_simple(const SqlSelect *select) {
  return !select->next && !select->with && !select->is_aggregate && !select->is_values &&
         !select->limit && !select->nwindows && select->from && !select->from->next &&
         is_plain(select->from);
}

static void add_lookups(LookupWalk *walk, SqlSelect *select, SqlExpr *where) {
  if (!where || where->kind != SQL_EXPR_BINARY || walk->count == MAX_LOOKUPS) return;
  if (where->op == SQL_OP_AND) {
    add_lookups(walk, select, where->args[0]);
    add_lookups(walk, select, where->args[1]);
    return;
  }
  for (int side = 0; side < 2 && where->op == SQL_OP_EQ; side++) {
    const SqlExpr *key = where->args[side], *column = where->args[!side];
    if (key->kind != SQL_EXPR_COLUMN || column->kind != SQL_EXPR_COLUMN ||
        key->bound != select->from || column->bound != walk->of || key->column < 0 ||
        column->column < 0 || walk->table->decisions[column->column]) {
      continue;
    }
    Lookup lookup = {where, key, column};
    OtherUse use = {.lookup = &lookup};
    SqlVisitor visitor = {.ctx = &use, .expr = find_other_use};
    sql_walk_select(select, &visitor);
    if (!use.found && walk->count < MAX_LOOKUPS) walk->found[walk->count++] = lookup;
  }
}

static SqlWalk find_lookups(void *ctx, SqlExpr *expr) {
  if (expr->kind == SQL_EXPR_EXISTS && is_simple(expr->select)) {
    add_lookups(ctx, expr->select, expr->select->where);
  }
  return SQL_WALK_ON;
}

/* ---- what is found, as one value ------------------------------------------------------------ */

typedef struct SidePrinter {
  const Lookup *lookup;
  const char *outer;
} SidePrinter;

static bool print_side(void *ctx, Text *out, const SqlExpr *expr) {
  const SidePrinter *sides = ctx;
  const SqlExpr *column = sides->lookup->column;
  if (expr->kind != SQL_EXPR_COLUMN) return false;
  text_add_name(out, expr == column ? sides->outer : "w_x");
  text_addc(out, '.');
  text_add_name(out, expr->bound->columns[expr->column].name);
  return true;
}

/* The other columns of the rows found, sorted; where there are many the key itself is cheaper. */
static void add_signature(Text *sql, const Lookup *lookup, const char *outer) {
  const SqlSource *source = lookup->key->bound;
  const Table *table = source->object;
  SidePrinter sides = {lookup, outer};
  SqlPrinter printer = {.out = sql, .ctx = &sides, .expr = print_side};
  text_addf(sql, "(SELECT iif(count(*)>%d,'k'||quote(", MAX_FOUND);
  sql_print_expr(&printer, lookup->column);
  text_add(sql, "),'r'||group_concat(w_r,';')) FROM (SELECT ''");
  for (int i = 0; i < source->ncolumns; i++) {
    if (i == lookup->key->column) continue;
    text_add(sql, "||','||quote(");
    text_add_name(sql, source->columns[i].name);
    text_add(sql, ")||hex("); /* quote() ends at a NUL character */
    text_add_name(sql, source->columns[i].name);
    text_addc(sql, ')');
  }
  text_add(sql, " AS w_r FROM ");
  text_add_name(sql, table->schema);
  text_addc(sql, '.');
  text_add_name(sql, table->name);
  text_add(sql, " AS w_x WHERE ");
  sql_print_expr(&printer, lookup->equation);
  text_addf(sql, " ORDER BY 1 LIMIT %d))", MAX_FOUND + 1);
}

bool lookup_replace(Block *block, const SqlSource *of, const char *alias, bool *wanted,
                    Text *columns, int *count) {
  LookupWalk walk = {.of = of, .table = of->object};
  SqlVisitor visitor = {.ctx = &walk, .expr = find_lookups};
  block_walk(block, &visitor);
  if (walk.count == 0) return true;
  const SqlExpr *skip[MAX_LOOKUPS];
  for (int i = 0; i < walk.count; i++) skip[i] = walk.found[i].equation;
  bool *still = block_wanted_but(block, of, skip, walk.count);
  if (!still) return false;
  for (int i = 0; i < walk.count; i++) {
    int column = walk.found[i].column->column;
    if (still[column]) continue; /* read elsewhere too */
    wanted[column] = false;
    if (columns->length) text_addc(columns, ',');
    add_signature(columns, &walk.found[i], alias);
    ++*count;
  }
  return true;
}
