/*
** Groups of tuples. See block.h.
*/
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/weave/block.h"

/* ---- groups --------------------------------------------------------------------------------- */

static bool add_group_key(Block *block, Node *const *keys, int nkeys, size_t tuple, Text *key) {
  uint32_t outer = block->has_outer ? block_row(block, tuple, 0) : 0;
  text_addn(key, (const char *)&outer, sizeof outer);
  for (int i = 0; i < nkeys; i++) {
    if (keys[i]->kind != NODE_LEAF) {
      return block_refuse(block, keys[i]->expr,
                          "GROUP BY a value that depends on several decisions");
    }
    Collation collation = collation_named(sql_expr_collation(keys[i]->expr));
    if (collation == COLLATION_OTHER) {
      return block_refuse(block, keys[i]->expr,
                          "GROUP BY under a collation other than BINARY, NOCASE, RTRIM");
    }
    value_add_key(key, block_leaf(block, tuple, keys[i]->index), collation);
  }
  return !key->oom || fault_oom(block->compiler->fault);
}

static int compare_lits(const void *a, const void *b) {
  Lit x = *(const Lit *)a, y = *(const Lit *)b;
  return (x > y) - (x < y);
}

static bool covers_sorted(Lit *lits, size_t count, const Guard *guard) {
  qsort(lits, count, sizeof *lits, compare_lits);
  for (uint32_t i = 0; i < guard->count; i++) {
    if (!bsearch(&guard->lits[i], lits, count, sizeof *lits, compare_lits)) return false;
  }
  return true;
}

/* Are all literals of the made-up row's guard among the group's own? Then the group always has a
** tuple: one that matched, or the one that LEFT JOIN makes up. Mostly they come in the same order.
*/
static bool covers(const GuardSet *set, const Guard *guard, bool *out) {
  size_t total = 0, n = 0;
  uint32_t found = 0;
  for (size_t r = 0; r < set->count; r++) total += set->runs[r].count;
  Lit *lits = malloc((total + 1) * sizeof *lits);
  if (!lits) return false;
  for (size_t r = 0; r < set->count; r++) {
    for (size_t i = 0; i < set->runs[r].count; i++) {
      lits[n] = set->runs[r].lits[i];
      if (found < guard->count && lits[n] == guard->lits[found]) found++;
      n++;
    }
  }
  *out = found == guard->count || covers_sorted(lits, n, guard);
  free(lits);
  return true;
}

/* The tuples that LEFT JOIN makes up, each under the literal that nothing matched. */
static bool add_made_up(Block *block, const Group *group, GuardSet *set, LitRun *runs) {
  Compiler *compiler = block->compiler;
  size_t matched = set->count;
  for (size_t i = 0; i < group->ntuples && !set->always; i++) {
    const Guard *guard = &block->guards[group->tuples[i]];
    if (!guard->none_of) continue;
    GuardSet own = {.runs = runs, .count = matched};
    Lit *lit = arena_alloc(&compiler->arena, sizeof *lit);
    if (!lit || !covers(&own, guard, &set->always)) return fault_oom(compiler->fault);
    if (set->always) break;
    *lit = guard_literal(compiler, guard, 0);
    runs[set->count++] = (LitRun){lit, 1};
  }
  return true;
}

static bool make_set(Block *block, Group *group) {
  Compiler *compiler = block->compiler;
  GuardSet *set = arena_alloc(&compiler->arena, sizeof *set);
  LitRun *runs = arena_array(&compiler->arena, group->ntuples, sizeof *runs);
  bool made_up = false;
  if (!set || !runs) return fault_oom(compiler->fault);
  for (size_t i = 0; i < group->ntuples; i++) {
    const Guard *guard = &block->guards[group->tuples[i]];
    made_up |= guard->none_of;
    if (guard->none_of || guard->count == 0) continue;
    for (uint32_t j = 0; j < guard->count; j++) set->always |= guard->lits[j] == LIT_TRUE;
    runs[set->count++] = (LitRun){guard->lits, guard->count};
  }
  set->runs = runs;
  group->set = set;
  return !made_up || add_made_up(block, group, set, runs);
}

