/*
** What went wrong, without an allocation.
**
** Engines (base, sql, solver) report failure by returning false and filling a Fault. The text is
** a message for the user in the house style: "thing: what is wrong, with the values"; lower case,
** no full stop. vtab/ maps the code to an SQLite result code, once, in one place.
*/
#ifndef TENFOLD_BASE_FAULT_H
#define TENFOLD_BASE_FAULT_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum FaultCode {
  FAULT_NONE,
  FAULT_INVALID,     /* the input is wrong: syntax, names, values */
  FAULT_UNSUPPORTED, /* the input is right, but outside what this engine handles */
  FAULT_NOTFOUND,    /* something named does not exist */
  FAULT_NOMEM,       /* an allocation was refused */
  FAULT_LIMIT,       /* larger than a stated limit */
  FAULT_INTERRUPT,   /* the caller asked to stop */
  FAULT_TIMEOUT,     /* a deadline passed */
  FAULT_BUSY,        /* in use by somebody else; trying again may help */
  FAULT_CONFLICT,    /* somebody else changed it meanwhile; starting again may help */
  FAULT_FULL,        /* no room is left where it would be stored */
  FAULT_IO,          /* the operating system refused */
  FAULT_DENIED,      /* not allowed */
  FAULT_CORRUPT,     /* stored data is not what it should be */
  FAULT_INTERNAL     /* a defect in tenfold */
} FaultCode;

enum { FAULT_TEXT = 512 };

typedef struct Fault {
  FaultCode code;
  char text[FAULT_TEXT]; /* NUL-terminated, cut at a UTF-8 boundary when too long */
} Fault;

/* What runs when something is wrong is kept apart from what runs. */
#define FAULT_COLD __attribute__((cold))

/* Fill *fault (NULL is allowed and ignored, here and below). Both return false, so that a failing
** function can say `return fault_set(fault, FAULT_INVALID, "...", ...)`. The first fault wins: a
** fault that is already set is kept, because it names the cause and what follows names a
** consequence. */
bool fault_set(Fault *fault, FaultCode code, const char *format, ...) FAULT_COLD
    __attribute__((format(printf, 3, 4)));
bool fault_vset(Fault *fault, FaultCode code, const char *format, va_list args) FAULT_COLD
    __attribute__((format(printf, 3, 0)));
bool fault_oom(Fault *fault) FAULT_COLD;
/* Where every nanosecond counts: `Fault fault = {0}` writes all of the text. */
void fault_clear(Fault *fault);

/* "view r_capacity: " before the text of a fault that a lower layer has set. Returns false. */
bool fault_prefix(Fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a place in the input. Where an interruption came is chance: it gets none. */
#define fault_place(fault, ...)                                                                    \
  ((fault)->code == FAULT_INTERRUPT ? false : fault_prefix(fault, __VA_ARGS__))

#endif
