/*
** Values of variables of a stopped program: where they are, what they are, what they look like.
**
** What the program or its debug information does not know is a state of the value, never a guess:
** VALUE_OPTIMIZED_OUT and the like. A fault is out of memory, or a question that makes no sense.
**
** Values live in an arena that the caller resets when it has done with them. They read the program
** when they are looked at, so they are good until it runs on.
*/
#ifndef TENFOLD_REPLAY_VALUE_H
#define TENFOLD_REPLAY_VALUE_H

#include "base/arena.h"
#include "base/text.h"
#include "replay/dwarf_scope.h"
#include "replay/dwarf_types.h"

/* A frame of a stopped thread, or (for globals) just the process: `reg` and `cfa` may be NULL. All
** callbacks say false when they do not know. */
typedef struct ValueSource ValueSource;
struct ValueSource {
  Dwarf *dwarf;       /* of the module that pc is in */
  const char *module; /* its path, or NULL */
  uint64_t bias;      /* of that module: addresses of the process less those of the file */
  uint64_t pc;        /* in the process */
  bool returned;      /* the frame has called another one: pc is where that will return to */
  bool entered;       /* pc is the first instruction of its function: nothing of that has run */
  void *ctx;
  bool (*read)(void *ctx, uint64_t addr, void *out, size_t size);
  /* The lowest `size` bytes of a register, numbered as in DWARF: rax rdx rcx rbx rsi rdi rbp rsp r8
  ** to r15, rip (16), xmm0 to xmm15 (17 on), st0 to st7 (33 on), rflags (49), fs and gs base (58,
  ** 59), xmm16 on (67 on). */
  bool (*reg)(void *ctx, unsigned number, void *out, size_t size);
  bool (*cfa)(void *ctx, uint64_t *out); /* rsp before the call of this frame */
  /* Where `offset` of this module's thread-local storage is for the thread. NULL: not known. */
  bool (*tls)(void *ctx, uint64_t offset, uint64_t *out);
  /* The frame that called this one (lasting as long as this one); NULL: not known. */
  const ValueSource *(*caller)(void *ctx);
  /* What begins at, or just below, an address of any module. NULL: functions of `dwarf` alone. */
  const char *(*symbol)(void *ctx, uint64_t addr, uint64_t *out_offset);
  /* Does the linker know the function at an address of this module by that name? The debug
  ** information knows one of several. NULL: not known. */
  bool (*is_named)(void *ctx, uint64_t addr, const char *name);
};

typedef enum ValueState {
  VALUE_KNOWN,
  VALUE_OPTIMIZED_OUT,
  VALUE_UNREADABLE, /* memory that is not there */
  VALUE_NOT_SAVED,  /* it was in a register that the frames further in have not kept */
  VALUE_NO_ENTRY,   /* it was computed from a parameter that nobody has kept */
  VALUE_SYNTHETIC, /* a pointer to something that has no address; it can be followed all the same */
  VALUE_INCOMPLETE, /* of a type that is only declared */
  VALUE_NO_ADDRESS, /* asked for the address of what is in a register */
  VALUE_DIVISION,   /* divided by 0 */
  VALUE_NOT_STORED, /* at the first instruction: its place in the frame is not written yet */
  VALUE_UNKNOWN     /* debug information that is broken, or of a kind not understood here */
} ValueState;

/* "optimized out" and so on. */
const char *value_state_text(ValueState state);

typedef struct Location Location;

typedef struct Value {
  const DwarfType *type;
  const ValueSource *source;
  ValueState state;         /* of the location: the bytes may still turn out unreadable */
  const Location *location; /* private, like the rest */
  uint64_t bit_offset;      /* into the location */
  uint32_t bit_size;        /* 0: the type's own */
} Value;

/* The variable at an entry, in the frame `source`. */
bool value_variable(const ValueSource *source, uint64_t die, Arena *arena, Value *out,
                    Fault *fault);
/* An object at an address of the process; bytes of our own, copied. */
bool value_at(const ValueSource *source, const DwarfType *type, uint64_t addr, Arena *arena,
              Value *out, Fault *fault);
bool value_of_bytes(const ValueSource *source, const DwarfType *type, const void *bytes,
                    size_t size, Arena *arena, Value *out, Fault *fault);

/* Where it is, if it is in memory, whole. */
bool value_address(const Value *value, uint64_t *out);
/* All its bytes, at most `size`; a bit field is widened to them by its sign. *out_state tells
** whether they could be had. */
bool value_bytes(const Value *value, void *out, size_t size, ValueState *out_state, Fault *fault);

/* Does its type (an integer, a character, an enumeration) have a sign? */
bool value_is_signed(const DwarfType *type, bool *out, Fault *fault);

/* Parts. `member` is one of dwarf_type_members() of its stripped type. */
bool value_member(const Value *value, const DwarfMember *member, Value *out, Fault *fault);
bool value_element(const Value *array, uint64_t index, Value *out, Fault *fault);
/* What a pointer or reference points to. */
bool value_target(const Value *pointer, Arena *arena, Value *out, Fault *fault);
/* A pointer without an address (VALUE_SYNTHETIC), so many bytes further. */
bool value_synthetic_plus(const Value *pointer, int64_t bytes, Arena *arena, Value *out,
                          Fault *fault);

/* "rbx", "memory 0x7ffc1234", "rax, rdx": where it is. */
bool value_place(const Value *value, Text *out, Fault *fault);

/* ---- what SQL sees: one value */

typedef enum ScalarKind {
  SCALAR_NULL,
  SCALAR_INTEGER,
  SCALAR_REAL,
  SCALAR_TEXT,
  SCALAR_BLOB
} ScalarKind;

typedef struct Scalar {
  ScalarKind kind;
  ValueState state; /* of a NULL that is no null pointer */
  int64_t integer;
  double real;
  const char *bytes; /* of a text (NUL-terminated as well) or blob, in the arena */
  size_t size;
} Scalar;

/* How much of large things is shown. All zero: the defaults. */
typedef struct ValueStyle {
  size_t elements; /* of an array; 0: 200 */
  size_t text;     /* bytes of what a char pointer points to; 0: 4096 */
  int depth;       /* of structures in structures; 0: 20 */
} ValueStyle;

/* Numbers are INTEGER or REAL where SQLite has them exactly, else their digits as TEXT;
** enumerations the name, bools 0 and 1, char pointers and arrays the text (NULL for a null
** pointer), other pointers their address, aggregates their JSON. */
bool value_scalar(const Value *value, const ValueStyle *style, Arena *arena, Scalar *out,
                  Fault *fault);
/*
** JSON, exactly:
**   numbers        their digits; "nan", "inf", "-inf" where JSON has none; complex {"re":, "im":}
**   bool           true, false
**   enumeration    "NAME"; flags "A|B", with what is left over "A|0x40"; a number that is no name
**   char pointer   the text, up to its NUL; null. Cut: {"text":"...","cut":true}
**   pointer        "0x55d0", of a function "0x55d0 <name>"; null
**   char array     the text, without the NULs at its end
**   array          [...]; more than style->elements: the last is {"more":N}
**   structure      {...}; members of unnamed members are its own
**   not known      {"unavailable":"optimized out"} and so on
** A byte that is no UTF-8 is the lone surrogate \udc80 + (byte - 0x80), as Python has it.
*/
bool value_json(const Value *value, const ValueStyle *style, Text *out, Fault *fault);

#endif
