/*
** libFuzzer: whatever the bytes, reading them must not crash, and what is read must print to text
** that reads and prints the same, before and after binding.
*/
#include "test/sql/fixed_schema.h"

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s: %s\n", what, fault.text);
  abort();
}

/* The text again as it prints; it must be readable and stay as it is. */
static void check_stable(const SqlStatement *statement) {
  char *first = arena_strdup(&arena, print(statement));
  SqlStatement *again = parse(first);
  if (!again) fprintf(stderr, "printed: %s\n", first);
  must(again != NULL, "what was printed does not parse");
  const char *second = print(again);
  if (strcmp(first, second) != 0) fprintf(stderr, "first:  %s\nsecond: %s\n", first, second);
  must(strcmp(first, second) == 0, "printing is not stable");
}

static void check_statement(const char *sql) {
  SqlStatement *statement = parse(sql);
  must(statement || fault.code, "no tree and no fault");
  if (!statement) return;
  check_stable(statement);
  if (statement->select) {
    SqlSelect *copy = sql_copy_select(&arena, statement->select);
    must(copy && sql_select_equal(copy, statement->select), "a copy differs");
  }
  fault_clear(&fault);
  bool bound = sql_bind_statement(statement, &schema, &arena, &fault);
  must(bound || fault.code, "not bound and no fault");
  must(!bound || !fault.code, "bound with a fault");
  if (!bound) return;
  check_stable(statement);
  for (int i = 0; statement->select && i < sql_width(statement->select); i++) {
    if (statement->select->is_values) break;
    const SqlResult *result = sql_result(statement->select, i);
    must(result->name != NULL, "a column without a name");
    sql_expr_affinity(result->expr);
    sql_expr_collation(result->expr);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *sql = malloc(size + 1); /* its own block, so that reading past its end is noticed */
  if (!sql) return 0;
  memcpy(sql, data, size);
  sql[size] = '\0';
  check_statement(sql);
  fault_clear(&fault);
  SqlExpr *e = sql_parse_expr(&arena, sql, size, &fault);
  if (e) must(sql_expr_equal(e, sql_copy_expr(&arena, e)), "an expression differs from its copy");
  free(sql);
  text_clear(&text);
  arena_reset(&arena);
  return 0;
}
