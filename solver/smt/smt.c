/*
** Z3 by its text interface: see smt.h. Six functions of its library are enough, and no header.
*/
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "solver/smt/smt.h"

enum { WORK = 500000 }; /* of Z3's units: a second or two */

struct Smt {
  void *library, *context;
  const char *(*eval)(void *context, const char *text);
  void (*del_context)(void *context);
};

/* Z3 would end the process. What is wrong stands in its answer. */
static void ignore(void *context, int code) {
  (void)context;
  (void)code;
}

/* A function of the library. Data and functions have pointers of one kind here (POSIX). */
static bool find(void *library, const char *name, void *out) {
  void *symbol = dlsym(library, name);
  memcpy(out, &symbol, sizeof symbol);
  return symbol != NULL;
}

static bool load(Smt *smt, Fault *fault) {
  void *(*make_config)(void), (*delete_config)(void *), *(*make_context)(void *);
  void (*set_handler)(void *, void (*)(void *, int));
  smt->library = dlopen("libz3.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!smt->library) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "Z3 is not installed (libz3.so.4, Debian's libz3-4)");
  }
  if (!find(smt->library, "Z3_mk_config", &make_config) ||
      !find(smt->library, "Z3_del_config", &delete_config) ||
      !find(smt->library, "Z3_mk_context", &make_context) ||
      !find(smt->library, "Z3_del_context", &smt->del_context) ||
      !find(smt->library, "Z3_set_error_handler", &set_handler) ||
      !find(smt->library, "Z3_eval_smtlib2_string", &smt->eval)) {
    return fault_set(fault, FAULT_UNSUPPORTED, "this Z3 is too old: it has no text interface");
  }
  void *config = make_config();
  smt->context = config ? make_context(config) : NULL;
  if (config) delete_config(config);
  if (!smt->context) return fault_oom(fault);
  set_handler(smt->context, ignore);
  return true;
}

Smt *smt_open(Fault *fault) {
  Smt *smt = calloc(1, sizeof *smt);
  if (!smt) {
    fault_oom(fault);
    return NULL;
  }
  if (load(smt, fault)) return smt;
  smt_close(smt);
  return NULL;
}

void smt_close(Smt *smt) {
  if (!smt) return;
  if (smt->context) smt->del_context(smt->context);
  if (smt->library) dlclose(smt->library);
  free(smt);
}

static bool complain(const char *answer, Fault *fault) {
  return fault_set(fault, FAULT_INVALID, "Z3: %.300s", answer ? answer : "no answer");
}

bool smt_ask(Smt *smt, const char *script, SmtAnswer *out, Fault *fault) {
  Text text = {0};
  text_addf(&text, "(reset)(set-option :rlimit %d)(set-option :model.completion true)\n", WORK);
  text_add(&text, script);
  text_add(&text, "\n(check-sat)\n");
  const char *answer = text.oom ? NULL : smt->eval(smt->context, text_get(&text));
  const bool oom = text.oom;
  text_finish(&text);
  if (oom) return fault_oom(fault);
  if (!answer || strstr(answer, "(error")) return complain(answer, fault);
  *out = !strncmp(answer, "unsat", 5) ? SMT_UNSAT
         : !strncmp(answer, "sat", 3) ? SMT_SAT
                                      : SMT_UNKNOWN;
  return true;
}

bool smt_value(Smt *smt, const char *term, Text *out, Fault *fault) {
  Text text = {0};
  text_addf(&text, "(eval %s)\n", term);
  const char *answer = text.oom ? NULL : smt->eval(smt->context, text_get(&text));
  const bool oom = text.oom;
  text_finish(&text);
  if (oom) return fault_oom(fault);
  if (!answer || strstr(answer, "(error")) return complain(answer, fault);
  size_t length = strlen(answer);
  while (length && (answer[length - 1] == '\n' || answer[length - 1] == ' ')) length--;
  text_addn(out, answer, length);
  return !out->oom || fault_oom(fault);
}
