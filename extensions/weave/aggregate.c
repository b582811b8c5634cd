/*
** Aggregates over the tuples of a group, as symbols. See block.h.
*/
#include <math.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* One value that takes part when its guard is true. Small, and in memory that is used again for
** every group: a thousand groups of a thousand rows are a million of these. */
typedef struct Part {
  Lit guard;
  Var tally;          /* instead of a guard: so many times; VAR_ONE: `guard` holds */
  const Value *value; /* a constant; NULL: `sym` */
  const Sym *sym;
} Part;

typedef struct Parts {
  Part *items; /* NULLs left out */
  size_t count;
  GuardSet *set; /* of the parts */
} Parts;

/* guard AND NOT null(value), where that is not plain. */
static bool part_guard(const Algebra *algebra, const Sym *value, Lit *guard) {
  Lit null;
  if (!sym_null_lit(algebra, value, &null)) return false;
  if (null != LIT_FALSE) *guard = model_and(algebra->model, (Lit[]){*guard, lit_not(null)}, 2);
  return true;
}

static bool filter_part(const Frame *frame, const Node *filter, Lit *guard) {
  const Algebra *algebra = &frame->block->compiler->algebra;
  Sym condition, truth;
  if (!filter) return true;
  if (!evaluate(frame, filter, &condition) || !sym_to_bool(algebra, &condition, &truth)) {
    return false;
  }
  *guard = model_and(algebra->model, (Lit[]){*guard, truth.yes}, 2);
  return true;
}

/* A constant under the tuple's own guard: for sums, the rows it stands for need not be told
** apart. */
static void add_plain(Block *block, const Guard *guard, const Value *value, bool summed,
                      LitRun *run, Parts *out) {
  Part part = {.guard = LIT_FALSE, .value = value};
  part.tally = summed ? guard_tally(block->compiler, guard) : VAR_ONE;
  if (part.tally != VAR_ONE) out->items[out->count++] = part;
  for (uint32_t j = 0; j < guard->count && part.tally == VAR_ONE; j++) {
    part.guard = guard->lits[j];
    out->set->always |= part.guard == LIT_TRUE;
    out->items[out->count++] = part;
  }
  *run = (LitRun){guard->lits, guard->count};
}

static bool collect_tuple(Block *block, const Aggregate *aggregate, size_t tuple, bool summed,
                          LitRun *run, Parts *out) {
  static const Value one = {.type = VALUE_INTEGER, .integer = 1};
  Compiler *compiler = block->compiler;
  Frame frame = {.block = block, .tuple = tuple};
  const Guard *guard = &block->guards[tuple];
  Part part = {.value = &one};
  if (aggregate->arg && aggregate->arg->kind == NODE_LEAF) {
    part.value = block_leaf(block, tuple, aggregate->arg->index);
  } else if (aggregate->arg) {
    Sym *sym = arena_alloc(&compiler->arena, sizeof *sym);
    if (!sym) return fault_oom(compiler->fault);
    if (!evaluate(&frame, aggregate->arg, sym)) return false;
    part.value = sym->kind == SYM_CONST ? &sym->value : NULL;
    part.sym = sym;
  }
  if ((part.value && value_is_null(part.value)) || guard_copies(guard) == 0) return true;
  if (part.value && !aggregate->filter && !guard->none_of) {
    add_plain(block, guard, part.value, summed, run, out);
    return true;
  }
  Lit *lits = arena_array(&compiler->arena, guard_copies(guard), sizeof *lits);
  if (!lits) return fault_oom(compiler->fault);
  run->lits = lits;
  for (uint32_t j = 0; j < guard_copies(guard); j++) {
    part.guard = guard_literal(compiler, guard, j);
    if (!part.value && !part_guard(&compiler->algebra, part.sym, &part.guard)) return false;
    if (!filter_part(&frame, aggregate->filter, &part.guard)) return false;
    if (part.guard == LIT_FALSE) continue;
    out->set->always |= part.guard == LIT_TRUE;
    lits[run->count++] = part.guard;
    out->items[out->count++] = part;
  }
  return true;
}

static bool collect_parts(Block *block, const Group *group, const Aggregate *aggregate, bool summed,
                          Parts *out) {
  Compiler *compiler = block->compiler;
  size_t total = 0;
  for (size_t i = 0; i < group->ntuples; i++) {
    total += guard_copies(&block->guards[group->tuples[i]]);
  }
  out->set = arena_alloc(&compiler->arena, sizeof *out->set);
  LitRun *runs = arena_array(&compiler->arena, group->ntuples, sizeof *runs);
  if (!out->set || !runs || !array_grow(block->parts, block->parts_capacity, total + 1)) {
    return fault_oom(compiler->fault);
  }
  out->items = block->parts;
  out->count = 0;
  for (size_t i = 0; i < group->ntuples; i++) {
    LitRun *run = &runs[out->set->count];
    if (!collect_tuple(block, aggregate, group->tuples[i], summed, run, out)) return false;
    out->set->count += run->count > 0;
  }
  out->set->runs = runs;
  return true;
}

/* A finished sum; constant where it can be: how SQLite rounds it depends on the order of its rows.
 */
