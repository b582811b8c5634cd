/*
** Variables and expressions at a moment, for the host.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/frames.h"
#include "extensions/omni/serve.h"

enum { MOST_FRAMES = 1000, BEYOND = 16 }; /* frames further out that values may hang on */

/* ---- cells of a value ------------------------------------------------------------------------ */

void serve_put_scalar(CellWriter *out, const Scalar *scalar) {
  switch (scalar->kind) {
  case SCALAR_INTEGER:
    cell_integer(out, scalar->integer);
    break;
  case SCALAR_REAL:
    cell_real(out, scalar->real);
    break;
  case SCALAR_TEXT:
    cell_bytes(out, CELL_TEXT, scalar->bytes, scalar->size);
    break;
  case SCALAR_BLOB:
    cell_bytes(out, CELL_BLOB, scalar->bytes, scalar->size);
    break;
  default:
    cell_null(out);
  }
}

/* A function is worth its address. */
static bool scalar_of(const Value *value, Arena *arena, Scalar *out, Fault *fault) {
  uint64_t addr;
  const DwarfType *plain = dwarf_type_strip(value->type, fault);
  if (!plain || !value_scalar(value, NULL, arena, out, fault)) return false;
  if (plain->kind == TYPE_FUNCTION && value_address(value, &addr)) {
    *out = (Scalar){.kind = SCALAR_INTEGER, .integer = (int64_t)addr};
  }
  return true;
}

/* value, state, type, place */
static bool put_value(CellWriter *out, const Value *value, Arena *arena, Fault *fault) {
  Scalar scalar;
  Text type = {0}, place = {0};
  bool ok = scalar_of(value, arena, &scalar, fault) && dwarf_type_name(value->type, &type, fault) &&
            value_place(value, &place, fault);
  if (ok) {
    const bool unknown = scalar.kind == SCALAR_NULL && scalar.state != VALUE_KNOWN;
    serve_put_scalar(out, &scalar);
    cell_text(out, unknown ? value_state_text(scalar.state) : NULL);
    cell_text(out, text_get(&type));
    cell_text(out, value->state == VALUE_KNOWN ? text_get(&place) : NULL);
  }
  text_finish(&type);
  text_finish(&place);
  return ok;
}

/* ---- variables ------------------------------------------------------------------------------- */

typedef struct Listing {
  CellWriter *out;
  FrameSource *frame;
  const DwarfScope *scope;
  Arena arena;
} Listing;

/* The function, or inlined call, that a block is in. */
static const DwarfScope *function_of(const DwarfScope *scope) {
  while (scope->kind == SCOPE_BLOCK && scope->parent) scope = scope->parent;
  return scope;
}

static bool put_variable(Listing *listing, const DwarfVariable *variable, Fault *fault) {
  const DwarfScope *function = function_of(listing->scope);
  Value value;
  arena_reset(&listing->arena);
  cell_integer(listing->out, (int64_t)listing->frame->depth);
  cell_text(listing->out, function->name);
  cell_text(listing->out, variable->is_parameter ? "parameter" : "local");
  cell_text(listing->out, variable->name);
  if (!value_variable(&listing->frame->source, variable->die, &listing->arena, &value, fault) ||
      !put_value(listing->out, &value, &listing->arena, fault)) {
    return false;
  }
  cells_row(listing->out);
  return true;
}

/* Innermost blocks first; within one as they are declared. */
static bool put_frame(Listing *listing, Fault *fault) {
  const ValueSource *source = &listing->frame->source;
  const uint64_t addr = source->pc - source->bias - source->returned;
  if (!source->dwarf || !dwarf_scope_at(source->dwarf, addr, &listing->scope, NULL)) return true;
  for (; listing->scope; listing->scope = listing->scope->parent) {
    for (size_t i = 0; i < listing->scope->nvariables; i++) {
      if (!put_variable(listing, &listing->scope->variables[i], fault)) return false;
    }
  }
  return true;
}

bool serve_variables(Service *service, CellWriter *out, Fault *fault) {
  Moment moment;
  PlayView view;
  FrameSources sources = {0};
  if (!serve_stand(service, &moment, &view, fault)) return false;
  const uint64_t wanted = wire_get_u64(&service->wire);
  if (!wire_end(&service->wire, fault)) return false;
  size_t most = wanted < MOST_FRAMES ? (size_t)wanted : MOST_FRAMES;
  bool ok = frames_open(&service->played, &view, most + BEYOND, &sources, fault);
  Listing listing = {.out = out};
  for (size_t i = 0; ok && i < sources.count && i < most; i++) {
    listing.frame = &sources.list[i];
    ok = put_frame(&listing, fault);
    if (ok && stop_now(&service->stop)) ok = fault_set(fault, FAULT_INTERRUPT, "stopped");
  }
  arena_finish(&listing.arena);
  frames_finish(&sources);
  return ok;
}

/* ---- expressions ----------------------------------------------------------------------------- */

/* One row for each of the expressions in the text, which commas part. */
static bool put_expressions(CellWriter *out, const ExprScope *scope, const char *text,
                            Fault *fault) {
  Arena arena = {0};
  bool ok = true, more = true;
  for (int64_t n = 0; ok && more; n++) {
    const Expr *expr;
    const char *rest;
    Value value;
    while (*text == ' ' || *text == '\n' || *text == '\t') text++;
    arena_reset(&arena);
    ok = expr_parse(text, scope, &arena, &expr, &rest, fault);
    /* Without a rest allowed, the parser says what is wrong there. */
    if (ok && *rest && *rest != ',') ok = expr_parse(text, scope, &arena, &expr, NULL, fault);
    if (!ok) break;
    size_t length = (size_t)(rest - text);
    while (length && strchr(" \n\t", text[length - 1])) length--;
    cell_integer(out, n);
    cell_bytes(out, CELL_TEXT, text, length);
    ok = expr_evaluate(expr, scope, &arena, &value, fault) && put_value(out, &value, &arena, fault);
    cells_row(out);
    more = *rest == ',';
    text = rest + 1;
  }
  arena_finish(&arena);
  return ok;
}

bool serve_expressions(Service *service, CellWriter *out, Fault *fault) {
  Moment moment;
  PlayView view;
  FrameSources sources = {0};
  ExprScope scope;
  if (!serve_stand(service, &moment, &view, fault)) return false;
  const uint64_t depth = wire_get_u64(&service->wire);
  const char *text = wire_get_text(&service->wire);
  if (!wire_end(&service->wire, fault)) return false;
  if (depth >= MOST_FRAMES) {
    return fault_set(fault, FAULT_LIMIT, "frame %llu is asked for, the limit is %d",
                     (unsigned long long)depth, MOST_FRAMES);
  }
  bool ok = frames_open(&service->played, &view, (size_t)depth + 1 + BEYOND, &sources, fault);
  if (ok && depth >= sources.count) {
    ok = fault_set(fault, FAULT_NOTFOUND, "there is no frame %llu: the stack has %zu",
                   (unsigned long long)depth, sources.count);
  }
  ok = ok && frames_scope(&sources, (size_t)depth, &scope, fault) &&
       put_expressions(out, &scope, text, fault);
  frames_finish(&sources);
  return ok;
}
