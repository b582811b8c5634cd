/*
** Names that no function of a recording has: see unknown.h.
*/
#include "extensions/omni/unknown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { NEAR = 3, LONGEST = 63 }; /* names to propose; a longer one is not compared */

static bool is_known(const CodeFiles *files, const char *name, bool *out, Fault *fault) {
  const FunctionName *found;
  *out = false;
  for (size_t i = 0; i < files->count && !*out; i++) {
    CodeFile *file = &files->list[i];
    if (!file->has_code) continue;
    if (!code_open(files, file, fault)) return false;
    *out = file->functions && functions_named(file->functions, name, &found) > 0;
  }
  return true;
}

/* ---- what the debug information says --------------------------------------------------------- */

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool say_dwarf(const char *name, const DwarfFunction *function, Fault *fault) {
  if (function->nranges) {
    return fault_set(fault, FAULT_INVALID,
                     "no function has the name \"%.100s\": the linker calls it \"%.200s\"", name,
                     function->linkage);
  }
  return fault_set(fault, FAULT_INVALID,
                   "\"%.100s\" is never called: it is inlined everywhere (%.100s:%u); "
                   "omni_lines_hit has its lines, by file and line",
                   name, base_name(function->file), function->line);
}

/* False with a fault when there is something to say. What is broken there says nothing. */
static bool ask_dwarf(const CodeFiles *files, const char *name, Fault *fault) {
  for (size_t i = 0; i < files->count; i++) {
    CodeFile *file = &files->list[i];
    Fault why = {0};
    size_t at;
    if (!file->has_code) continue;
    if (!code_dwarf(files, file, fault)) return false;
    for (size_t k = 0; file->dwarf && dwarf_function_named(file->dwarf, name, k, &at, &why); k++) {
      DwarfFunction function;
      if (!dwarf_function_get(file->dwarf, at, &function, &why)) break;
      const bool other = function.nranges && strcmp(function.linkage, name) != 0;
      if (other || (!function.nranges && function.inlined)) {
        return say_dwarf(name, &function, fault);
      }
    }
    if (why.code == FAULT_NOMEM) return fault_oom(fault);
  }
  return true;
}

/* ---- names that are near --------------------------------------------------------------------- */

typedef struct Near {
  const char *name;
  int distance;
} Near;

static int least(int a, int b) { return a < b ? a : b; }

/* Letters to be put in, left out or changed, or neighbours to be swapped; case counts nothing here.
** More than `most` is `most + 1`. */
static int distance(const char *a, const char *b, int most) {
  int rows[3][LONGEST + 2];
  const int na = (int)strlen(a), nb = (int)strlen(b);
  if (na > LONGEST || nb > LONGEST || abs(na - nb) > most) return most + 1;
  for (int j = 0; j <= nb; j++) rows[0][j] = j;
  for (int i = 1; i <= na; i++) {
    int *now = rows[i % 3], *up = rows[(i + 2) % 3], *upper = rows[(i + 1) % 3];
    int best = now[0] = i;
    for (int j = 1; j <= nb; j++) {
      const bool same = (a[i - 1] | 0x20) == (b[j - 1] | 0x20);
      now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + !same);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = least(now[j], upper[j - 2] + 1);
      }
      best = least(best, now[j]);
    }
    if (best > most) return most + 1;
  }
  return rows[na % 3][nb];
}

static void offer(Near *list, const char *name, int far) {
  int at = NEAR;
  for (int i = 0; i < NEAR; i++) {
    if (list[i].name && strcmp(list[i].name, name) == 0) return;
    if (at == NEAR && (!list[i].name || far < list[i].distance)) at = i;
  }
  if (at == NEAR) return;
  memmove(&list[at + 1], &list[at], (size_t)(NEAR - 1 - at) * sizeof *list);
  list[at] = (Near){name, far};
}

static bool say_near(const CodeFiles *files, const char *name, Fault *fault) {
  const int most = strlen(name) < 6 ? 1 : (int)strlen(name) / 3;
  Near list[NEAR] = {0};
  for (size_t i = 0; i < files->count; i++) {
    const Functions *functions = files->list[i].has_code ? files->list[i].functions : NULL;
    for (size_t k = 0; functions && k < functions->nnames; k++) {
      const FunctionName *other = &functions->names[k];
      if (functions->all[other->function].kind != FUNCTION_PLAIN) continue;
      const int far = distance(name, other->name, most);
      if (far <= most) offer(list, other->name, far);
    }
  }
  char names[3 * (LONGEST + 4)] = "";
  for (int i = 0; i < NEAR && list[i].name; i++) {
    const size_t length = strlen(names);
    snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", list[i].name);
  }
  return fault_set(fault, FAULT_INVALID,
                   "no function of the recording has the name \"%.100s\"; %s%s", name,
                   *names ? "near: " : "omni_functions lists them all", names);
}

bool unknown_check(const CodeFiles *files, const char *name, Fault *fault) {
  bool known;
  if (!is_known(files, name, &known, fault)) return false;
  return known || (ask_dwarf(files, name, fault) && say_near(files, name, fault));
}
