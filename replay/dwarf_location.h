/*
** Locations: what a location expression says, piece by piece.
*/
#ifndef TENFOLD_REPLAY_DWARF_LOCATION_H
#define TENFOLD_REPLAY_DWARF_LOCATION_H

#include "replay/dwarf_cell.h"
#include "replay/dwarf_inner.h"
#include "replay/value.h"

typedef enum PieceKind {
  PIECE_NONE, /* optimised out */
  PIECE_MEMORY,
  PIECE_REGISTER,
  PIECE_BYTES,  /* the value itself */
  PIECE_POINTER /* a pointer to something that has no address: an entry and an offset */
} PieceKind;

typedef struct Piece {
  PieceKind kind;
  uint64_t bit_size;   /* UINT64_MAX: all there is */
  uint64_t bit_offset; /* into its place */
  uint64_t addr;       /* PIECE_MEMORY: in the process */
  unsigned reg;
  Span bytes;
  uint64_t die; /* PIECE_POINTER */
  int64_t offset;
} Piece;

struct Location {
  Piece *pieces;
  size_t count, capacity; /* in an arena: grown by copying */
};

/* What is being evaluated, and for whom. */
typedef struct LocationContext {
  const ValueSource *source;
  Arena *arena;
  Fault *fault;
  bool has_object; /* for DW_OP_push_object_address */
  uint64_t object;
  int depth; /* of evaluations for evaluations */
  int *work; /* operations that may still be done, in all of them */
} LocationContext;

/* A location takes a handful of operations. */
enum { LOCATION_WORK = 100000 };

/* For an evaluation in another frame, for this one. */
static inline LocationContext location_beside(const LocationContext *context,
                                              const ValueSource *source) {
  LocationContext beside = *context;
  beside.source = source;
  beside.has_object = false;
  beside.depth++;
  return beside;
}

/* ---- dwarf_loclist.c */

/* The expression that holds at an address of the file: of an attribute that is one, or a list of
** them. False: none does; *out_state says whether that means that it was optimised out. */
bool dwarf_expression_at(const DwarfUnit *unit, const DieAttr *attr, uint64_t addr, uint64_t entry,
                         Span *out, ValueState *out_state);

/* ---- dwarf_expression.c. These return false with a fault for want of memory alone; whatever is
** wrong otherwise is *out_state. */

bool dwarf_evaluate(LocationContext *context, const DwarfUnit *unit, Span expression, Location *out,
                    ValueState *out_state);
/* What the expression computes, of whatever type. */
bool dwarf_evaluate_cell(LocationContext *context, const DwarfUnit *unit, Span expression,
                         Cell *out, ValueState *out_state);
/* The same as a number (frame bases, bounds). */
bool dwarf_evaluate_number(LocationContext *context, const DwarfUnit *unit, Span expression,
                           uint64_t *out, ValueState *out_state);

/* ---- dwarf_variable.c */

/* The location of the variable at an entry. */
bool dwarf_locate(LocationContext *context, uint64_t die, Location *out, ValueState *out_state);
/* A number that an attribute gives: a constant, an expression, or a variable that holds it. */
bool dwarf_property(LocationContext *context, const Die *die, uint16_t name, uint64_t *out,
                    ValueState *out_state);
/* The type with the lengths of its arrays as they are in this frame. */
const DwarfType *dwarf_resolve(LocationContext *context, const DwarfType *type,
                               ValueState *out_state);
bool dwarf_add_piece(Arena *arena, Location *location, const Piece *piece, Fault *fault);

/* ---- dwarf_frame.c */

/* What DW_OP_fbreg counts from. */
bool dwarf_frame_base(LocationContext *context, uint64_t *out, ValueState *out_state);
/* What a parameter was at the entry: in a register (reg), or the one at an entry (die, reg < 0). */
bool dwarf_entry_value(LocationContext *context, int reg, uint64_t die, int deref_size, Cell *out,
                       ValueState *out_state);

/* ---- dwarf_call.c */

/* The call in a function that returns to this address. */
bool dwarf_find_call(const Die *function, uint64_t returns, Die *out);
/* The entry of the function that a call names, if it names one. */
bool dwarf_call_names(const Die *call, Die *out);
/* The name that the linker has for it. */
const char *dwarf_linkage(const Die *die);
/* Is `named`, as a call has it, the function of `die`? The two may be of different modules. */
bool dwarf_is_function(const Die *named, const Die *die);
/* The entry with the code of the function that a call names. False: it is elsewhere, or unknown. */
bool dwarf_code_of(Dwarf *dwarf, const Die *named, uint64_t *out);
/* May the function come to itself again by jumps? Then the call it was entered by is not known. */
bool dwarf_jumps_to_itself(const Die *function);
/* When there is one way of jumps from the function `via`, which `caller` called, to `here`: the
** frame, as far as it can be known, of the last function that jumped, and its jump. */
bool dwarf_jumped_frame(LocationContext *context, uint64_t via, const Die *here,
                        const ValueSource *caller, const ValueSource **out_caller, Die *out_call);

/* ---- value_read.c */

/* Bits of a location, the lowest first. */
bool dwarf_read_bits(const ValueSource *source, const Location *location, uint64_t bit_offset,
                     uint64_t bit_size, void *out, ValueState *out_state, Fault *fault);

/* The address of the file that look-ups go by: of a frame that has called, within the call. */
static inline uint64_t source_lookup(const ValueSource *source) {
  return source->pc - source->bias - source->returned;
}

#endif
