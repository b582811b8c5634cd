/*
** Groups: who is in them, and who asks for them.
*/
#include <string.h>

#include "extensions/multiverse/check.h"

static bool is_used(const Policy *policy, const Group *group) {
  for (int i = 0; i < policy->ntables; i++) {
    for (int a = 0; a < ACTIONS; a++) {
      for (const Rule *rule = policy->tables[i]->rules[a]; rule; rule = rule->next) {
        if (rule->when.group == group || (rule->has_unless && rule->unless.group == group)) {
          return true;
        }
      }
    }
  }
  return false;
}

static SqlWalk find_variable(void *ctx, SqlExpr *expr) {
  *(bool *)ctx |= expr->kind == SQL_EXPR_VARIABLE;
  return SQL_WALK_ON;
}

/* "uid = 7, gid = NULL" of a row of multiverse_member, as SQL that gives the text. */
static void write_member(const Group *group, Text *out) {
  text_add(out, "'gid = ' || quote(multiverse_member.gid)");
  for (int i = 0; i < group->nkeys; i++) {
    text_add(out, " || ', ' || ");
    text_add_string(out, group->keys[i], strlen(group->keys[i]));
    text_add(out, " || ' = ' || quote(multiverse_member.");
    text_add_name(out, group->keys[i]);
    text_addc(out, ')');
  }
}

/* Does a member meet this condition? *out stands on a row with a text, or is NULL. */
static bool find_member(Check *check, const Group *group, const char *rest, sqlite3_stmt **out) {
  const Meaning meaning = {.policy = check->policy, .queried = true};
  Text sql = {0};
  text_add(&sql, "SELECT ");
  write_member(group, &sql);
  text_add(&sql, " FROM (");
  meaning_select(&meaning, group->select, &sql);
  text_addf(&sql, ") AS multiverse_member %s LIMIT 1", rest);
  sqlite3_stmt *find = query_prepare(check->db, sql.oom ? NULL : text_get(&sql), check->fault);
  text_finish(&sql);
  const int step = find ? query_step(find, check->fault) : -1;
  *out = step == 1 ? find : NULL;
  if (step != 1) query_finish(find);
  return step >= 0;
}

static bool check_members(Check *check, const Group *group) {
  sqlite3_stmt *found;
  Text rest = {0};
  bool ok = find_member(check, group, "", &found);
  if (ok && !found) {
    ok = check_tell(check, NULL, SEVERITY_NOTE, NULL, "group %s has no members", group->name);
  }
  query_finish(found);
  ok = ok && find_member(check, group, "WHERE multiverse_member.gid IS NULL", &found);
  if (ok && found) {
    ok = check_tell(check, NULL, SEVERITY_WARNING, query_text(found, 0),
                    "group %s has members whose gid is NULL, which equals nothing", group->name);
    query_finish(found);
  }
  text_add(&rest, "GROUP BY multiverse_member.gid");
  for (int i = 0; i < group->nkeys; i++) {
    text_add(&rest, ", multiverse_member.");
    text_add_name(&rest, group->keys[i]);
  }
  text_add(&rest, " HAVING count(*) > 1");
  ok = ok && (!rest.oom || fault_oom(check->fault)) &&
       find_member(check, group, text_get(&rest), &found);
  if (ok && found) {
    ok = check_tell(check, NULL, SEVERITY_NOTE, query_text(found, 0),
                    "group %s has members twice, which changes nothing", group->name);
    query_finish(found);
  }
  text_finish(&rest);
  return ok;
}

bool check_groups(Check *check) {
  for (int i = 0; i < check->policy->ngroups; i++) {
    const Group *group = &check->policy->groups[i];
    bool asks = false;
    const SqlVisitor visitor = {.ctx = &asks, .expr = find_variable};
    sql_walk_select(group->select, &visitor);
    if (!asks && !check_members(check, group)) return false;
    if (!is_used(check->policy, group) && !check->broken &&
        !check_tell(check, NULL, SEVERITY_NOTE, NULL, "group %s is used by no rule", group->name)) {
      return false;
    }
    if (!check_goes_on(check)) return false;
  }
  return true;
}
