/*
** viz_flame(stack [, weight]): a flame graph as SVG from folded stacks, "main;read;memcpy".
**
**   SELECT viz_flame(stack, samples) FROM folded
**
** Roots at the bottom, width is share of the weight, siblings in the order of their names: the
** picture does not depend on the order of the rows. Frames too narrow to see are left out.
*/
#include "extensions/viz/viz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_LIMIT = 1000, NODE_LIMIT = 1000000, ROW = 17 };
static const double CHART = 1180, MARGIN = 10, NARROWEST = 0.3;

/* Node 0 is all stacks together. A child's number is greater than its parent's. */
typedef struct Node {
  int64_t parent, name;
  int depth;
  double total;
  size_t first, children; /* into Flame.order, after sorting */
} Node;

typedef struct Flame {
  Labels names;
  Map numbers; /* (parent, name) to node */
  Node *nodes;
  size_t count, capacity;
  size_t *order; /* nodes by parent and name */
  int deepest;
  size_t hidden;
} Flame;

/* ---- rows in ---------------------------------------------------------------------------- */

static int64_t add_node(Flame *flame, int64_t parent, int64_t name, int depth) {
  int64_t key[2] = {parent, name};
  bool added;
  if (!array_grow(flame->nodes, flame->capacity, flame->count + 1)) return -1;
  int64_t *at = map_put(&flame->numbers, key, sizeof key, (int64_t)flame->count, &added);
  if (!at) return -1;
  if (added) flame->nodes[flame->count++] = (Node){.parent = parent, .name = name, .depth = depth};
  if (depth > flame->deepest) flame->deepest = depth;
  return *at;
}

/* Adds the path of one stack; its weight goes to the last frame and is summed up at the end. */
static int add_stack(Flame *flame, const Label *stack, double weight) {
  int64_t node = add_node(flame, -1, -1, 0);
  const char *at = stack->text, *end = stack->text + stack->length;
  int depth = 0;
  while (node >= 0 && at < end) {
    const char *stop = memchr(at, ';', (size_t)(end - at));
    if (!stop) stop = end;
    if (stop > at) {
      if (++depth > DEPTH_LIMIT || flame->count > NODE_LIMIT) return SQLITE_TOOBIG;
      int64_t name = viz_label(&flame->names, at, (size_t)(stop - at));
      if (name < 0) return SQLITE_NOMEM;
      node = add_node(flame, node, name, depth);
    }
    at = stop + 1;
  }
  if (node < 0) return SQLITE_NOMEM;
  flame->nodes[node].total += weight;
  return SQLITE_OK;
}

void viz_flame_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  if (viz_any_null(argc, argv)) return;
  Flame *flame = sqlite3_aggregate_context(ctx, sizeof *flame);
  Label stack;
  double weight = 1;
  if (!flame) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (!viz_text(ctx, argv[0], "stack", &stack)) return;
  if (argc > 1 && !viz_number(ctx, argv[1], "weight", &weight)) return;
  if (weight < 0 || weight > 1e100) {
    func_fail(ctx, SQLITE_ERROR, "weight of \"%.60s\" is %.40s, it must be from 0 to 1e100",
              stack.text, (const char *)sqlite3_value_text(argv[1]));
    return;
  }
  int rc = add_stack(flame, &stack, weight);
  if (rc == SQLITE_TOOBIG) {
    func_fail(ctx, rc, "more than %d frames in a stack, or %d in all", DEPTH_LIMIT, NODE_LIMIT);
  } else if (rc != SQLITE_OK) {
    sqlite3_result_error_nomem(ctx);
  }
}

/* ---- layout ----------------------------------------------------------------------------- */

/* What is sorted: qsort has no context, so each entry brings its keys along. */
typedef struct Entry {
  int64_t parent;
  const Label *name;
  size_t node;
} Entry;

static int compare_entries(const void *left, const void *right) {
  const Entry *a = left, *b = right;
  if (a->parent != b->parent) return a->parent < b->parent ? -1 : 1;
  size_t shorter = a->name->length < b->name->length ? a->name->length : b->name->length;
  int order = memcmp(a->name->text, b->name->text, shorter);
  if (order != 0) return order;
  return a->name->length < b->name->length ? -1 : a->name->length > b->name->length;
}

