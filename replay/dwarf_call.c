/*
** Calls as the debug information lists them, and jumps that end a function by entering another one
** (tail calls): the frame of the one that jumped is gone, but what it passed on may be known.
*/
#include <string.h>

#include "replay/dwarf_location.h"

enum { MOST_FUNCTIONS = 64, MOST_JUMPS = 8 };

static bool is_scope(uint16_t tag) {
  return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine;
}

static bool find_call(const Die *scope, uint64_t returns, int depth, Die *out) {
  DieChildren children = die_children(scope);
  Die child;
  while (depth < DWARF_DEPTH && die_next_child(&children, &child)) {
    uint16_t tag = die_tag(&child);
    if (is_scope(tag) && find_call(&child, returns, depth + 1, out)) return true;
    if (tag != DW_TAG_call_site && tag != DW_TAG_GNU_call_site) continue;
    DieAttr at = die_attr(&child, DW_AT_call_return_pc);
    if (at.class == ATTR_ABSENT) at = die_attr(&child, DW_AT_low_pc);
    if (at.class != ATTR_ADDRESS || at.number != returns) continue;
    *out = child;
    return true;
  }
  return false;
}

bool dwarf_find_call(const Die *function, uint64_t returns, Die *out) {
  return find_call(function, returns, 0, out);
}

bool dwarf_call_names(const Die *call, Die *out) {
  return die_follow(call, DW_AT_call_origin, out) || die_follow(call, DW_AT_abstract_origin, out);
}

/* The entry that all entries of a function complete. */
static Die root_of(Die die) {
  Die next;
  for (int hops = 0; hops < 8; hops++) {
    if (!die_follow(&die, DW_AT_abstract_origin, &next) &&
        !die_follow(&die, DW_AT_specification, &next))
      break;
    die = next;
  }
  return die;
}

const char *dwarf_linkage(const Die *die) {
  DieAttr attr = die_attr_deep(die, DW_AT_linkage_name);
  return attr.class == ATTR_TEXT ? attr.text : die_name(die);
}

static bool same(const char *x, const char *y) { return x && y && !strcmp(x, y); }

/* The linker may know one function by several names (the C library's "qsort" is "__GI_qsort" to
** itself); its name in the source is one of them, as far as C goes. */
bool dwarf_is_function(const Die *named, const Die *die) {
  Die a = root_of(*named), b = root_of(*die);
  if (a.offset == b.offset && a.unit->dwarf == b.unit->dwarf) return true;
  if (!die_flag(&a, DW_AT_external) || !die_flag(&b, DW_AT_external)) return false;
  return same(dwarf_linkage(&a), dwarf_linkage(&b)) || same(dwarf_linkage(&a), die_name(&b)) ||
         same(die_name(&a), die_name(&b));
}

bool dwarf_code_of(Dwarf *dwarf, const Die *named, uint64_t *out) {
  size_t found;
  DwarfFunction function;
  const char *name = dwarf_linkage(named);
  for (size_t i = 0; name && dwarf_function_named(dwarf, name, i, &found, NULL); i++) {
    Die die;
    if (dwarf_function_get(dwarf, found, &function, NULL) && function.nranges &&
        die_at(dwarf, function.die, &die) && dwarf_is_function(named, &die)) {
      *out = function.die;
      return true;
    }
  }
  return false;
}

/* ---- jumps */

typedef struct Jump {
  Die call;
  uint64_t to; /* the entry with the code; 0: not in this module */
} Jump;

typedef struct Jumps {
  Jump list[MOST_FUNCTIONS];
  int count;
} Jumps;

/* False: more than can be told, or one whose target is not named. */
static bool list_jumps(const Die *scope, int depth, Jumps *out) {
  DieChildren children = die_children(scope);
  Die child, named;
  while (depth < DWARF_DEPTH && die_next_child(&children, &child)) {
    uint16_t tag = die_tag(&child);
    if (is_scope(tag) && !list_jumps(&child, depth + 1, out)) return false;
    bool jumps = (tag == DW_TAG_call_site && die_flag(&child, DW_AT_call_tail_call)) ||
                 (tag == DW_TAG_GNU_call_site && die_flag(&child, DW_AT_GNU_tail_call));
    if (!jumps) continue;
    if (out->count == MOST_FUNCTIONS || !dwarf_call_names(&child, &named)) return false;
    Jump *jump = &out->list[out->count++];
    *jump = (Jump){.call = child};
    dwarf_code_of(scope->unit->dwarf, &named, &jump->to);
  }
  return true;
}

