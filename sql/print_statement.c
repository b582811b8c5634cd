/*
** Printing INSERT, UPDATE, DELETE and CREATE: see sql.h.
*/
#include <string.h>

#include "sql/print.h"
#include "sql/statement.h"

static const char *const conflict_words[] = {"", "ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE"};

static void print_or(Text *out, SqlConflict conflict) {
  if (conflict) text_addf(out, " OR %s", conflict_words[conflict]);
}

static void print_on_conflict(Text *out, SqlConflict conflict) {
  if (conflict) text_addf(out, " ON CONFLICT %s", conflict_words[conflict]);
}

static void print_sets(const SqlPrinter *printer, const SqlSet *sets, int n) {
  Text *out = printer->out;
  for (int i = 0; i < n; i++) {
    if (i) text_add(out, ", ");
    if (sets[i].row) {
      print_names(out, sets[i].columns, sets[i].ncolumns);
    } else {
      print_name(out, sets[i].columns[0]);
    }
    text_add(out, " = ");
    sql_print_expr(printer, sets[i].value);
  }
}

static void print_where(const SqlPrinter *printer, const SqlExpr *where) {
  if (!where) return;
  text_add(printer->out, " WHERE ");
  sql_print_expr(printer, where);
}

static void print_returning(const SqlPrinter *printer, const SqlResult *returning, int n) {
  if (!n) return;
  text_add(printer->out, " RETURNING ");
  print_results(printer, returning, n);
}

static void print_tail(const SqlPrinter *printer, const SqlOrder *order, int norder) {
  if (!norder) return;
  text_add(printer->out, " ORDER BY ");
  print_orders(printer, order, norder);
}

static void print_upsert(const SqlPrinter *printer, const SqlUpsert *upsert) {
  Text *out = printer->out;
  text_add(out, " ON CONFLICT");
  if (upsert->ntarget) {
    text_add(out, " (");
    print_orders(printer, upsert->target, upsert->ntarget);
    text_addc(out, ')');
    print_where(printer, upsert->target_where);
  }
  if (!upsert->update) {
    text_add(out, " DO NOTHING");
    return;
  }
  text_add(out, " DO UPDATE SET ");
  print_sets(printer, upsert->sets, upsert->nsets);
  print_where(printer, upsert->where);
}

/* ON after a joined source would be read as its join's: a condition in between prevents it. */
static bool ends_in_from(const SqlSelect *select) {
  const SqlSelect *last = select;
  while (last->next) last = last->next;
  return last->from && !last->where && !last->ngroup && !last->having && !last->nwindows &&
         !select->norder && !select->limit;
}

static void print_insert(const SqlPrinter *printer, const SqlInsert *insert) {
  Text *out = printer->out;
  print_with(printer, insert->with);
  if (insert->replace_word) {
    text_add(out, "REPLACE");
  } else {
    text_add(out, "INSERT");
    print_or(out, insert->conflict);
  }
  text_add(out, " INTO ");
  sql_print_source(printer, insert->table);
  if (insert->ncolumns) {
    text_addc(out, ' ');
    print_names(out, insert->columns, insert->ncolumns);
  }
  if (insert->select) {
    text_addc(out, ' ');
    sql_print_select(printer, insert->select);
    if (insert->nupserts && ends_in_from(insert->select)) text_add(out, " WHERE true");
  } else {
    text_add(out, " DEFAULT VALUES");
  }
  for (int i = 0; i < insert->nupserts; i++) print_upsert(printer, &insert->upserts[i]);
  print_returning(printer, insert->returning, insert->nreturning);
}

static void print_update(const SqlPrinter *printer, const SqlUpdate *update) {
  Text *out = printer->out;
  print_with(printer, update->with);
  text_add(out, "UPDATE");
  print_or(out, update->conflict);
  text_addc(out, ' ');
  sql_print_source(printer, update->table);
  text_add(out, " SET ");
  print_sets(printer, update->sets, update->nsets);
  if (update->from) {
    text_add(out, " FROM ");
    print_sources(printer, update->from);
  }
  print_where(printer, update->where);
  print_returning(printer, update->returning, update->nreturning);
  print_tail(printer, update->order, update->norder);
  print_limit(printer, update->limit, update->offset, update->offset_first);
}

static void print_delete(const SqlPrinter *printer, const SqlDelete *delete_) {
  print_with(printer, delete_->with);
  text_add(printer->out, "DELETE FROM ");
  sql_print_source(printer, delete_->table);
  print_where(printer, delete_->where);
  print_returning(printer, delete_->returning, delete_->nreturning);
  print_tail(printer, delete_->order, delete_->norder);
  print_limit(printer, delete_->limit, delete_->offset, delete_->offset_first);
}

/* ---- CREATE */