/* Sums weights towards the root and lists each node's children by name. */
static bool arrange(Flame *flame) {
  size_t n = flame->count - 1;
  Entry *entries = calloc(n + 1, sizeof *entries);
  flame->order = calloc(n + 1, sizeof *flame->order);
  if (!entries || !flame->order) {
    free(entries);
    return false;
  }
  for (size_t i = n; i > 0; i--) {
    Node *node = &flame->nodes[i];
    flame->nodes[node->parent].total += node->total;
    entries[i - 1] = (Entry){node->parent, &flame->names.at[node->name], i};
  }
  qsort(entries, n, sizeof *entries, compare_entries);
  for (size_t i = 0; i < n; i++) {
    Node *parent = &flame->nodes[entries[i].parent];
    if (parent->children++ == 0) parent->first = i;
    flame->order[i] = entries[i].node;
  }
  free(entries);
  return true;
}

/* ---- drawing ---------------------------------------------------------------------------- */

static void add_share(Text *out, double part, double whole) {
  svg_number(out, part);
  text_add(out, ", ");
  svg_number(out, whole > 0 ? round(part / whole * 10000) / 100 : 0);
  text_addc(out, '%');
}

static void draw_node(Text *out, const Flame *flame, const Node *node, double x, double width) {
  double y = 30 + (double)(flame->deepest - node->depth) * ROW;
  static const Label all = {"all", 3};
  const Label *name = node->name < 0 ? &all : &flame->names.at[node->name];
  unsigned colour = node->name < 0 ? SVG_GRID : svg_warm(name->text, name->length);
  svg_box(out, x, y, width > 1 ? width - 0.5 : width, ROW - 1, colour);
  svg_tip_begin(out);
  svg_escape(out, name->text, name->length, 0);
  text_add(out, " (");
  add_share(out, node->total, flame->nodes[0].total);
  text_addc(out, ')');
  svg_tip_end(out, "rect");
  double room = (width - 6) / SVG_CHAR;
  if (room >= 3) {
    svg_label(out, x + 3, y + 12, SVG_START, svg_ink_on(colour), name->text, name->length,
              (size_t)room);
  }
}

/* As deep as the stacks, which DEPTH_LIMIT bounds. */
static void draw_tree(Text *out, Flame *flame, const Node *node, double x) {
  double scale = flame->nodes[0].total > 0 ? CHART / flame->nodes[0].total : 0;
  double width = node->total * scale;
  if (node->name >= 0 && width < NARROWEST) {
    flame->hidden++;
    return;
  }
  draw_node(out, flame, node, x, node->name < 0 ? CHART : width);
  for (size_t i = 0; i < node->children; i++) {
    const Node *child = &flame->nodes[flame->order[node->first + i]];
    draw_tree(out, flame, child, x);
    x += child->total * scale;
  }
}

static void draw(Text *out, Flame *flame) {
  double height = 30 + (double)(flame->deepest + 1) * ROW + 10;
  svg_begin(out, CHART + 2 * MARGIN, height, "Flame graph");
  draw_tree(out, flame, &flame->nodes[0], MARGIN);
  Text legend = {0};
  text_add(&legend, "Width: share of ");
  svg_number(&legend, flame->nodes[0].total);
  text_add(&legend,
           ". A frame stands on its caller; neighbours are in order of name, not of time.");
  if (flame->hidden > 0) {
    text_addf(&legend, " %zu too narrow to draw, with what they call.", flame->hidden);
  }
  if (legend.oom) out->oom = true;
  svg_label(out, MARGIN, 18, SVG_START, SVG_PALE, legend.data ? legend.data : "", legend.length, 0);
  svg_end(out);
  text_finish(&legend);
}

void viz_flame_final(sqlite3_context *ctx) {
  Flame *flame = sqlite3_aggregate_context(ctx, 0);
  if (!flame) return;
  Text out = {0};
  if (flame->count > 0 && !arrange(flame)) {
    sqlite3_result_error_nomem(ctx);
  } else if (flame->count > 0) {
    draw(&out, flame);
    vt_result_text(ctx, &out, false);
  }
  text_finish(&out);
  viz_labels_finish(&flame->names);
  map_finish(&flame->numbers);
  free(flame->nodes);
  free(flame->order);
}
