/*
** Values that reach seek(): arguments checked against their type, and integer ranges.
*/
#include "vtab/inside.h"

#include <math.h>
#include <string.h>

/* ---- arguments -------------------------------------------------------------------------- */

static bool refuse(VtTab *tab, int col, const char *wanted, sqlite3_value *value) {
  const char *name = tab->cols[col].name;
  switch (sqlite3_value_type(value)) {
  case SQLITE_BLOB:
    vt_fail(tab, SQLITE_ERROR, "argument \"%s\" must be %s, not a blob of %d bytes", name, wanted,
            sqlite3_value_bytes(value));
    break;
  case SQLITE_NULL:
    vt_fail(tab, SQLITE_ERROR, "argument \"%s\" must be %s, not NULL", name, wanted);
    break;
  default: {
    bool quote = sqlite3_value_type(value) == SQLITE_TEXT;
    const char *text = (const char *)sqlite3_value_text(value);
    vt_fail(tab, SQLITE_ERROR, "argument \"%s\" must be %s, not %s%.40s%s", name, wanted,
            quote ? "'" : "", text ? text : "?", quote ? "'" : "");
  }
  }
  return false;
}

bool vt_arg_int(VtTab *tab, const VtPlan *plan, int col, sqlite3_int64 preset, sqlite3_int64 *out) {
  sqlite3_value *value = vt_arg(plan, col);
  if (!value) {
    *out = preset;
    return true;
  }
  /* '12' and 12.0 count as 12; 12.5, 'abc' and 1e30 do not count as anything. */
  int type = sqlite3_value_numeric_type(value);
  double real = sqlite3_value_double(value);
  bool whole = type == SQLITE_FLOAT && real >= -9007199254740992.0 && real <= 9007199254740992.0 &&
               floor(real) == real;
  if (type != SQLITE_INTEGER && !whole) return refuse(tab, col, "an integer", value);
  *out = sqlite3_value_int64(value);
  return true;
}

bool vt_arg_real(VtTab *tab, const VtPlan *plan, int col, double preset, double *out) {
  sqlite3_value *value = vt_arg(plan, col);
  if (!value) {
    *out = preset;
    return true;
  }
  int type = sqlite3_value_numeric_type(value);
  if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) return refuse(tab, col, "a number", value);
  *out = sqlite3_value_double(value);
  return true;
}

bool vt_arg_text(VtTab *tab, const VtPlan *plan, int col, const char *preset, const char **out) {
  sqlite3_value *value = vt_arg(plan, col);
  if (!value) {
    *out = preset;
    return true;
  }
  int type = sqlite3_value_type(value);
  if (type == SQLITE_BLOB || type == SQLITE_NULL) return refuse(tab, col, "text", value);
  const char *text = (const char *)sqlite3_value_text(value);
  if (!text) {
    vt_fail(tab, SQLITE_NOMEM, "out of memory");
    return false;
  }
  *out = text;
  return true;
}

void *vt_arg_pointer(const VtPlan *plan, int col, const char *type) {
  sqlite3_value *value = vt_arg(plan, col);
  return value ? sqlite3_value_pointer(value, type) : NULL;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static bool holds(VtOp op, int order) {
  switch (op) {
  case VT_OP_EQ:
    return order == 0;
  case VT_OP_LT:
    return order < 0;
  case VT_OP_LE:
    return order <= 0;
  case VT_OP_GT:
    return order > 0;
  case VT_OP_GE:
    return order >= 0;
  default:
    return false;
  }
}

bool vt_text_matches(VtOp op, sqlite3_value *value, const char *text, size_t length) {
  if (sqlite3_value_type(value) == SQLITE_NULL) return false;
  bool pattern = op == VT_OP_GLOB || op == VT_OP_LIKE;
  if (!pattern && sqlite3_value_type(value) == SQLITE_BLOB) return holds(op, -1);
  const char *other = (const char *)sqlite3_value_text(value);
  if (!other) return true; /* no memory to tell: let SQLite's own test decide, or fail */
  if (op == VT_OP_GLOB) return sqlite3_strglob(other, text) == 0;
  if (op == VT_OP_LIKE) return sqlite3_strlike(other, text, 0) == 0;
  size_t size = (size_t)sqlite3_value_bytes(value);
  int order = memcmp(text, other, length < size ? length : size);
  if (order == 0) order = (length > size) - (length < size);
  return holds(op, order);
}

/* ---- integer ranges --------------------------------------------------------------------- */

typedef struct Range {
  sqlite3_int64 lo, hi;
  bool empty;
} Range;

static void at_least(Range *range, sqlite3_int64 lo) {
  if (lo > range->lo) range->lo = lo;
}

static void at_most(Range *range, sqlite3_int64 hi) {
  if (hi < range->hi) range->hi = hi;
}

static void meet_integer(Range *range, VtOp op, sqlite3_int64 x) {
  switch (op) {
  case VT_OP_EQ:
    at_least(range, x);
    at_most(range, x);
    break;
  case VT_OP_LE:
    at_most(range, x);
    break;
  case VT_OP_GE:
    at_least(range, x);
    break;
  case VT_OP_LT:
    if (x == INT64_MIN) {
      range->empty = true;
    } else {
      at_most(range, x - 1);
    }
    break;
  case VT_OP_GT:
    if (x == INT64_MAX) {
      range->empty = true;
    } else {
      at_least(range, x + 1);
    }
    break;
  default:
    break;
  }
}

/* Beyond the integers: every integer is on one side. */
static void meet_outside(Range *range, VtOp op, bool above) {
  bool all = above ? op == VT_OP_LT || op == VT_OP_LE : op == VT_OP_GT || op == VT_OP_GE;
  if (op <= VT_OP_GE && op != VT_OP_IN && !all) range->empty = true;
}

static void meet_real(Range *range, VtOp op, double x) {
  if (x >= 9223372036854775808.0) {
    meet_outside(range, op, true);
  } else if (x < -9223372036854775808.0) {
    meet_outside(range, op, false);
  } else if (floor(x) == x) {
    meet_integer(range, op, (sqlite3_int64)x);
  } else if (op == VT_OP_EQ) {
    range->empty = true;
  } else if (op == VT_OP_LT || op == VT_OP_LE) {
    at_most(range, (sqlite3_int64)floor(x));
  } else if (op == VT_OP_GT || op == VT_OP_GE) {
    at_least(range, (sqlite3_int64)ceil(x));
  }
}

bool vt_int_range(const VtPlan *plan, int col, sqlite3_int64 *lo, sqlite3_int64 *hi) {
  Range range = {.lo = INT64_MIN, .hi = INT64_MAX};
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    if (term->col != col || !term->value) continue;
    switch (sqlite3_value_numeric_type(term->value)) {
    case SQLITE_INTEGER:
      meet_integer(&range, term->op, sqlite3_value_int64(term->value));
      break;
    case SQLITE_FLOAT:
      meet_real(&range, term->op, sqlite3_value_double(term->value));
      break;
    case SQLITE_NULL:
      if (term->op != VT_OP_IN) range.empty = true;
      break;
    default:
      meet_outside(&range, term->op, true); /* text and blobs sort after all numbers */
    }
  }
  *lo = range.lo;
  *hi = range.hi;
  return !range.empty && range.lo <= range.hi;
}
