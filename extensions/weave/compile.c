/*
** The compiler's life, and what its parts share. See compile.h.
*/
#include "extensions/weave/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *compile_strdup(Compiler *compiler, const char *text) {
  char *copy = arena_strdup(&compiler->arena, text ? text : "");
  if (!copy) fault_oom(compiler->fault);
  return copy;
}

char *compile_text(Compiler *compiler, Text *text) {
  char *copy = text->oom ? NULL : arena_strdup(&compiler->arena, text_get(text));
  text_finish(text);
  if (!copy) fault_oom(compiler->fault);
  return copy;
}

bool compile_refuse(Compiler *compiler, const SqlExpr *expr, const char *format, ...) {
  char what[FAULT_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  const char *text = compiler->text;
  if (!text || expr->span.length == 0 || expr->span.at + expr->span.length > strlen(text)) {
    return fault_set(compiler->fault, FAULT_UNSUPPORTED, "%s", what);
  }
  int line, column;
  uint32_t length = expr->span.length < 60 ? expr->span.length : 60;
  sql_position(text, expr->span.at, &line, &column);
  return fault_set(compiler->fault, FAULT_UNSUPPORTED, "%s (at \"%.*s%s\", line %d, column %d)",
                   what, (int)length, text + expr->span.at, length < expr->span.length ? "…" : "",
                   line, column);
}

bool compile_locate(Compiler *compiler, const SqlExpr *expr) {
  Fault *fault = compiler->fault;
  if (fault->code != FAULT_UNSUPPORTED && fault->code != FAULT_LIMIT) return false;
  if (strstr(fault->text, " (at \"")) return false;
  Fault inner = *fault;
  fault_clear(fault);
  return compile_refuse(compiler, expr, "%s", inner.text);
}

bool compile_stopped(Compiler *compiler) {
  bool asked = stop_asked(compiler->stop);
  return fault_set(compiler->fault, asked ? FAULT_INTERRUPT : FAULT_TIMEOUT,
                   asked ? "interrupted" : "the time limit passed while the rules were read");
}

bool model_ok_or_fault(Compiler *compiler) {
  const Fault *fault = model_fault(compiler->model);
  if (model_ok(compiler->model)) return true;
  return fault_set(compiler->fault, fault->code, "%s", fault->text);
}

static bool learn_encoding(Compiler *compiler) {
  sqlite3_stmt *pragma = query_prepare(compiler->db, "PRAGMA encoding", compiler->fault);
  int step = pragma ? query_step(pragma, compiler->fault) : -1;
  Value encoding = step == 1 ? query_value(pragma, 0) : value_null();
  compiler->algebra.utf16 = encoding.type == VALUE_TEXT && strcmp(encoding.bytes, "UTF-8") != 0;
  query_finish(pragma);
  return step >= 0;
}

static bool compile_all(Compiler *compiler) {
  int64_t start = clock_now();
  if (!learn_encoding(compiler) || !domain_load(compiler)) return false;
  int64_t loaded = clock_now();
  compiler->seconds_domain = (double)(loaded - start) / 1e9;
  if (!rule_load(compiler)) return false;
  for (size_t i = 0; i < compiler->nrules; i++) {
    if (!rule_compile(compiler, i)) return false;
  }
  compiler->seconds_rules = (double)(clock_now() - loaded) / 1e9;
  return model_ok_or_fault(compiler);
}

bool compile(Compiler *out, sqlite3 *db, const Declaration *declaration, bool record_origins,
             Stop *stop, Fault *fault) {
  *out = (Compiler){.db = db,
                    .declaration = declaration,
                    .fault = fault,
                    .stop = stop,
                    .record_origins = record_origins};
  out->model = model_create();
  if (!out->model) return fault_oom(fault);
  out->algebra = (Algebra){.model = out->model, .arena = &out->arena, .fault = fault};
  catalog_schema(out);
  bool ok = snapshot_open(out) && snapshot_note(out) && compile_all(out);
  snapshot_close(out);
  return ok;
}

void compiler_finish(Compiler *compiler) {
  for (SymRelation *r = compiler->relations; r; r = r->all_next) {
    for (int i = 0; i < r->ncolumns; i++) free(r->symbols[i]);
    free(r->guards);
    relation_finish(&r->rows);
  }
  for (size_t i = 0; i < compiler->ndecisions; i++) {
    Decision *decision = &compiler->decisions[i];
    free(decision->domains);
    free(decision->present);
    relation_finish(&decision->candidates);
  }
  for (Table *table = compiler->tables; table; table = table->next) {
    free(table->row_keys);
    free(table->row_labels);
  }
  free(compiler->rules);
  free(compiler->origins);
  free(compiler->owners);
  model_destroy(compiler->model);
  arena_finish(&compiler->arena);
  *compiler = (Compiler){0};
}
