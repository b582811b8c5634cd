/*
** Types of C (and as much of C++ as is the same), as the debug information describes them.
**
** A type belongs to its Dwarf and lives as long; the same entry gives the same pointer. What it is
** made of is read when it is asked for, so types may be recursive.
*/
#ifndef TENFOLD_REPLAY_DWARF_TYPES_H
#define TENFOLD_REPLAY_DWARF_TYPES_H

#include "base/arena.h"
#include "base/text.h"
#include "replay/dwarf.h"

typedef enum TypeKind {
  TYPE_VOID, /* also of what has no type */
  TYPE_SIGNED,
  TYPE_UNSIGNED,
  TYPE_SIGNED_CHAR, /* of one byte */
  TYPE_UNSIGNED_CHAR,
  TYPE_UTF, /* char16_t and its like */
  TYPE_BOOL,
  TYPE_FLOAT, /* size tells which: 2, 4, 8 and "long double" or "_Float128" */
  TYPE_COMPLEX,
  TYPE_ENUM,
  TYPE_POINTER,
  TYPE_REFERENCE,
  TYPE_ARRAY, /* of one dimension: others are arrays of arrays */
  TYPE_STRUCT,
  TYPE_UNION,
  TYPE_FUNCTION,
  TYPE_TYPEDEF,
  TYPE_CONST,
  TYPE_VOLATILE,
  TYPE_RESTRICT,
  TYPE_ATOMIC,
  TYPE_OTHER /* of a kind that is not known here: its bytes can be had */
} TypeKind;

typedef struct DwarfType DwarfType;
typedef struct DwarfMember DwarfMember;
typedef struct DwarfEnumerator DwarfEnumerator;

struct DwarfType {
  TypeKind kind;
  bool has_size;
  bool incomplete;  /* declared only: nothing is known but the name */
  bool is_class;    /* of a structure: C++'s keyword */
  bool is_vector;   /* of an array: one of the compiler's vectors */
  bool has_count;   /* of an array */
  bool is_signed;   /* of an enumeration, once its enumerators were asked for */
  bool dynamic;     /* of an array: the count is known only in a frame; see value.h */
  const char *name; /* NULL: it has none */
  uint64_t size;    /* bytes */
  uint64_t count;   /* of an array */
  uint64_t die;     /* 0: made here */
  Dwarf *dwarf;
  /* private: read by the functions below */
  const DwarfType *target;
  DwarfMember *members;
  DwarfEnumerator *enumerators;
  size_t nmembers, nenumerators;
  uint64_t bound; /* entry of the array's dimension */
  bool has_target, has_members, is_flags;
};

struct DwarfMember {
  const char *name; /* NULL: an unnamed structure or union, whose members count as ours */
  const DwarfType *type;
  uint64_t bit_offset; /* from the beginning of the structure */
  uint32_t bit_size;   /* 0: it is no bit field */
  bool is_base;        /* C++: a base class */
};

struct DwarfEnumerator {
  const char *name;
  int64_t value;
};

/* The type at an entry; 0 or a broken entry is void. NULL: no memory. */
const DwarfType *dwarf_type_at(Dwarf *dwarf, uint64_t die, Fault *fault);
/* What a pointer points to, an array has, a function gives, a typedef or qualifier stands for. Void
** for others. */
const DwarfType *dwarf_type_target(const DwarfType *type, Fault *fault);
/* Without typedefs and qualifiers, and an incomplete structure replaced by its complete namesake,
** if there is one. */
const DwarfType *dwarf_type_strip(const DwarfType *type, Fault *fault);
/* FAULT_INVALID: it has no size (a function, void, an incomplete structure). */
bool dwarf_type_size(const DwarfType *type, uint64_t *out, Fault *fault);
bool dwarf_type_members(const DwarfType *type, const DwarfMember **out, size_t *out_count,
                        Fault *fault);
/* *out_flags: every enumerator is a bit, or 0: values may be several at once. */
bool dwarf_type_enumerators(const DwarfType *type, const DwarfEnumerator **out, size_t *out_count,
                            bool *out_flags, Fault *fault);
/* As C writes it: "const char *", "int [3][2]", "int (*)(struct node *, ...)". */
bool dwarf_type_name(const DwarfType *type, Text *out, Fault *fault);

static inline bool dwarf_type_is_char(const DwarfType *type) {
  return type->kind == TYPE_SIGNED_CHAR || type->kind == TYPE_UNSIGNED_CHAR;
}
static inline bool dwarf_type_is_record(const DwarfType *type) {
  return type->kind == TYPE_STRUCT || type->kind == TYPE_UNION;
}

/* ---- types by name: the i-th of all, from 0 */

typedef struct DwarfNamed {
  uint64_t die;
  const char *name;
  const char *file;
  uint32_t line;
} DwarfNamed;

bool dwarf_type_count(Dwarf *dwarf, size_t *out, Fault *fault);
bool dwarf_type_get(Dwarf *dwarf, size_t i, DwarfNamed *out, Fault *fault);
/* The i-th of that name, without its keyword. False without a fault: no more. */
bool dwarf_type_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault);

/* A pointer to it, an array of it: made, owned by the arena. NULL: no memory. */
const DwarfType *dwarf_type_pointer(const DwarfType *type, Arena *arena, Fault *fault);
const DwarfType *dwarf_type_array(const DwarfType *type, uint64_t count, Arena *arena,
                                  Fault *fault);

#endif