static bool finish_lin(Block *block, Lin *lin, NumberType type, const GuardSet *set, bool nullable,
                       double at_empty, Sym *out) {
  const Lin *kept = sym_keep(&block->compiler->algebra, lin);
  if (!kept) return false;
  bool never_null = !nullable || set->always;
  if (kept->count == 0 && never_null && type != NUMBER_EITHER && kept->rough == 0) {
    *out = sym_const(type == NUMBER_INTEGER ? value_integer((int64_t)kept->constant)
                                            : value_real(kept->constant));
    return true;
  }
  if (set->count == 0 && nullable && !set->always) {
    *out = sym_null();
    return true;
  }
  *out = sym_lin(kept, type);
  if (!set->always) {
    out->group = set;
    out->null_if_empty = nullable;
    out->at_empty = at_empty;
  }
  return true;
}

static bool add_part(Block *block, Lin *lin, const Part *part, NumberType *type) {
  const Algebra *algebra = &block->compiler->algebra;
  if (part->value) {
    double number;
    if (!sym_number(algebra, part->value, &number)) return false;
    *type = number_type(part->value);
    if (part->tally != VAR_ONE) {
      lin_add(lin, part->tally, number);
    } else {
      lin_add_lit(lin, part->guard, number);
    }
    return true;
  }
  Sym number;
  if (!sym_to_lin(algebra, part->sym, &number)) return false;
  *type = number.type;
  if (part->guard == LIT_TRUE) {
    lin_add_lin(lin, number.lin, 1);
  } else {
    lin_add(lin, model_product(algebra->model, part->guard, number.lin), 1);
  }
  return true;
}

/* A sum is REAL as soon as one value is: surely when one that is always there is, or all are. */
static bool aggregate_sum(Block *block, const Parts *parts, bool total, Sym *out) {
  Lin lin = {0};
  NumberType type = NUMBER_INTEGER;
  bool real = total;
  for (size_t i = 0; i < parts->count; i++) {
    NumberType own;
    if (!add_part(block, &lin, &parts->items[i], &own)) {
      lin_finish(&lin);
      return false;
    }
    real |= own == NUMBER_REAL && parts->items[i].guard == LIT_TRUE;
    type = i ? number_type_of_either(type, own) : own;
  }
  return finish_lin(block, &lin, real ? NUMBER_REAL : type, parts->set, !total, 0, out);
}

static bool aggregate_count(Block *block, const Parts *parts, Sym *out) {
  Lin lin = {0};
  for (size_t i = 0; i < parts->count; i++) {
    const Part *part = &parts->items[i];
    if (part->tally != VAR_ONE) {
      lin_add(&lin, part->tally, 1);
    } else {
      lin_add_lit(&lin, part->guard, 1);
    }
  }
  return finish_lin(block, &lin, NUMBER_INTEGER, parts->set, false, 0, out);
}

static bool aggregate_avg(Block *block, const Parts *parts, Sym *out) {
  Sym sum, count;
  if (!aggregate_sum(block, parts, true, &sum) || !aggregate_count(block, parts, &count)) {
    return false;
  }
  const Algebra *algebra = &block->compiler->algebra;
  if (count.kind == SYM_CONST) { /* division by zero gives the NULL that avg() gives */
    return sym_arithmetic(algebra, SQL_OP_DIV, &sum, &count, out);
  }
  Sym lin;
  if (!sym_to_lin(algebra, &sum, &lin)) return false;
  *out = lin;
  out->kind = SYM_RATIO;
  out->divisor = count.lin;
  return true;
}

static bool aggregate_extreme(Block *block, const Parts *parts, bool largest, Collation collation,
                              Sym *out) {
  const Algebra *algebra = &block->compiler->algebra;
  GuardedLin *items = arena_array(algebra->arena, parts->count, sizeof *items);
  if (!items) return fault_oom(algebra->fault);
  NumberType type = NUMBER_INTEGER;
  bool constant = true;
  const Value *best = NULL;
  for (size_t i = 0; i < parts->count; i++) {
    const Part *part = &parts->items[i];
    if (part->value && part->guard == LIT_TRUE) {
      int order = best ? value_compare(part->value, best, collation) : 0;
      if (!best || (largest ? order > 0 : order < 0)) best = part->value;
    } else {
      constant = false;
    }
  }
  if (constant) {
    *out = best ? sym_const(*best) : sym_null();
    return true;
  }
  for (size_t i = 0; i < parts->count; i++) {
    const Part *part = &parts->items[i];
    if (part->value && !value_is_number(part->value)) {
      return fault_set(algebra->fault, FAULT_UNSUPPORTED,
                       "min() or max() of text that depends on decisions");
    }
    Sym number, plain = part->value ? sym_const(*part->value) : *part->sym;
    if (!sym_to_lin(algebra, &plain, &number)) return false;
    type = i ? number_type_of_either(type, number.type) : number.type;
    items[i] = (GuardedLin){part->guard, *number.lin};
  }
  Lin lin = {0};
  lin_add(&lin,
          largest ? model_max(algebra->model, items, parts->count)
                  : model_min(algebra->model, items, parts->count),
          1);
  return finish_lin(block, &lin, type, parts->set, true, NAN, out);
}

