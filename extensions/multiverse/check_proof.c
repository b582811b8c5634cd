/*
** What a solver tells of a policy, for every database: rules that can go, rules without any effect,
** rows that nobody can see, rows that are shown to just anybody.
*/
#include "extensions/multiverse/check.h"
#include "extensions/multiverse/logic.h"

typedef struct Proof {
  Check *check;
  Smt *smt;
  Logic logic; /* of one table */
} Proof;

static bool ask(Proof *proof, const char *claim, bool typed, SmtAnswer *out) {
  Text script = {0};
  *out = SMT_UNKNOWN;
  if (proof->check->fault->code || !check_goes_on(proof->check)) return false;
  logic_script(&proof->logic, claim, typed, &script);
  const bool ok = (!script.oom || fault_oom(proof->check->fault)) &&
                  smt_ask(proof->smt, text_get(&script), out, proof->check->fault);
  text_finish(&script);
  return ok;
}

static bool cannot_be(Proof *proof, const char *claim, bool *out) {
  SmtAnswer answer;
  if (!ask(proof, claim, false, &answer)) return false;
  *out = answer == SMT_UNSAT;
  return true;
}

/* Any rule of the list but one, and with `before` only those before it and of its column. */
static const char *others(Proof *proof, const Rule *rules, const Rule *one, bool before) {
  const char *any = "false";
  for (; rules && !(before && rules == one); rules = rules->next) {
    if (rules == one || (before && rules->column != one->column)) continue;
    any = logic_term(&proof->logic, "(or %s %s)", any, logic_rule(&proof->logic, rules));
  }
  return any;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* The rule has an effect only where this is not true as well. */
static const char *in_vain(Proof *proof, const Rule *rule, const char **why) {
  Logic *logic = &proof->logic;
  const TablePolicy *table = logic->table;
  switch (rule->action) {
  case ACTION_ALLOW:
    *why = "can go: what it shows, other rules show";
    return others(proof, table->rules[ACTION_ALLOW], rule, false);
  case ACTION_DENY:
    *why = "hides nothing that would be shown without it";
    return logic_term(logic, "(or %s (not %s))",
                      others(proof, table->rules[ACTION_DENY], rule, false),
                      logic_any(logic, table->rules[ACTION_ALLOW]));
  case ACTION_REWRITE:
    *why = "has no effect: rules before it rewrite the column, or the row is not seen";
    return logic_term(logic, "(or %s (not %s))",
                      others(proof, table->rules[ACTION_REWRITE], rule, true),
                      logic_visible(logic));
  case ACTION_INSERT:
    *why = "lets nothing in: other rules do, or the writer would not see the row";
    return logic_term(logic, "(or %s (not %s))",
                      others(proof, table->rules[ACTION_INSERT], rule, false),
                      logic_visible(logic));
  case ACTION_DELETE:
    *why = "can go: what it lets be deleted, other rules do, or is not seen";
    return logic_term(logic, "(or %s (not %s))",
                      others(proof, table->rules[ACTION_DELETE], rule, false),
                      logic_visible(logic));
  default:
    return NULL;
  }
}

static bool prove_rule(Proof *proof, const Rule *rule) {
  Check *check = proof->check;
  const char *name = proof->logic.table->base->name, *why = NULL;
  const char *applies = logic_rule(&proof->logic, rule);
  bool never, vain;
  if (check_is_constant(&rule->when) || (rule->has_unless && check_is_constant(&rule->unless))) {
    return true;
  }
  if (!cannot_be(proof, applies, &never)) return false;
  if (never) {
    return check_tell(check, rule, SEVERITY_WARNING, NULL, "%s: never applies, whatever the data",
                      name);
  }
  const char *already = in_vain(proof, rule, &why);
  if (!already) return true;
  const char *claim = logic_term(&proof->logic, "(and %s (not %s))", applies, already);
  if (!cannot_be(proof, claim, &vain)) return false;
  return !vain || check_tell(check, rule, SEVERITY_WARNING, NULL, "%s: %s", name, why);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool tell_example(Proof *proof, bool with_user, const char *message) {
  Text example = {0};
  Check *check = proof->check;
  const bool ok =
      logic_example(&proof->logic, proof->smt, with_user, &example, check->fault) &&
      (!example.oom || fault_oom(check->fault)) &&
      check_tell(check, NULL, SEVERITY_NOTE, text_get(&example), "%s: %s%s",
                 proof->logic.table->base->name, proof->logic.guessed ? "perhaps " : "", message);
  text_finish(&example);
  return ok;
}

/* Whoever asks, and whatever groups they are in. */
static bool prove_unseen(Proof *proof) {
  Text script = {0};
  SmtAnswer answer = SMT_UNKNOWN;
  Fault *fault = proof->check->fault;
  const char *unseen = logic_term(&proof->logic, "(not %s)", logic_visible(&proof->logic));
  if (fault->code || !check_goes_on(proof->check)) return false;
  logic_script_for_all(&proof->logic, unseen, &script);
  const bool ok =
      (!script.oom || fault_oom(fault)) && smt_ask(proof->smt, text_get(&script), &answer, fault);
  text_finish(&script);
  if (!ok || answer != SMT_SAT) return ok;
  return tell_example(proof, false, "there can be rows that nobody sees");
}

/* Somebody who is in no group, and whom the row does not name. */
static bool prove_public(Proof *proof) {
  Logic *logic = &proof->logic;
  const char *claim = logic_visible(logic);
  bool any = false;
  for (size_t i = 0; i < logic->nunknowns; i++) {
    if (logic->unknowns[i].kind == UNKNOWN_MEMBER || logic->unknowns[i].kind == UNKNOWN_TRUTH) {
      claim = logic_term(logic, "(and %s (not u%zu))", claim, i);
      any = true;
    }
    for (size_t j = 0; logic->unknowns[i].kind == UNKNOWN_PARAM && j < logic->nunknowns; j++) {
      if (logic->unknowns[j].kind != UNKNOWN_COLUMN) continue;
      claim = logic_term(logic, "(and %s (not (= u%zu u%zu)))", claim, i, j);
    }
  }
  SmtAnswer answer;
  if (!any) return true;
  if (!ask(proof, claim, true, &answer)) return false;
  return answer != SMT_SAT ||
         tell_example(proof, true, "rows are shown to who is in no group and is not named in them");
}

static bool prove_table(Proof *proof, const TablePolicy *table) {
  logic_use(&proof->logic, proof->check->policy, table);
  proof->logic.fault = proof->check->fault;
  for (int a = 0; a < ACTION_PEEPHOLE; a++) {
    for (const Rule *rule = table->rules[a]; rule; rule = rule->next) {
      if (!prove_rule(proof, rule)) return false;
    }
  }
  return true;
}

bool check_proofs(Check *check) {
  Fault absent = {0};
  Proof proof = {.check = check, .smt = smt_open(&absent)};
  if (!proof.smt) {
    if (absent.code != FAULT_UNSUPPORTED) {
      *check->fault = absent;
      return false;
    }
    return check_tell(check, NULL, SEVERITY_NOTE, NULL, "nothing is proven: %s", absent.text);
  }
  bool ok = true;
  for (int i = 0; ok && i < check->policy->ntables; i++) {
    const TablePolicy *table = check->policy->tables[i];
    if (!table->rules[ACTION_ALLOW]) continue;
    ok = prove_table(&proof, table);
    logic_finish(&proof.logic);
    proof.logic = (Logic){.fault = check->fault, .policy = check->policy, .table = table};
    if (ok) logic_visible(&proof.logic); /* what reading alone depends on */
    ok = ok && prove_unseen(&proof) && prove_public(&proof);
    logic_finish(&proof.logic);
    proof.logic = (Logic){0};
  }
  smt_close(proof.smt);
  return ok;
}