static void print_foreign(Text *out, const SqlConstraint *constraint) {
  static const char *const actions[] = {"",         "NO ACTION",   "RESTRICT",
                                        "SET NULL", "SET DEFAULT", "CASCADE"};
  text_add(out, "REFERENCES ");
  print_name(out, constraint->parent);
  if (constraint->nparent_names) {
    text_addc(out, ' ');
    print_names(out, constraint->parent_names, constraint->nparent_names);
  }
  if (constraint->on_delete) text_addf(out, " ON DELETE %s", actions[constraint->on_delete]);
  if (constraint->on_update) text_addf(out, " ON UPDATE %s", actions[constraint->on_update]);
}

static void print_defer(Text *out, const SqlConstraint *constraint) {
  if (!constraint->deferrable && !constraint->not_deferrable) return;
  text_add(out, constraint->not_deferrable ? " NOT DEFERRABLE" : " DEFERRABLE");
  if (constraint->deferred) text_add(out, " INITIALLY DEFERRED");
  if (constraint->immediate) text_add(out, " INITIALLY IMMEDIATE");
}

/* The schema shows a default as it was written, so that text is kept. */
static void print_default(const SqlPrinter *printer, const SqlConstraint *constraint) {
  Text *out = printer->out;
  text_add(out, constraint->default_parens ? "DEFAULT (" : "DEFAULT ");
  if (constraint->text) {
    text_add(out, constraint->text);
    if (strstr(constraint->text, "--")) text_addc(out, '\n');
  } else {
    sql_print_expr(printer, constraint->expr);
  }
  if (constraint->default_parens) text_addc(out, ')');
}

static void print_key(const SqlPrinter *printer, const SqlConstraint *constraint) {
  Text *out = printer->out;
  text_add(out, constraint->kind == SQL_CONSTRAINT_PRIMARY ? "PRIMARY KEY" : "UNIQUE");
  if (constraint->ncolumns) {
    text_add(out, " (");
    print_orders(printer, constraint->columns, constraint->ncolumns);
    if (constraint->autoincrement) text_add(out, " AUTOINCREMENT");
    text_addc(out, ')');
    print_on_conflict(out, constraint->conflict);
    return;
  }
  if (constraint->sort_given) text_add(out, constraint->descending ? " DESC" : " ASC");
  print_on_conflict(out, constraint->conflict);
  if (constraint->autoincrement) text_add(out, " AUTOINCREMENT");
}

static void print_constraint(const SqlPrinter *printer, const SqlConstraint *constraint) {
  Text *out = printer->out;
  if (constraint->name) {
    text_add(out, "CONSTRAINT ");
    print_name(out, constraint->name);
    if (constraint->kind != SQL_CONSTRAINT_NAME) text_addc(out, ' ');
  }
  switch (constraint->kind) {
  case SQL_CONSTRAINT_NAME:
    break;
  case SQL_CONSTRAINT_DEFAULT:
    print_default(printer, constraint);
    break;
  case SQL_CONSTRAINT_NULL:
  case SQL_CONSTRAINT_NOT_NULL:
    text_add(out, constraint->kind == SQL_CONSTRAINT_NULL ? "NULL" : "NOT NULL");
    print_on_conflict(out, constraint->conflict);
    break;
  case SQL_CONSTRAINT_PRIMARY:
  case SQL_CONSTRAINT_UNIQUE:
    print_key(printer, constraint);
    break;
  case SQL_CONSTRAINT_CHECK:
    text_add(out, "CHECK (");
    sql_print_expr(printer, constraint->expr);
    text_addc(out, ')');
    print_on_conflict(out, constraint->conflict);
    break;
  case SQL_CONSTRAINT_FOREIGN:
    if (constraint->nnames) {
      text_add(out, "FOREIGN KEY ");
      print_names(out, constraint->names, constraint->nnames);
      text_addc(out, ' ');
    }
    print_foreign(out, constraint);
    print_defer(out, constraint);
    break;
  case SQL_CONSTRAINT_DEFER:
    text_add(out, constraint->not_deferrable ? "NOT DEFERRABLE" : "DEFERRABLE");
    if (constraint->deferred) text_add(out, " INITIALLY DEFERRED");
    if (constraint->immediate) text_add(out, " INITIALLY IMMEDIATE");
    break;
  case SQL_CONSTRAINT_COLLATE:
    text_add(out, "COLLATE ");
    print_name(out, constraint->text);
    break;
  case SQL_CONSTRAINT_GENERATED:
    text_add(out, constraint->as_only ? "AS (" : "GENERATED ALWAYS AS (");
    sql_print_expr(printer, constraint->expr);
    text_addc(out, ')');
    if (constraint->text) {
      text_addf(out, " %s", constraint->text); /* STORED, or the keyword VIRTUAL */
    }
    break;
  }
}

