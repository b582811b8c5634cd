/*
** Writes that are chosen by chance.
*/
#include <stdio.h>
#include <string.h>

#include "test/multiverse/writes/writes.h"

static void to_text(char out[VALUE], void (*write)(Words *)) {
  Words words = {0};
  write(&words);
  snprintf(out, VALUE, "%.*s", VALUE - 1, words.at);
}

static bool has_text_key(int table) { return *tables[table].types[0] == 'T'; }

static void choose_key(char out[VALUE], int table) {
  if (chance(12)) {
    snprintf(out, VALUE, "NULL");
  } else if (chance(4)) {
    to_text(out, literal); /* perhaps of a wrong type */
  } else {
    snprintf(out, VALUE, has_text_key(table) ? "'k%u'" : "%u", pick(ROWS + 20));
  }
}

static void choose_where(Change *out, bool single) {
  char value[VALUE];
  if (single || chance(50)) {
    snprintf(out->where, sizeof out->where, has_text_key(out->table) ? "c0 = 'k%u'" : "c0 = %u",
             pick(ROWS));
  } else if (chance(90)) {
    to_text(value, literal);
    snprintf(out->where, sizeof out->where, "c%u %s %s", pick(NCOLS),
             (const char *const[]){"=", "=", "=", "<", "IS", ">="}[pick(6)], value);
  }
}

static void choose_insert(Change *out) {
  out->nrows = 1 + (int)pick(MOST_ROWS);
  out->ncols = chance(70) ? NCOLS : 1 + (int)pick(NCOLS);
  for (int r = 0; r < out->nrows; r++) {
    choose_key(out->values[r][0], out->table);
    for (int c = 1; c < out->ncols; c++) to_text(out->values[r][c], literal);
  }
}

static void choose_update(Change *out) {
  out->nset = 1 + (int)pick(MOST_SET);
  for (int i = 0; i < out->nset; i++) {
    out->set[i] = chance(8) ? 0 : 1 + (int)pick(NCOLS - 1);
    if (i && out->set[i] == out->set[0]) out->nset = 1;
    if (out->set[i] == 0) {
      choose_key(out->given[i], out->table);
    } else if (chance(60)) {
      to_text(out->given[i], literal);
    } else {
      snprintf(out->given[i], VALUE, "c%u", chance(50) ? (unsigned)out->set[i] : pick(NCOLS));
    }
  }
}

void choose_change(Change *out) {
  static const char *const conflicts[] = {"IGNORE", "REPLACE", "FAIL", "ROLLBACK", "ABORT"};
  *out = (Change){.kind = (Kind)pick(3), .table = (int)pick(NTABLES), .conflict = ""};
  if (chance(40) && out->kind != KIND_DELETE) out->conflict = conflicts[pick(5)];
  if (out->kind == KIND_INSERT) {
    choose_insert(out);
    return;
  }
  if (out->kind == KIND_UPDATE) choose_update(out);
  /* Which of several rows takes a value that is to be unique depends on their order. */
  choose_where(out, *out->conflict == 'I' || *out->conflict == 'F');
}

void write_change(Words *out, const Change *change) {
  const char *table = tables[change->table].name, * or = *change->conflict ? " OR " : "";
  switch (change->kind) {
  case KIND_INSERT:
    say(out, "INSERT%s%s INTO %s", or, change->conflict, table);
    for (int c = 0; c < change->ncols; c++) say(out, c ? ", c%d" : "(c%d", c);
    for (int r = 0; r < change->nrows; r++) {
      say(out, r ? "), (" : ") VALUES (");
      for (int c = 0; c < change->ncols; c++) say(out, c ? ", %s" : "%s", change->values[r][c]);
    }
    say(out, ")");
    return;
  case KIND_UPDATE:
    say(out, "UPDATE%s%s %s SET ", or, change->conflict, table);
    for (int i = 0; i < change->nset; i++) {
      say(out, i ? ", c%d = %s" : "c%d = %s", change->set[i], change->given[i]);
    }
    break;
  case KIND_DELETE:
    say(out, "DELETE FROM %s", table);
  }
  if (*change->where) say(out, " WHERE %s", change->where);
}

/* ---- by nobody in particular */

static void write_member(Words *out) {
  switch (pick(3)) {
  case 0:
    say(out, "INSERT INTO M VALUES (%u, %u, '%c', %u)", 1 + pick(5), pick(5), "abAx"[pick(4)],
        pick(3));
    break;
  case 1:
    say(out, "DELETE FROM M WHERE uid = %u AND g = %u", 1 + pick(5), pick(5));
    break;
  default:
    say(out, "UPDATE M SET g = %u, role = %u WHERE uid = %u AND role = %u", pick(5), pick(3),
        1 + pick(5), pick(3));
  }
}

void write_admin(Words *out) {
  Change change;
  if (chance(35)) {
    write_member(out);
    return;
  }
  do {
    choose_change(&change);
  } while (change.kind == KIND_DELETE && !*change.where);
  write_change(out, &change);
}
