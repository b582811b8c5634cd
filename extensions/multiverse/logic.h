/*
** What a policy means, as logic: rules about one row that might be, for one user who might be.
**
** Columns and parameters of the context are unknown values; "class is among my gids of student" is
** an unknown truth; so is whatever else is not understood, a function or a sub-select, the same
** wherever it is written the same. What holds for all of them holds for every database: a proof is
** one. An example may be none, where something was not understood.
*/
#ifndef TENFOLD_MULTIVERSE_LOGIC_H
#define TENFOLD_MULTIVERSE_LOGIC_H

#include "extensions/multiverse/multiverse.h"
#include "solver/smt/smt.h"

typedef enum UnknownKind {
  UNKNOWN_COLUMN,
  UNKNOWN_PARAM,
  UNKNOWN_MEMBER, /* Bool */
  UNKNOWN_VALUE,  /* not understood */
  UNKNOWN_TRUTH   /* likewise; Bool */
} UnknownKind;

typedef struct Unknown {
  UnknownKind kind;
  int column;       /* -1: the rowid */
  const char *name; /* for people; what it is known by may be longer */
  bool of_user;     /* depends on who asks */
} Unknown;

typedef struct Definition { /* of a Bool d0, d1, … or of a value */
  const char *sort, *expr;
} Definition;

/* One table, of one policy or of several one after the other. */
typedef struct Logic {
  const Policy *policy;
  const TablePolicy *table;
  Arena arena;
  Fault *fault;
  Unknown *unknowns;
  size_t nunknowns, unknowns_capacity;
  Map known; /* by kind and name: the unknown's number */
  Definition *definitions;
  size_t ndefinitions, definitions_capacity;
  const char **strings; /* literals that occur */
  size_t nstrings, strings_capacity;
  bool guessed; /* something was not understood */
} Logic;

void logic_use(Logic *logic, const Policy *policy, const TablePolicy *table);
void logic_finish(Logic *logic);

/* Terms; NULL with the fault set. Owned by the logic. */
const char *logic_rule(Logic *logic, const Rule *rule);
const char *logic_any(Logic *logic, const Rule *rules); /* any of a list applies */
const char *logic_visible(Logic *logic);
const char *logic_shown(Logic *logic, int column); /* the value that a universe shows */
const char *logic_term(Logic *logic, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The question whether `claim` can be. `typed`: values are of the types that columns declare, for
** an example that looks like one. */
void logic_script(const Logic *logic, const char *claim, bool typed, Text *out);
/* The question whether there is a row for which `claim` is true whoever asks. */
void logic_script_for_all(const Logic *logic, const char *claim, Text *out);

/* The example that was found, for people: "class = 1, private = 1, :uid = 7, class among the gids
** of student". */
bool logic_example(const Logic *logic, Smt *smt, bool with_user, Text *out, Fault *fault);

#endif