static void print_table(const SqlPrinter *printer, const SqlCreate *create) {
  Text *out = printer->out;
  if (create->select) {
    text_add(out, " AS ");
    sql_print_select(printer, create->select);
    return;
  }
  text_add(out, " (");
  for (int i = 0; i < create->ncolumns; i++) {
    const SqlColumnDef *column = &create->columns[i];
    if (i) text_add(out, ", ");
    print_name(out, column->name);
    if (*column->type) text_addf(out, " %s", column->type);
    for (int j = 0; j < column->nconstraints; j++) {
      text_addc(out, ' ');
      print_constraint(printer, &column->constraints[j]);
    }
  }
  for (int i = 0; i < create->nconstraints; i++) {
    text_add(out, ", ");
    print_constraint(printer, &create->constraints[i]);
  }
  text_addc(out, ')');
  if (create->without_rowid) text_add(out, " WITHOUT ROWID");
  if (create->strict) text_add(out, create->without_rowid ? ", STRICT" : " STRICT");
}

static void print_index(const SqlPrinter *printer, const SqlCreate *create) {
  text_add(printer->out, " ON ");
  print_name(printer->out, create->table);
  text_add(printer->out, " (");
  print_orders(printer, create->terms, create->nterms);
  text_addc(printer->out, ')');
  print_where(printer, create->where);
}

static void print_trigger(const SqlPrinter *printer, const SqlCreate *create) {
  static const char *const times[] = {"", " BEFORE", " AFTER", " INSTEAD OF"};
  Text *out = printer->out;
  text_add(out, times[create->time]);
  text_add(out, create->event == SQL_STATEMENT_INSERT   ? " INSERT"
                : create->event == SQL_STATEMENT_UPDATE ? " UPDATE"
                                                        : " DELETE");
  for (int i = 0; i < create->nnames; i++) {
    text_add(out, i ? ", " : " OF ");
    print_name(out, create->names[i]);
  }
  text_add(out, " ON ");
  print_qualified(out, create->table_schema, create->table);
  if (create->for_each_row) text_add(out, " FOR EACH ROW");
  if (create->where) {
    text_add(out, " WHEN ");
    sql_print_expr(printer, create->where);
  }
  text_add(out, " BEGIN ");
  for (int i = 0; i < create->nbody; i++) {
    sql_print_statement(printer, create->body[i]);
    text_add(out, "; ");
  }
  text_add(out, "END");
}

static void print_virtual(Text *out, const SqlCreate *create) {
  text_add(out, " USING ");
  print_name(out, create->module);
  if (!create->has_args) return;
  text_addc(out, '(');
  for (int i = 0; i < create->nargs; i++) {
    if (i) text_addc(out, ',');
    text_add(out, create->args[i]);
  }
  text_addc(out, ')');
}

static void print_create(const SqlPrinter *printer, const SqlStatement *statement) {
  static const char *const words[] = {
      [SQL_STATEMENT_CREATE_TABLE] = "TABLE ",
      [SQL_STATEMENT_CREATE_VIEW] = "VIEW ",
      [SQL_STATEMENT_CREATE_INDEX] = "INDEX ",
      [SQL_STATEMENT_CREATE_TRIGGER] = "TRIGGER ",
      [SQL_STATEMENT_CREATE_VIRTUAL] = "VIRTUAL TABLE ",
  };
  const SqlCreate *create = statement->create;
  Text *out = printer->out;
  text_addf(out, "CREATE %s%s%s%s", create->temp ? "TEMP " : "", create->unique ? "UNIQUE " : "",
            words[statement->kind], create->if_not_exists ? "IF NOT EXISTS " : "");
  print_qualified(out, create->schema, create->name);
  switch (statement->kind) {
  case SQL_STATEMENT_CREATE_TABLE:
    print_table(printer, create);
    break;
  case SQL_STATEMENT_CREATE_VIEW:
    if (create->nnames) {
      text_addc(out, ' ');
      print_names(out, create->names, create->nnames);
    }
    text_add(out, " AS ");
    sql_print_select(printer, create->select);
    break;
  case SQL_STATEMENT_CREATE_INDEX:
    print_index(printer, create);
    break;
  case SQL_STATEMENT_CREATE_TRIGGER:
    print_trigger(printer, create);
    break;
  default:
    print_virtual(out, create);
  }
}

void sql_print_statement(const SqlPrinter *printer, const SqlStatement *statement) {
  switch (statement->kind) {
  case SQL_STATEMENT_SELECT:
    sql_print_select(printer, statement->select);
    break;
  case SQL_STATEMENT_INSERT:
    print_insert(printer, statement->insert);
    break;
  case SQL_STATEMENT_UPDATE:
    print_update(printer, statement->update);
    break;
  case SQL_STATEMENT_DELETE:
    print_delete(printer, statement->delete_);
    break;
  default:
    print_create(printer, statement);
  }
}
