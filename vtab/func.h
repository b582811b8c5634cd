/*
** SQL functions as data. Include vtab/vt.h.
**
**   static const VtFunction demo_functions[] = {
**     {.name = "demo_twice", .args = "x", .nargs = 1, .flags = VT_PURE,
**      .doc = "Twice its argument.", .scalar = demo_twice},
**   };
**
** The C functions are given to SQLite as they are (no trampoline). Inside, vt_conn(ctx) is the
** connection's VtConn and vt_state(vt_conn(ctx)) the extension's state.
*/
#ifndef TENFOLD_VTAB_FUNC_H
#define TENFOLD_VTAB_FUNC_H

#ifndef TENFOLD_VTAB_VT_H
#error "include vtab/vt.h"
#endif

/* The two doors; every function takes exactly one of INNOCUOUS and DIRECTONLY. */
enum {
  VT_PURE = SQLITE_INNOCUOUS | SQLITE_DETERMINISTIC, /* result depends on the arguments alone */
  VT_READS = SQLITE_INNOCUOUS,                       /* harmless, but not deterministic */
  VT_EFFECT = SQLITE_DIRECTONLY,                     /* has effects, or reaches outside */
  VT_JSON = 0x01000000 /* may return a subtype (SQLITE_RESULT_SUBTYPE of 3.45): vt_result_json */
};

/* An argument, for the reference. Arrays end with .name == NULL. */
typedef struct VtArgument {
  const char *name, *type, *preset; /* preset: default as text, NULL: required */
  const char *doc;
} VtArgument;

typedef struct VtFunction {
  const char *name;
  const char *args;    /* as in a signature: "label, value [, width]" */
  int nargs;           /* required arguments; -1: any number */
  int optional;        /* that many more may follow */
  unsigned flags;      /* VT_PURE, VT_READS or VT_EFFECT, and VT_JSON */
  const char *returns; /* type of the result */
  const char *doc;     /* one line */
  const VtArgument *arguments;
  const VtError *errors;
  const char *example; /* SQL whose real output the reference shows */

  /* Either a scalar, or an aggregate (step + final), or a window function (all but scalar). */
  void (*scalar)(sqlite3_context *ctx, int argc, sqlite3_value **argv);
  void (*step)(sqlite3_context *ctx, int argc, sqlite3_value **argv);
  void (*final)(sqlite3_context *ctx);
  void (*value)(sqlite3_context *ctx);
  void (*inverse)(sqlite3_context *ctx, int argc, sqlite3_value **argv);
} VtFunction;

/* "function: what is wrong": the function fails with this message (prefixed with its name) and
** code. printf's formats. */
void func_fail(sqlite3_context *ctx, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void func_fault(sqlite3_context *ctx, const Fault *fault);

/* The text of value `i`, or NULL after func_fail() when memory ran out. A NULL value gives "". The
** length in bytes goes to *length when not NULL. Valid until the function returns. */
const char *func_text(sqlite3_context *ctx, sqlite3_value *value, int *length);

/* JSON with the JSON subtype; copied. NULL text: out of memory. The Text form takes text_get(). */
void vt_result_json(sqlite3_context *ctx, const char *json, int length);
void vt_result_text(sqlite3_context *ctx, const Text *text, bool json);

#endif