bool dwarf_jumps_to_itself(const Die *function) {
  uint64_t seen[MOST_FUNCTIONS];
  int count = 0, done = -1;
  for (; done < count; done++) {
    Jumps jumps = {.count = 0};
    Die die = *function;
    if (done >= 0 && !die_at(function->unit->dwarf, seen[done], &die)) continue;
    if (!list_jumps(&die, 0, &jumps)) return true;
    for (int i = 0; i < jumps.count; i++) {
      uint64_t to = jumps.list[i].to;
      if (to == function->offset) return true;
      int k = 0;
      while (k < count && seen[k] != to) k++;
      if (!to || k < count) continue;
      if (count == MOST_FUNCTIONS) return true;
      seen[count++] = to;
    }
    if (done + 1 >= count) break;
  }
  return false;
}

/* ---- the one way from a function to another */

typedef struct Way {
  Die jumps[MOST_JUMPS];
  int count;
} Way;

typedef struct Search {
  uint64_t goal;
  Way at, found;
  int ways, work;
} Search;

/* False: there may be others. */
static bool search(Search *search_state, Dwarf *dwarf, uint64_t from) {
  Jumps *jumps = &(Jumps){.count = 0};
  Way *at = &search_state->at;
  Die die;
  if (search_state->work-- <= 0 || at->count == MOST_JUMPS || !die_at(dwarf, from, &die) ||
      !list_jumps(&die, 0, jumps))
    return false;
  for (int i = 0; i < jumps->count; i++) {
    const Jump *jump = &jumps->list[i];
    if (!jump->to) continue;
    at->jumps[at->count++] = jump->call;
    if (jump->to == search_state->goal) {
      search_state->found = *at;
      if (search_state->ways++) return false;
    } else if (!search(search_state, dwarf, jump->to)) {
      return false;
    }
    at->count--;
  }
  return true;
}

/* A frame that is gone: nothing is left of it but what it was called with. */
typedef struct Gone {
  ValueSource source;
  const ValueSource *real, *caller;
} Gone;

static bool gone_read(void *ctx, uint64_t addr, void *out, size_t size) {
  const ValueSource *real = ((const Gone *)ctx)->real;
  return real->read(real->ctx, addr, out, size);
}

static const ValueSource *gone_caller(void *ctx) { return ((const Gone *)ctx)->caller; }

static bool make_gone(LocationContext *context, const Die *jump, const ValueSource *caller,
                      const ValueSource **out) {
  Gone *gone = arena_alloc(context->arena, sizeof *gone);
  if (!gone) return fault_oom(context->fault);
  DieAttr at = die_attr(jump, DW_AT_call_return_pc);
  if (at.class == ATTR_ABSENT) at = die_attr(jump, DW_AT_low_pc);
  *gone = (Gone){.real = context->source, .caller = caller};
  gone->source = (ValueSource){.dwarf = context->source->dwarf,
                               .bias = context->source->bias,
                               .pc = at.number + context->source->bias,
                               .returned = true,
                               .ctx = gone,
                               .read = gone_read,
                               .caller = gone_caller};
  *out = at.class == ATTR_ADDRESS ? &gone->source : NULL;
  return true;
}

bool dwarf_jumped_frame(LocationContext *context, uint64_t via, const Die *here,
                        const ValueSource *caller, const ValueSource **out_caller, Die *out_call) {
  Search state = {.goal = here->offset, .work = MOST_FUNCTIONS};
  *out_caller = NULL;
  if (!search(&state, context->source->dwarf, via) || state.ways != 1) return true;
  for (int i = 0; i < state.found.count && caller; i++)
    if (!make_gone(context, &state.found.jumps[i], caller, &caller)) return false;
  *out_caller = caller;
  *out_call = state.found.jumps[state.found.count - 1];
  return true;
}
