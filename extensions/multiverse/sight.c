/*
** A universe's look at a row in memory: see lens.h.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/lens.h"

/* ---- eyes ------------------------------------------------------------------------------------ */

void eye_close(Eye *eye) {
  for (int i = 0; i < eye->ncopies; i++) sqlite3_value_free(eye->copies[i]);
  free(eye->copies);
  free(eye->operands);
  free(eye->shown);
  free(eye->contexts);
  *eye = (Eye){0};
}

static bool read_operands(Eye *eye, const Lens *lens, const State *state) {
  for (size_t i = 0; i < lens->noperands; i++) {
    const Operand *operand = &lens->operands[i];
    if (operand->param < 0) {
      eye->operands[i] = operand->literal;
      continue;
    }
    sqlite3_value *value =
        context_value(&state->universe->context, state->policy->params[operand->param]);
    sqlite3_value *copy = NULL;
    if (!value || !datum_convert(value, operand->affinity, &copy, &eye->operands[i])) {
      sqlite3_value_free(copy);
      return false;
    }
    if (copy) eye->copies[eye->ncopies++] = copy;
  }
  return true;
}

/* NOT of it: 0 is TRUE, 1 is FALSE. */
static uint8_t read_answer(sqlite3_stmt *statement, int column) {
  if (sqlite3_column_type(statement, column) == SQLITE_NULL) return TRI_NULL;
  return sqlite3_column_int(statement, column) ? TRI_FALSE : TRI_TRUE;
}

static bool read_row(Eye *eye, const Lens *lens, sqlite3_stmt *statement) {
  if (!statement) return !lens->ncontexts && !lens->nshown;
  if (sqlite3_step(statement) != SQLITE_ROW) return false;
  for (int i = 0; i < lens->ncontexts; i++) eye->contexts[i] = read_answer(statement, 1 + i);
  for (int i = 0; i < lens->nshown; i++) {
    sqlite3_value *value = sqlite3_column_value(statement, 1 + lens->ncontexts + i);
    sqlite3_value *copy = sqlite3_value_dup(value);
    if (!copy) return false;
    eye->copies[eye->ncopies++] = copy;
    if (!datum_read(copy, &eye->shown[i])) return false;
  }
  return true;
}

bool eye_open(Eye *eye, const Lens *lens, const State *state, sqlite3_stmt *statement) {
  eye_close(eye);
  eye->operands = calloc(lens->noperands + 1, sizeof *eye->operands);
  eye->shown = calloc((size_t)lens->nshown + 1, sizeof *eye->shown);
  eye->copies = calloc(lens->noperands + (size_t)lens->nshown + 1, sizeof *eye->copies);
  eye->contexts = calloc((size_t)lens->ncontexts + 1, 1);
  const bool ok = eye->operands && eye->shown && eye->copies && eye->contexts &&
                  read_operands(eye, lens, state) && read_row(eye, lens, statement);
  if (statement) sqlite3_reset(statement);
  if (ok) {
    eye->serial = state->universe->serial;
  } else {
    eye_close(eye);
  }
  return ok;
}

/* ---- rows ------------------------------------------------------------------------------------ */

Datum raw_cell(const Sight *sight, const Row *row, int column) {
  if (!row) return sight->fresh[column];
  if (column >= 0) return row_cell(&sight->format, row, column);
  return (Datum){.type = SQLITE_INTEGER, .as.integer = row->rowid};
}

bool datum_passes(const Datum *cell, SqlOp op, const Datum *other) {
  return sql_op_holds(op, datum_compare(cell, other));
}

/* What most columns hold: an integer of 32 bits. */
static bool is_small(const Sight *sight, const Row *row, int column) {
  return row && column >= 0 && row_kind(&sight->format, row, column) == HELD_SMALL;
}

