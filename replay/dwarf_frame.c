/*
** What a frame has beside its registers: the base that variables are counted from, and what its
** parameters were when it was called, which the caller's debug information may tell.
*/
#include "replay/dwarf_location.h"

enum { MOST_DEPTH = 16, ENTRY_WORK = 1000 };

static bool function_at(const ValueSource *source, DwarfFunction *out, Die *out_die) {
  size_t i;
  return dwarf_function_at(source->dwarf, source_lookup(source), &i, NULL) &&
         dwarf_function_get(source->dwarf, i, out, NULL) &&
         die_at(source->dwarf, out->die, out_die);
}

bool dwarf_frame_base(LocationContext *context, uint64_t *out, ValueState *out_state) {
  DwarfFunction function;
  Die die;
  Span expression;
  *out_state = VALUE_UNKNOWN;
  if (context->depth >= MOST_DEPTH || !function_at(context->source, &function, &die)) return true;
  DieAttr attr = die_attr(&die, DW_AT_frame_base);
  if (!dwarf_expression_at(die.unit, &attr, source_lookup(context->source), function.entry,
                           &expression, out_state))
    return true;
  context->depth++;
  bool ok = dwarf_evaluate_number(context, die.unit, expression, out, out_state);
  context->depth--;
  return ok;
}

/* Does the call lead to the function that the frame is in? *out_via: it leads to another one, of
** this entry, which may have jumped here. */
static bool leads_here(LocationContext *context, const ValueSource *caller, const Die *call,
                       const DwarfFunction *function, const Die *die, uint64_t *out_via) {
  Die named;
  *out_via = 0;
  if (dwarf_call_names(call, &named)) {
    const ValueSource *source = context->source;
    if (dwarf_is_function(&named, die)) return true;
    if (source->is_named && die_flag(&named, DW_AT_external) && dwarf_linkage(&named) &&
        source->is_named(source->ctx, function->entry + source->bias, dwarf_linkage(&named)))
      return true;
    dwarf_code_of(context->source->dwarf, &named, out_via);
    return false;
  }
  DieAttr target = die_attr(call, DW_AT_call_target);
  if (target.class == ATTR_ABSENT) target = die_attr(call, DW_AT_GNU_call_site_target);
  if (target.class != ATTR_BLOCK) return false;
  LocationContext there = location_beside(context, caller);
  there.fault = NULL;
  ValueState state;
  uint64_t addr;
  size_t i;
  DwarfFunction other;
  if (!dwarf_evaluate_number(&there, call->unit, target.block, &addr, &state) ||
      state != VALUE_KNOWN)
    return false;
  addr -= context->source->bias;
  if (addr == function->entry) return true;
  if (dwarf_function_at(context->source->dwarf, addr, &i, NULL) &&
      dwarf_function_get(context->source->dwarf, i, &other, NULL) && other.entry == addr)
    *out_via = other.die;
  return false;
}

/* ---- parameters at the entry */

/* Is this parameter of a call the one that is asked for? */
static bool is_parameter(const Die *parameter, int reg, uint64_t die) {
  if (reg < 0) {
    DieAttr attr = die_attr(parameter, DW_AT_call_parameter);
    if (attr.class == ATTR_ABSENT) attr = die_attr(parameter, DW_AT_abstract_origin);
    return attr.class == ATTR_ENTRY && attr.number == die;
  }
  DieAttr at = die_attr(parameter, DW_AT_location);
  Bytes in = bytes_from(at.block, 0);
  if (at.class != ATTR_BLOCK) return false;
  uint8_t op = bytes_u8(&in);
  uint64_t number = op == DW_OP_regx ? bytes_uleb(&in) : (uint64_t)op - DW_OP_reg0;
  return (op == DW_OP_regx || (op >= DW_OP_reg0 && op <= DW_OP_reg31)) && !in.bad &&
         in.at == in.end && number == (uint64_t)reg;
}

static bool value_of(LocationContext *context, const ValueSource *caller, const Die *parameter,
                     bool pointed, Cell *out, ValueState *out_state) {
  DieAttr attr = die_attr(parameter, pointed ? DW_AT_call_data_value : DW_AT_call_value);
  if (attr.class == ATTR_ABSENT)
    attr =
        die_attr(parameter, pointed ? DW_AT_GNU_call_site_data_value : DW_AT_GNU_call_site_value);
  if (attr.class != ATTR_BLOCK || !attr.block.size) return true;
  LocationContext there = location_beside(context, caller);
  return dwarf_evaluate_cell(&there, parameter->unit, attr.block, out, out_state);
}

/* The call that the frame is in, in the frame that made it: of a function that was reached by
** jumps, the last of them, in a frame that is gone. *out_caller NULL: not known. */
static bool find_caller(LocationContext *context, const Die *here, const DwarfFunction *function,
                        const ValueSource **out_caller, Die *out_call) {
  const ValueSource *source = context->source;
  const ValueSource *caller = source->caller(source->ctx);
  DwarfFunction calling;
  Die there;
  uint64_t via;
  *out_caller = NULL;
  if (!caller || !caller->dwarf || !function_at(caller, &calling, &there) ||
      !dwarf_find_call(&there, caller->pc - caller->bias, out_call))
    return true;
  if (leads_here(context, caller, out_call, function, here, &via)) {
    *out_caller = caller;
    return true;
  }
  return !via || dwarf_jumped_frame(context, via, here, caller, out_caller, out_call);
}

bool dwarf_entry_value(LocationContext *context, int reg, uint64_t die, int deref_size, Cell *out,
                       ValueState *out_state) {
  const ValueSource *source = context->source, *caller;
  DwarfFunction function;
  Die here, call, parameter;
  *out_state = VALUE_NO_ENTRY;
  *context->work -= ENTRY_WORK;
  if (!source->caller || context->depth >= MOST_DEPTH || *context->work < 0 ||
      !function_at(source, &function, &here) || dwarf_jumps_to_itself(&here))
    return true;
  if (!find_caller(context, &here, &function, &caller, &call)) return false;
  DieChildren children = {0};
  if (caller) children = die_children(&call);
  while (die_next_child(&children, &parameter))
    if (is_parameter(&parameter, reg, die)) {
      if (!value_of(context, caller, &parameter, deref_size > 0, out, out_state)) return false;
      if (*out_state == VALUE_KNOWN && deref_size > 0 && deref_size < 8)
        out->number &= (UINT64_C(1) << deref_size * 8) - 1;
      return true;
    }
  return true;
}