/* Without GROUP BY there is one group per outer row, whether or not it has tuples. */
static bool fixed_groups(Block *block, size_t count, Group *groups) {
  for (size_t g = 0; g < count; g++) {
    groups[g].outer = (uint32_t)g;
    groups[g].set = arena_alloc(&block->compiler->arena, sizeof *groups[g].set);
    if (!groups[g].set) return fault_oom(block->compiler->fault);
    groups[g].set->always = true;
  }
  return true;
}

bool group_tuples(Block *block, Node *const *keys, int nkeys, size_t nouter, Group **out,
                  size_t *out_count) {
  Compiler *compiler = block->compiler;
  bool grouped = block->select->ngroup > 0, ok = false;
  size_t count = grouped ? 0 : nouter, *sizes = NULL, *group_of = NULL, capacity = 0;
  Map map = {0};
  Text key = {0};
  group_of = malloc((block->ntuples + 1) * sizeof *group_of);
  if (!group_of) goto oom;
  if (!grouped && !array_grow(sizes, capacity, count)) goto oom;
  for (size_t t = 0; t < block->ntuples; t++) {
    size_t g = block->has_outer ? block_row(block, t, 0) : 0;
    if (grouped) {
      bool added;
      text_clear(&key);
      if (!add_group_key(block, keys, nkeys, t, &key)) goto out;
      int64_t *at = map_put(&map, key.data, key.length, (int64_t)count, &added);
      if (!at) goto oom;
      g = (size_t)*at;
      count += added;
      if (!array_grow(sizes, capacity, count)) goto oom;
    }
    group_of[t] = g;
    sizes[g]++;
  }
  Group *groups = arena_array(&compiler->arena, count, sizeof *groups);
  size_t *tuples = arena_array(&compiler->arena, block->ntuples, sizeof *tuples);
  if (!groups || !tuples) goto oom;
  size_t at = 0;
  for (size_t g = 0; g < count; g++) {
    groups[g].tuples = tuples + at;
    at += sizes[g];
  }
  for (size_t t = 0; t < block->ntuples; t++) {
    Group *group = &groups[group_of[t]];
    group->tuples[group->ntuples++] = t;
    if (block->has_outer) group->outer = block_row(block, t, 0);
  }
  ok = grouped || fixed_groups(block, count, groups);
  for (size_t g = 0; ok && grouped && g < count; g++) ok = make_set(block, &groups[g]);
  *out = groups;
  *out_count = count;
  goto out;
oom:
  fault_oom(compiler->fault);
out:
  free(group_of);
  free(sizes);
  map_finish(&map);
  text_finish(&key);
  return ok;
}

bool group_constant(Block *block, const Group *group, const Node *node) {
  if (node->kind == NODE_LEAF) {
    for (size_t i = 1; i < group->ntuples; i++) {
      /* The stand-in for an empty group is last, with a guard that is never true. */
      if (guard_copies(&block->guards[group->tuples[i]]) == 0) continue;
      const Value *a = block_leaf(block, group->tuples[0], node->index);
      const Value *b = block_leaf(block, group->tuples[i], node->index);
      bool same =
          a->type == b->type && (value_is_null(a) || value_compare(a, b, COLLATION_BINARY) == 0);
      if (!same) {
        return block_refuse(block, node->expr,
                            "this is not the same for all rows of its group, and which row "
                            "SQLite takes would depend on decisions");
      }
    }
  }
  for (int i = 0; node->kind == NODE_OPERATOR && i < node->nkids; i++) {
    if (!group_constant(block, group, node->kids[i])) return false;
  }
  return true;
}

/* Is a leaf the same in all rows, up to its collation? No refusal: only to describe the group. */
bool group_agrees(const Block *block, const Group *group, const Node *node) {
  if (node->kind != NODE_LEAF) return false;
  Collation collation = collation_named(sql_expr_collation(node->expr));
  const Value *first = block_leaf(block, group->tuples[0], node->index);
  for (size_t i = 1; i < group->ntuples; i++) {
    const Value *other = block_leaf(block, group->tuples[i], node->index);
    if (guard_copies(&block->guards[group->tuples[i]]) == 0) continue;
    if (value_is_null(first) != value_is_null(other)) return false;
    if (!value_is_null(first) && value_compare(first, other, collation) != 0) return false;
  }
  return true;
}
