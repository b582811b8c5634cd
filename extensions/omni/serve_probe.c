/*
** Expressions at many moments, for the host: a row for each.
*/
#include <string.h>

#include "extensions/omni/frames.h"
#include "extensions/omni/probe_ask.h"
#include "extensions/omni/serve.h"

enum { BEYOND = 16 }; /* frames further out that values may hang on */

typedef struct Probing {
  Service *service;
  CellWriter *out;
  int count;
  const char *texts[PROBE_EXPRESSIONS];
  ProbeWant wants[PROBE_EXPRESSIONS];
  /* Parsed at the first moment; `other` is the same as what is wanted of it. */
  const Expr *exprs[PROBE_EXPRESSIONS], *others[PROBE_EXPRESSIONS];
  bool parsed;
  Arena kept, arena;
} Probing;

static bool parse(Probing *probing, const ExprScope *scope, Fault *fault) {
  for (int i = 0; i < probing->count; i++) {
    const char *cast = probing->wants[i] == PROBE_TEXT ? "(char *)(%s\n)" : "(long)(%s\n)";
    char *other = arena_printf(&probing->kept, cast, probing->texts[i]);
    if (!other) return fault_oom(fault);
    if (!expr_parse(probing->texts[i], scope, &probing->kept, &probing->exprs[i], NULL, fault)) {
      return false;
    }
    if (probing->wants[i] != PROBE_ANY &&
        !expr_parse(other, scope, &probing->kept, &probing->others[i], NULL, fault)) {
      return false;
    }
  }
  probing->parsed = true;
  return true;
}

/* A pointer is to be a text, an enumerator a number. */
static bool wants_other(const Probing *probing, int i, const Value *value, bool *out,
                        Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(value->type, fault);
  if (!plain) return false;
  *out = (probing->wants[i] == PROBE_TEXT && plain->kind == TYPE_POINTER) ||
         (probing->wants[i] == PROBE_INTEGER && plain->kind == TYPE_ENUM);
  return true;
}

static bool put_all(Probing *probing, const ExprScope *scope, Fault *fault) {
  for (int i = 0; i < probing->count; i++) {
    Value value;
    Scalar scalar;
    bool other;
    if (!expr_evaluate(probing->exprs[i], scope, &probing->arena, &value, fault) ||
        !wants_other(probing, i, &value, &other, fault)) {
      return false;
    }
    if (other && !expr_evaluate(probing->others[i], scope, &probing->arena, &value, fault)) {
      return false;
    }
    if (!value_scalar(&value, NULL, &probing->arena, &scalar, fault)) return false;
    serve_put_scalar(probing->out, &scalar);
  }
  return true;
}

static bool put_moment(Probing *probing, Moment moment, Fault *fault) {
  Played *played = &probing->service->played;
  FrameSources sources = {0};
  PlayView view;
  ExprScope scope;
  arena_reset(&probing->arena);
  bool ok = played_goto(played, &probing->service->stop, &moment, &view, fault) &&
            frames_open(played, &view, 1 + BEYOND, &sources, fault) &&
            frames_scope(&sources, 0, &scope, fault) &&
            (probing->parsed || parse(probing, &scope, fault)) && put_all(probing, &scope, fault);
  cells_row(probing->out);
  frames_finish(&sources);
  if (ok && stop_now(&probing->service->stop)) ok = fault_set(fault, FAULT_INTERRUPT, "stopped");
  return ok;
}

bool serve_probe(Service *service, CellWriter *out, Fault *fault) {
  Wire *wire = &service->wire;
  Probing probing = {.service = service, .out = out};
  const char *dir = wire_get_text(wire);
  const uint32_t count = wire_get_u32(wire);
  for (uint32_t i = 0; i < count && i < PROBE_EXPRESSIONS; i++) {
    probing.wants[i] = (ProbeWant)wire_get_u32(wire);
    probing.texts[i] = wire_get_text(wire);
    probing.count++;
  }
  bool ok =
      count <= PROBE_EXPRESSIONS && !wire->failed && played_open(&service->played, dir, fault);
  while (ok && wire_get_u32(wire)) ok = put_moment(&probing, serve_get_moment(wire), fault);
  arena_finish(&probing.kept);
  arena_finish(&probing.arena);
  return ok && wire_end(wire, fault);
}