/* Parts with equal values become one, present when any of them is; also the set behind
** count(DISTINCT). */
static bool merge_distinct(Block *block, Parts *parts, Collation collation, DistinctSet *set) {
  const Algebra *algebra = &block->compiler->algebra;
  Map map = {0};
  Text key = {0};
  bool ok = false;
  size_t count = 0;
  Lin *sums = arena_array(algebra->arena, parts->count, sizeof *sums);
  Part *merged = arena_array(algebra->arena, parts->count, sizeof *merged);
  uint32_t *first = arena_array(algebra->arena, parts->count + 1, sizeof *first);
  uint32_t *next = arena_array(algebra->arena, parts->count + 1, sizeof *next);
  Lit *lits = arena_array(algebra->arena, parts->count, sizeof *lits);
  if (!sums || !merged || !first || !next || !lits) goto oom;
  Lin total = {0};
  for (size_t i = 0; i < parts->count; i++) {
    bool added;
    if (!parts->items[i].value) {
      fault_set(algebra->fault, FAULT_UNSUPPORTED,
                "DISTINCT over values that are computed from several decisions");
      goto out;
    }
    text_clear(&key);
    value_add_key(&key, parts->items[i].value, collation);
    int64_t *at = key.oom ? NULL : map_put(&map, key.data, key.length, (int64_t)count, &added);
    if (!at) goto oom;
    if (added) merged[count++].value = parts->items[i].value;
    next[i + 1] = first[*at];
    first[*at] = (uint32_t)i + 1;
    lin_add_lit(&sums[*at], parts->items[i].guard, 1);
    lin_add_lit(&total, parts->items[i].guard, 1);
  }
  for (size_t v = 0; v < count; v++) {
    size_t n = 0;
    for (uint32_t i = first[v]; i; i = next[i]) lits[n++] = parts->items[i - 1].guard;
    merged[v].guard = model_or(algebra->model, lits, n);
    const Lin *kept = sym_keep(algebra, &sums[v]);
    if (!kept) goto out;
    sums[v] = *kept;
  }
  *set = (DistinctSet){.per_value = sums, .count = count, .total = sym_keep(algebra, &total)};
  parts->items = merged;
  parts->count = count;
  ok = set->total != NULL;
  goto out;
oom:
  fault_oom(algebra->fault);
out:
  map_finish(&map);
  text_finish(&key);
  return ok;
}

static bool evaluate_aggregate(Block *block, const Group *group, const Aggregate *aggregate,
                               Sym *out) {
  const SqlExpr *expr = aggregate->expr;
  const char *name = expr->name;
  bool extreme = !strcasecmp(name, "min") || !strcasecmp(name, "max");
  Collation collation = COLLATION_BINARY;
  Parts parts;
  if (expr->nargs > 0) collation = collation_named(sql_expr_collation(expr->args[0]));
  if (collation == COLLATION_OTHER && (expr->distinct || extreme)) {
    return block_refuse(block, expr, "%s under a collation other than BINARY, NOCASE, RTRIM",
                        expr->distinct ? "DISTINCT" : name);
  }
  if (!collect_parts(block, group, aggregate, !extreme && !expr->distinct, &parts)) return false;
  if (expr->distinct) {
    DistinctSet *set = arena_alloc(&block->compiler->arena, sizeof *set);
    if (!set) return fault_oom(block->compiler->fault);
    if (!merge_distinct(block, &parts, collation, set)) return false;
    if (!strcasecmp(name, "count")) {
      if (!aggregate_count(block, &parts, out)) return false;
      if (out->kind == SYM_LIN) out->distinct = set;
      return true;
    }
  }
  if (!strcasecmp(name, "count")) return aggregate_count(block, &parts, out);
  if (!strcasecmp(name, "sum")) return aggregate_sum(block, &parts, false, out);
  if (!strcasecmp(name, "total")) return aggregate_sum(block, &parts, true, out);
  if (!strcasecmp(name, "avg")) return aggregate_avg(block, &parts, out);
  return aggregate_extreme(block, &parts, !strcasecmp(name, "max"), collation, out);
}

static bool same_runs(const GuardSet *a, const GuardSet *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const LitRun *x = &a->runs[i], *y = &b->runs[i];
    if (x->count != y->count) return false;
    if (x->lits != y->lits && memcmp(x->lits, y->lits, x->count * sizeof *x->lits) != 0) {
      return false;
    }
  }
  return true;
}

bool group_aggregates(Block *block, const Group *group, Sym *out) {
  for (int i = 0; i < block->naggregates; i++) {
    if (!evaluate_aggregate(block, group, &block->aggregates[i], &out[i])) {
      return compile_locate(block->compiler, block->aggregates[i].expr);
    }
    /* Aggregates of one group share its set, so that differences of them stay simple. */
    const GuardSet *own = out[i].kind == SYM_LIN ? out[i].group : NULL, *set = group->set;
    if (own && !set->always && same_runs(own, set)) out[i].group = set;
  }
  return true;
}