static Tri compare(const Sight *sight, const Row *row, const Node *node) {
  const Datum *operand = &sight->eye->operands[node->b];
  if (operand->type == SQLITE_INTEGER && is_small(sight, row, node->a)) {
    const bool same = row_word(&sight->format, row, node->a) == operand->as.integer;
    if (node->op == SQL_OP_EQ) return same ? TRI_TRUE : TRI_FALSE;
    if (node->op == SQL_OP_NE) return same ? TRI_FALSE : TRI_TRUE;
  }
  const Datum *fresh = row ? NULL : &sight->fresh[node->a];
  if (fresh && fresh->type == SQLITE_INTEGER && operand->type == SQLITE_INTEGER) {
    const bool same = fresh->as.integer == operand->as.integer;
    if (node->op == SQL_OP_EQ) return same ? TRI_TRUE : TRI_FALSE;
    if (node->op == SQL_OP_NE) return same ? TRI_FALSE : TRI_TRUE;
  }
  const Datum cell = fresh ? *fresh : raw_cell(sight, row, node->a);
  const bool null = cell.type == SQLITE_NULL || operand->type == SQLITE_NULL;
  if (null && node->op != SQL_OP_IS && node->op != SQL_OP_IS_NOT) return TRI_NULL;
  return datum_passes(&cell, node->op, operand) ? TRI_TRUE : TRI_FALSE;
}

static Tri is_member(const Sight *sight, const Row *row, int number) {
  if (sight->truths[number] >= 0) return sight->truths[number] ? TRI_TRUE : TRI_FALSE;
  const Atom *atom = &sight->table->atoms[number];
  const MemberSet *set = &sight->sets[atom->set];
  if (set->words && is_small(sight, row, atom->column)) {
    const int64_t integer = row_word(&sight->format, row, atom->column);
    if (member_has_bit(set, integer)) return TRI_TRUE;
    return set->null ? TRI_NULL : TRI_FALSE;
  }
  const Datum cell = raw_cell(sight, row, atom->column);
  const int in = member_in(set, &cell);
  return in < 0 ? TRI_NULL : in ? TRI_TRUE : TRI_FALSE;
}

static Tri truth_of(const Datum *cell) {
  if (cell->type == SQLITE_NULL) return TRI_NULL;
  const bool is = cell->type == SQLITE_INTEGER ? cell->as.integer != 0 : cell->as.real != 0;
  return is ? TRI_TRUE : TRI_FALSE;
}

static Tri evaluate(const Sight *sight, const Row *row, const Node *node) {
  Datum cell;
  Tri left, right;
  switch (node->kind) {
  case NODE_FLAG:
    return (Tri)row->marks[node->a];
  case NODE_CONTEXT:
    return (Tri)sight->eye->contexts[node->a];
  case NODE_ATOM:
    return is_member(sight, row, node->a);
  case NODE_COMPARE:
    return compare(sight, row, node);
  case NODE_TRUTH:
    cell = raw_cell(sight, row, node->a);
    return truth_of(&cell);
  case NODE_NOT:
    return TRI_TRUE - evaluate(sight, row, node->left);
  case NODE_AND:
    left = evaluate(sight, row, node->left);
    if (left == TRI_FALSE) return left;
    right = evaluate(sight, row, node->right);
    return left < right ? left : right;
  case NODE_OR:
    left = evaluate(sight, row, node->left);
    if (left == TRI_TRUE) return left;
    right = evaluate(sight, row, node->right);
    return left > right ? left : right;
  case NODE_UNLESS:
    left = evaluate(sight, row, node->left);
    if (left == TRI_FALSE) return left;
    return evaluate(sight, row, node->right) == TRI_TRUE ? TRI_FALSE : left;
  case NODE_FALSE:
    break;
  }
  return TRI_FALSE;
}

bool sight_sees(const Sight *sight, const Row *row) {
  return evaluate(sight, row, sight->lens->visible) == TRI_TRUE;
}

bool sight_finds(const Sight *sight, const Row *row, const Node *node) {
  return evaluate(sight, row, node) == TRI_TRUE;
}

const Rewrite *sight_rewrite(const Sight *sight, const Row *row, int column) {
  for (int i = 0; i < sight->lens->nrewrites; i++) {
    const Rewrite *rewrite = &sight->lens->rewrites[i];
    if (rewrite->column == column && evaluate(sight, row, rewrite->applies) == TRI_TRUE) {
      return rewrite;
    }
  }
  return NULL;
}

Datum sight_cell(const Sight *sight, const Row *row, int column) {
  const Rewrite *rewrite =
      sight->table->rewritten[column] ? sight_rewrite(sight, row, column) : NULL;
  if (!rewrite) return row_cell(&sight->format, row, column);
  if (rewrite->cell < 0) return sight->eye->shown[rewrite->shown];
  return row_cell(&sight->format, row, rewrite->cell);
}
