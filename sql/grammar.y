/*
** The grammar of SQLite's dialect, for lemon: SELECT, INSERT, UPDATE, DELETE and CREATE as SQLite
** 3.40 reads them. Rules only shape the text; what they build is in build*.c.
**
** Two devices keep the language equal to SQLite's: the %fallback list (keywords that are names
** wherever they cannot be keywords) and the order and side of the precedences.
*/
%name sql_lemon
%token_prefix TK_
%token_type {SqlSpan}
%default_type {SqlSpan}
%extra_argument {Parse *parse}
%stack_size 0

%include {
#include <stdlib.h>

#include "sql/build.h"

/* The template is not ours to tidy. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define YYNOERRORRECOVERY 1
#define NONE ((SqlSpan){0})
}

%syntax_error { build_syntax_error(parse, TOKEN); }
%parse_failure { }
/* The stack grows on the heap: it overflows only when that is refused. */
%stack_overflow {
  parse->failed = true;
  fault_oom(parse->fault);
}

/* In the order of the enumeration in token.h. */
%token
  ANY ID STRING BLOB INTEGER FLOAT VARIABLE SEMI LP RP COMMA DOT STAR SLASH REM PLUS MINUS
  BITAND BITOR BITNOT LSHIFT RSHIFT EQ NE LT LE GT GE CONCAT PTR ABORT ACTION ADD AFTER ALL
  ALTER ALWAYS ANALYZE AND AS ASC ATTACH AUTOINCR BEFORE BEGIN BETWEEN BY CASCADE CASE CAST
  CHECK COLLATE COLUMNKW COMMIT CONFLICT CONSTRAINT CREATE CTIME_KW CURRENT DATABASE DEFAULT
  DEFERRABLE DEFERRED DELETE DESC DETACH DISTINCT DO DROP EACH ELSE END ESCAPE EXCEPT EXCLUDE
  EXCLUSIVE EXISTS EXPLAIN FAIL FILTER FIRST FOLLOWING FOR FOREIGN FROM GENERATED GROUP GROUPS
  HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INITIALLY INSERT INSTEAD INTERSECT INTO IS ISNULL
  JOIN JOIN_KW KEY LAST LIKE_KW LIMIT MATCH MATERIALIZED NO NOT NOTHING NOTNULL NULL NULLS OF
  OFFSET ON OR ORDER OTHERS OVER PARTITION PLAN PRAGMA PRECEDING PRIMARY QUERY RAISE RANGE
  RECURSIVE REFERENCES REINDEX RELEASE RENAME REPLACE RESTRICT RETURNING ROLLBACK ROW ROWS
  SAVEPOINT SELECT SET TABLE TEMP THEN TIES TO TRANSACTION TRIGGER UNBOUNDED UNION UNIQUE UPDATE
  USING VACUUM VALUES VIEW VIRTUAL WHEN WHERE WINDOW WITH WITHOUT AT_STATEMENT AT_SELECT AT_EXPR.

%code {
_Static_assert(TK_ANY == SQL_TK_ANY && TK_PTR == SQL_TK_PTR && TK_ABORT == SQL_TK_ABORT &&
               TK_IS == SQL_TK_IS && TK_WITHOUT == SQL_TK_WITHOUT &&
               TK_AT_EXPR == SQL_TK_AT_EXPR, "token.h and grammar.y disagree");
}

%fallback ID
  ABORT ACTION AFTER ALWAYS ANALYZE ASC ATTACH BEFORE BEGIN BY CASCADE CAST COLUMNKW CONFLICT
  CTIME_KW CURRENT DATABASE DEFERRED DESC DETACH DO EACH END EXCLUDE EXCLUSIVE EXPLAIN FAIL FIRST
  FOLLOWING FOR GENERATED GROUPS IF IGNORE IMMEDIATE INITIALLY INSTEAD KEY LAST LIKE_KW MATCH
  MATERIALIZED NO NULLS OF OFFSET OTHERS PARTITION PLAN PRAGMA PRECEDING QUERY RAISE RANGE RECURSIVE
  REINDEX RELEASE RENAME REPLACE RESTRICT ROLLBACK ROW ROWS SAVEPOINT TEMP TIES TRIGGER UNBOUNDED
  VACUUM VIEW VIRTUAL WITH WITHOUT.
%wildcard ANY.

%left OR.
%left AND.
%right NOT.
%left IS MATCH LIKE_KW BETWEEN IN ISNULL NOTNULL NE EQ.
%left GT LE LT GE.
%right ESCAPE.
%left BITAND BITOR LSHIFT RSHIFT.
%left PLUS MINUS.
%left STAR SLASH REM.
%left CONCAT PTR.
%left COLLATE.
%right BITNOT.
%nonassoc ON.

%token_class id ID|INDEXED.
%token_class ids ID|STRING.
%token_class number INTEGER|FLOAT.

/* ---- what is read: the first token, which no text contains, says what is wanted */

input ::= AT_STATEMENT semis statement(S) semis. { parse->statement = S; }
input ::= AT_SELECT semis select(S) semis. { parse->select = S.first; }
input ::= AT_EXPR expr(E). { parse->expr = E.e; }

semis ::= .
semis ::= semis SEMI.

%type statement {SqlStatement *}
statement(S) ::= select(A). { S = build_select_statement(parse, A); }

/* ---- names */

nm(A) ::= id(A).
nm(A) ::= STRING(A).
nm(A) ::= JOIN_KW(A).

%type qualified {Name}
qualified(N) ::= nm(A). { N = (Name){NONE, A}; }
qualified(N) ::= nm(A) DOT nm(B). { N = (Name){A, B}; }

%type names {Names}
names(L) ::= nm(A). { L = build_names(parse, (Names){0}, A); }
names(L) ::= names(L0) COMMA nm(A). { L = build_names(parse, L0, A); }

%type names_opt {Names}
names_opt(L) ::= . { L = (Names){0}; }
names_opt(L) ::= LP names(A) RP. { L = A; }

/* Lists of column names that could once be followed by a collation and an order. */
%type plain_names {Names}
plain_names(L) ::= plain_name(A). { L = build_names(parse, (Names){0}, A); }
plain_names(L) ::= plain_names(L0) COMMA plain_name(A). { L = build_names(parse, L0, A); }
plain_name(A) ::= nm(A) collate_opt(C) sort(D). {
  if (C || D) {
    build_fail(parse, A.at, FAULT_INVALID, "syntax error after column name \"%.*s\"",
               (int)A.length, parse->text + A.at);
  }
}

%type plain_names_opt {Names}
plain_names_opt(L) ::= . { L = (Names){0}; }
plain_names_opt(L) ::= LP plain_names(A) RP. { L = A; }

%type collate_opt {int}
collate_opt(C) ::= . { C = 0; }
collate_opt(C) ::= COLLATE ids. { C = 1; }

%type alias {Alias}
alias(X) ::= . { X = (Alias){0}; }
alias(X) ::= AS nm(A). { X = (Alias){A, true}; }
alias(X) ::= ids(A). { X = (Alias){A, false}; }

/* Where the next token begins. */
%type mark {uint32_t}
mark(A) ::= . { A = yyLookaheadToken.at; }

type_opt(A) ::= . { A = (SqlSpan){yyLookaheadToken.at, 0}; }
type_opt(A) ::= type(A).
type_opt(A) ::= type(T) LP signed RP(Z). { A = build_span(T, Z); }
type_opt(A) ::= type(T) LP signed COMMA signed RP(Z). { A = build_span(T, Z); }
type(A) ::= ids(A).
type(A) ::= type(T) ids(Z). { A = build_span(T, Z); }
signed ::= PLUS number.
signed ::= MINUS number.
signed ::= number.

/* ---- SELECT */

%type select {Arms}
select(A) ::= arms(X). { A = build_compound(parse, X); }
select(A) ::= with_clause(W) arms(X). {
  SqlSpan first = {W.at, 0};
  A = build_with(parse, W.with, first, build_compound(parse, X));
}

%type with_clause {WithClause}
with_clause(A) ::= WITH(F) ctes(L). {
  A = (WithClause){build_with_clause(parse, false, L), F.at};
}
with_clause(A) ::= WITH(F) RECURSIVE ctes(L). {
  A = (WithClause){build_with_clause(parse, true, L), F.at};
}

%type ctes {Ctes}
ctes(L) ::= cte(C). { L = build_cte(parse, (Ctes){0}, C.name, C.columns, C.mode, C.select, C.last); }
ctes(L) ::= ctes(L0) COMMA cte(C). {
  L = build_cte(parse, L0, C.name, C.columns, C.mode, C.select, C.last);
}
%type cte {CteParts}
cte(C) ::= nm(N) plain_names_opt(L) AS materialized(M) LP select(A) RP(Z). {
  C = (CteParts){N, L, M, A, Z};
}
%type materialized {int}
materialized(M) ::= . { M = 0; }
materialized(M) ::= MATERIALIZED. { M = 1; }
materialized(M) ::= NOT MATERIALIZED. { M = -1; }

%type arms {Arms}
arms(A) ::= one(S). { A = build_arm(parse, (Arms){0}, SQL_COMPOUND_NONE, S); }
arms(A) ::= arms(A0) compound(C) one(S). { A = build_arm(parse, A0, C, S); }

%type compound {SqlCompound}
compound(C) ::= UNION. { C = SQL_COMPOUND_UNION; }
compound(C) ::= UNION ALL. { C = SQL_COMPOUND_UNION_ALL; }
compound(C) ::= INTERSECT. { C = SQL_COMPOUND_INTERSECT; }
compound(C) ::= EXCEPT. { C = SQL_COMPOUND_EXCEPT; }

%type one {SqlSelect *}
%type body {SqlSelect *}
one(S) ::= body(B) order_opt(O) limit_opt(L) mark(Z). {
  S = B;
  build_one_tail(parse, S, (Windows){0}, O, L, Z);
}
one(S) ::= body(B) WINDOW windows(W) order_opt(O) limit_opt(L) mark(Z). {
  S = B;
  build_one_tail(parse, S, W, O, L, Z);
}
one(S) ::= values(S).

body(S) ::= SELECT(F) enter distinct(D) results(R) from(T) where_opt(W) group_opt(G) having_opt(H). {
  S = build_one(parse, F, D, R, T, W, G, H);
}
enter ::= . { build_enter(parse); }

%type values {SqlSelect *}
values(S) ::= VALUES(F) enter LP exprs1(L) RP(Z). { S = build_values(parse, NULL, F, L, Z); }
values(S) ::= values(S0) COMMA LP(F) exprs1(L) RP(Z). { S = build_values(parse, S0, F, L, Z); }

%type distinct {int}
distinct(D) ::= . { D = 0; }
distinct(D) ::= DISTINCT. { D = SQL_TK_DISTINCT; }
distinct(D) ::= ALL. { D = SQL_TK_ALL; }

%type results {Results}
%type results_comma {Results}
results_comma(L) ::= . { L = (Results){0}; }
results_comma(L) ::= results(L) COMMA.
results(L) ::= results_comma(L0) expr(E) mark(Z) alias(N). {
  L = build_result(parse, L0, E, Z, N);
}
results(L) ::= results_comma(L0) STAR(Z). { L = build_star(parse, L0, NONE, Z); }
results(L) ::= results_comma(L0) nm(T) DOT STAR(Z). { L = build_star(parse, L0, T, Z); }

%type where_opt {SqlExpr *}
where_opt(E) ::= . { E = NULL; }
where_opt(E) ::= WHERE expr(X). { E = X.e; }
%type having_opt {SqlExpr *}
having_opt(E) ::= . { E = NULL; }
having_opt(E) ::= HAVING expr(X). { E = X.e; }
%type group_opt {Exprs}
group_opt(L) ::= . { L = (Exprs){0}; }
group_opt(L) ::= GROUP BY exprs1(X). { L = X; }
%type order_opt {Orders}
order_opt(L) ::= . { L = (Orders){0}; }
order_opt(L) ::= ORDER BY orders(X). { L = X; }
%type orders {Orders}
orders(L) ::= expr(E) sort(S) nulls(N). { L = build_order(parse, (Orders){0}, E, S, N); }
orders(L) ::= orders(L0) COMMA expr(E) sort(S) nulls(N). { L = build_order(parse, L0, E, S, N); }
%type sort {int}
sort(S) ::= . { S = 0; }
sort(S) ::= ASC. { S = SQL_TK_ASC; }
sort(S) ::= DESC. { S = SQL_TK_DESC; }
%type nulls {int}
nulls(N) ::= . { N = 0; }
nulls(N) ::= NULLS FIRST. { N = SQL_TK_FIRST; }
nulls(N) ::= NULLS LAST. { N = SQL_TK_LAST; }
%type limit_opt {Limit}
limit_opt(L) ::= . { L = (Limit){0}; }
limit_opt(L) ::= LIMIT expr(A). { L = (Limit){A.e, NULL, false}; }
limit_opt(L) ::= LIMIT expr(A) OFFSET expr(B). { L = (Limit){A.e, B.e, false}; }
limit_opt(L) ::= LIMIT expr(B) COMMA expr(A). { L = (Limit){A.e, B.e, true}; }

/* ---- FROM */

%type from {Sources}
from(L) ::= . { L = (Sources){0}; }
from(L) ::= FROM sources(X). { L = X; }

%type sources {Sources}
%type sources_join {Sources}
sources_join(L) ::= . { L = (Sources){0}; }
sources_join(L) ::= sources(X) join(J). { L = build_joined(X, J); }
sources(L) ::= sources_join(L0) qualified(N) alias(A) joined(J) mark(Z). {
  L = build_table(parse, L0, N, A, (Indexed){0}, J, Z);
}
sources(L) ::= sources_join(L0) qualified(N) alias(A) indexed(I) joined(J) mark(Z). {
  L = build_table(parse, L0, N, A, I, J, Z);
}
sources(L) ::= sources_join(L0) qualified(N) LP exprs(E) RP alias(A) joined(J) mark(Z). {
  L = build_call(parse, L0, N, E, A, J, Z);
}
sources(L) ::= sources_join(L0) LP(F) select(S) RP alias(A) joined(J) mark(Z). {
  L = build_sub_select(parse, L0, F, S, A, J, Z);
}
sources(L) ::= sources_join(L0) LP(F) sources(S) RP alias(A) joined(J) mark(Z). {
  L = build_nested(parse, L0, F, S, A, J, Z);
}

%type join {Join}
join(J) ::= COMMA. { J = (Join){SQL_JOIN_COMMA, false, false}; }
join(J) ::= JOIN. { J = (Join){SQL_JOIN_INNER, false, false}; }
join(J) ::= JOIN_KW(A) JOIN. { J = build_join(parse, A, NONE, NONE); }
join(J) ::= JOIN_KW(A) nm(B) JOIN. { J = build_join(parse, A, B, NONE); }
join(J) ::= JOIN_KW(A) nm(B) nm(C) JOIN. { J = build_join(parse, A, B, C); }

/* An ON after a source belongs to the join, never to the ON CONFLICT of an INSERT around it: the
** precedences marked here say so. */
%type joined {Joined}
joined(J) ::= ON expr(E). { J = (Joined){E.e, {0}}; }
joined(J) ::= USING LP names(L) RP. { J = (Joined){NULL, L}; }
joined(J) ::= . [OR] { J = (Joined){0}; }

%type indexed {Indexed}
indexed(I) ::= INDEXED BY nm(N). { I = (Indexed){N, false}; }
indexed(I) ::= NOT INDEXED. { I = (Indexed){NONE, true}; }
%type indexed_opt {Indexed}
indexed_opt(I) ::= . { I = (Indexed){0}; }
indexed_opt(I) ::= indexed(I).

/* ---- expressions */

%type expr {Ex}
%type term {Ex}
%type exprs {Exprs}
%type exprs1 {Exprs}
exprs(L) ::= . { L = (Exprs){0}; }
exprs(L) ::= exprs1(L).
exprs1(L) ::= expr(E). { L = build_exprs(parse, (Exprs){0}, E.e); }
exprs1(L) ::= exprs1(L0) COMMA expr(E). { L = build_exprs(parse, L0, E.e); }

expr(A) ::= term(A).
expr(A) ::= LP(F) expr(X) RP(Z). { A = build_parens(F, X, Z); }
expr(A) ::= id(X). { A = build_column(parse, NONE, NONE, X); }
expr(A) ::= JOIN_KW(X). { A = build_column(parse, NONE, NONE, X); }
expr(A) ::= nm(T) DOT nm(X). { A = build_column(parse, NONE, T, X); }
expr(A) ::= nm(S) DOT nm(T) DOT nm(X). { A = build_column(parse, S, T, X); }
expr(A) ::= VARIABLE(X). { A = build_variable(parse, X); }
term(A) ::= NULL(X). { A = build_literal(parse, SQL_EXPR_NULL, X); }
term(A) ::= FLOAT(X). { A = build_literal(parse, SQL_EXPR_REAL, X); }
term(A) ::= BLOB(X). { A = build_literal(parse, SQL_EXPR_BLOB, X); }
term(A) ::= STRING(X). { A = build_literal(parse, SQL_EXPR_STRING, X); }
term(A) ::= INTEGER(X). { A = build_literal(parse, SQL_EXPR_INTEGER, X); }
term(A) ::= CTIME_KW(X). { A = build_literal(parse, SQL_EXPR_CURRENT, X); }

expr(A) ::= expr(X) COLLATE ids(N). { A = build_collate(parse, X, N); }
expr(A) ::= CAST(F) LP expr(X) AS type_opt(T) RP(Z). { A = build_cast(parse, F, X, T, Z); }

expr(A) ::= call(A).
expr(A) ::= call(X) FILTER LP WHERE expr(W) RP(Z). {
  A = build_window_call(parse, X, W.e, NULL, Z.at + 1);
}
expr(A) ::= call(X) over(W) mark(Z). { A = build_window_call(parse, X, NULL, W, Z); }
expr(A) ::= call(X) FILTER LP WHERE expr(F) RP over(W) mark(Z). {
  A = build_window_call(parse, X, F.e, W, Z);
}
%type call {Ex}
call(A) ::= id(N) LP distinct(D) exprs(L) RP(Z). {
  A = build_function(parse, N, D == SQL_TK_DISTINCT, false, L, Z);
}
call(A) ::= id(N) LP STAR RP(Z). { A = build_function(parse, N, false, true, (Exprs){0}, Z); }

expr(A) ::= LP(F) exprs1(L) COMMA expr(E) RP(Z). {
  A = build_row(parse, F, build_exprs(parse, L, E.e), Z);
}
expr(A) ::= expr(X) AND expr(Y). { A = build_binary(parse, X, SQL_OP_AND, Y); }
expr(A) ::= expr(X) OR expr(Y). { A = build_binary(parse, X, SQL_OP_OR, Y); }
expr(A) ::= expr(X) LT expr(Y). { A = build_binary(parse, X, SQL_OP_LT, Y); }
expr(A) ::= expr(X) GT expr(Y). { A = build_binary(parse, X, SQL_OP_GT, Y); }
expr(A) ::= expr(X) GE expr(Y). { A = build_binary(parse, X, SQL_OP_GE, Y); }
expr(A) ::= expr(X) LE expr(Y). { A = build_binary(parse, X, SQL_OP_LE, Y); }
expr(A) ::= expr(X) EQ expr(Y). { A = build_binary(parse, X, SQL_OP_EQ, Y); }
expr(A) ::= expr(X) NE expr(Y). { A = build_binary(parse, X, SQL_OP_NE, Y); }
expr(A) ::= expr(X) BITAND expr(Y). { A = build_binary(parse, X, SQL_OP_BITAND, Y); }
expr(A) ::= expr(X) BITOR expr(Y). { A = build_binary(parse, X, SQL_OP_BITOR, Y); }
expr(A) ::= expr(X) LSHIFT expr(Y). { A = build_binary(parse, X, SQL_OP_LSHIFT, Y); }
expr(A) ::= expr(X) RSHIFT expr(Y). { A = build_binary(parse, X, SQL_OP_RSHIFT, Y); }
expr(A) ::= expr(X) PLUS expr(Y). { A = build_binary(parse, X, SQL_OP_ADD, Y); }
expr(A) ::= expr(X) MINUS expr(Y). { A = build_binary(parse, X, SQL_OP_SUB, Y); }
expr(A) ::= expr(X) STAR expr(Y). { A = build_binary(parse, X, SQL_OP_MUL, Y); }
expr(A) ::= expr(X) SLASH expr(Y). { A = build_binary(parse, X, SQL_OP_DIV, Y); }
expr(A) ::= expr(X) REM expr(Y). { A = build_binary(parse, X, SQL_OP_MOD, Y); }
expr(A) ::= expr(X) CONCAT expr(Y). { A = build_binary(parse, X, SQL_OP_CONCAT, Y); }
expr(A) ::= expr(X) PTR(O) expr(Y). {
  A = build_binary(parse, X, O.length == 2 ? SQL_OP_PTR : SQL_OP_PTR2, Y);
}

expr(A) ::= expr(X) LIKE_KW|MATCH(O) expr(Y). [LIKE_KW] {
  A = build_like(parse, X, O, false, Y, (Ex){0});
}
expr(A) ::= expr(X) NOT LIKE_KW|MATCH(O) expr(Y). [LIKE_KW] {
  A = build_like(parse, X, O, true, Y, (Ex){0});
}
expr(A) ::= expr(X) LIKE_KW|MATCH(O) expr(Y) ESCAPE expr(E). [LIKE_KW] {
  A = build_like(parse, X, O, false, Y, E);
}
expr(A) ::= expr(X) NOT LIKE_KW|MATCH(O) expr(Y) ESCAPE expr(E). [LIKE_KW] {
  A = build_like(parse, X, O, true, Y, E);
}

expr(A) ::= expr(X) ISNULL(Z). { A = build_is_null(parse, X, false, Z); }
expr(A) ::= expr(X) NOTNULL(Z). { A = build_is_null(parse, X, true, Z); }
expr(A) ::= expr(X) NOT NULL(Z). { A = build_is_null(parse, X, true, Z); }
expr(A) ::= expr(X) IS expr(Y). { A = build_is(parse, X, false, Y); }
expr(A) ::= expr(X) IS NOT expr(Y). { A = build_is(parse, X, true, Y); }
expr(A) ::= expr(X) IS NOT DISTINCT FROM expr(Y). { A = build_is(parse, X, false, Y); }
expr(A) ::= expr(X) IS DISTINCT FROM expr(Y). { A = build_is(parse, X, true, Y); }

expr(A) ::= NOT(O) expr(X). { A = build_unary(parse, SQL_OP_NOT, O, X); }
expr(A) ::= BITNOT(O) expr(X). { A = build_unary(parse, SQL_OP_BITNOT, O, X); }
expr(A) ::= PLUS(O) expr(X). [BITNOT] { A = build_unary(parse, SQL_OP_POS, O, X); }
expr(A) ::= MINUS(O) expr(X). [BITNOT] { A = build_unary(parse, SQL_OP_NEG, O, X); }

%type between {int}
between(N) ::= BETWEEN. { N = 0; }
between(N) ::= NOT BETWEEN. { N = 1; }
expr(A) ::= expr(X) between(N) expr(L) AND expr(H). [BETWEEN] {
  A = build_between(parse, X, N, L, H);
}

%type in {int}
in(N) ::= IN. { N = 0; }
in(N) ::= NOT IN. { N = 1; }
expr(A) ::= expr(X) in(N) LP exprs(L) RP(Z). [IN] { A = build_in_list(parse, X, N, L, Z); }
expr(A) ::= expr(X) in(N) LP select(S) RP(Z). [IN] { A = build_in_select(parse, X, N, S, Z); }
expr(A) ::= expr(X) in(N) qualified(T). [IN] {
  A = build_in_table(parse, X, N, T, false, (Exprs){0}, T.name);
}
expr(A) ::= expr(X) in(N) qualified(T) LP exprs(L) RP(Z). [IN] {
  A = build_in_table(parse, X, N, T, true, L, Z);
}
expr(A) ::= LP(F) select(S) RP(Z). { A = build_select(parse, SQL_EXPR_SELECT, F, S, Z); }
expr(A) ::= EXISTS(F) LP select(S) RP(Z). { A = build_select(parse, SQL_EXPR_EXISTS, F, S, Z); }

expr(A) ::= CASE(F) expr(B) whens(L) else_opt(E) END(Z). { A = build_case(parse, F, B, L, E, Z); }
expr(A) ::= CASE(F) whens(L) else_opt(E) END(Z). { A = build_case(parse, F, (Ex){0}, L, E, Z); }
%type whens {Exprs}
whens(L) ::= WHEN expr(W) THEN expr(T). {
  L = build_exprs(parse, build_exprs(parse, (Exprs){0}, W.e), T.e);
}
whens(L) ::= whens(L0) WHEN expr(W) THEN expr(T). {
  L = build_exprs(parse, build_exprs(parse, L0, W.e), T.e);
}
%type else_opt {Ex}
else_opt(E) ::= . { E = (Ex){0}; }
else_opt(E) ::= ELSE expr(X). { E = X; }

expr(A) ::= RAISE(F) LP IGNORE(K) RP(Z). { A = build_raise(parse, F, K, NONE, Z); }
expr(A) ::= RAISE(F) LP ROLLBACK|ABORT|FAIL(K) COMMA nm(M) RP(Z). {
  A = build_raise(parse, F, K, M, Z);
}

/* ---- windows */

%type windows {Windows}
windows(L) ::= nm(N) AS LP window(W) RP(Z). {
  L = build_window_definition(parse, (Windows){0}, N, W, Z);
}
windows(L) ::= windows(L0) COMMA nm(N) AS LP window(W) RP(Z). {
  L = build_window_definition(parse, L0, N, W, Z);
}

%type over {SqlWindow *}
over(W) ::= OVER LP window(X) RP. { W = X; }
over(W) ::= OVER nm(N). { W = build_window_name(parse, N); }

%type window {SqlWindow *}
window(W) ::= PARTITION BY exprs1(P) order_opt(O) frame(F). {
  W = build_window(parse, NONE, P, O, F);
}
window(W) ::= nm(N) PARTITION BY exprs1(P) order_opt(O) frame(F). {
  W = build_window(parse, N, P, O, F);
}
window(W) ::= ORDER BY orders(O) frame(F). { W = build_window(parse, NONE, (Exprs){0}, O, F); }
window(W) ::= nm(N) ORDER BY orders(O) frame(F). { W = build_window(parse, N, (Exprs){0}, O, F); }
window(W) ::= frame(W).
window(W) ::= nm(N) frame(F). { W = build_window(parse, N, (Exprs){0}, (Orders){0}, F); }

%type frame {SqlWindow *}
frame(W) ::= mark(F). {
  W = build_frame(parse, (SqlSpan){F, 0}, SQL_FRAME_NONE, false,
                  (Bound){SQL_BOUND_UNBOUNDED_PRECEDING, NULL}, (Bound){SQL_BOUND_CURRENT, NULL},
                  SQL_EXCLUDE_NONE);
}
frame(W) ::= frame_unit(U) mark(F) bound_start(A) exclude(X). {
  W = build_frame(parse, (SqlSpan){F, 0}, U, false, A, (Bound){SQL_BOUND_CURRENT, NULL}, X);
}
frame(W) ::= frame_unit(U) BETWEEN(F) bound_start(A) AND bound_end(B) exclude(X). {
  W = build_frame(parse, F, U, true, A, B, X);
}
%type frame_unit {SqlFrameUnit}
frame_unit(U) ::= RANGE. { U = SQL_FRAME_RANGE; }
frame_unit(U) ::= ROWS. { U = SQL_FRAME_ROWS; }
frame_unit(U) ::= GROUPS. { U = SQL_FRAME_GROUPS; }
%type bound_start {Bound}
bound_start(B) ::= bound(B).
bound_start(B) ::= UNBOUNDED PRECEDING. { B = (Bound){SQL_BOUND_UNBOUNDED_PRECEDING, NULL}; }
%type bound_end {Bound}
bound_end(B) ::= bound(B).
bound_end(B) ::= UNBOUNDED FOLLOWING. { B = (Bound){SQL_BOUND_UNBOUNDED_FOLLOWING, NULL}; }
%type bound {Bound}
bound(B) ::= expr(E) PRECEDING. { B = (Bound){SQL_BOUND_PRECEDING, E.e}; }
bound(B) ::= expr(E) FOLLOWING. { B = (Bound){SQL_BOUND_FOLLOWING, E.e}; }
bound(B) ::= CURRENT ROW. { B = (Bound){SQL_BOUND_CURRENT, NULL}; }
%type exclude {SqlFrameExclude}
exclude(X) ::= . { X = SQL_EXCLUDE_NONE; }
exclude(X) ::= EXCLUDE NO OTHERS. { X = SQL_EXCLUDE_NO_OTHERS; }
exclude(X) ::= EXCLUDE CURRENT ROW. { X = SQL_EXCLUDE_CURRENT; }
exclude(X) ::= EXCLUDE GROUP. { X = SQL_EXCLUDE_GROUP; }
exclude(X) ::= EXCLUDE TIES. { X = SQL_EXCLUDE_TIES; }

/* ---- INSERT, UPDATE, DELETE */

%type with_opt {SqlWith *}
with_opt(W) ::= . { W = NULL; }
with_opt(W) ::= with_clause(X). { W = X.with; }

%type target {SqlSource *}
target(T) ::= qualified(N). { T = build_target(parse, N, NONE); }
target(T) ::= qualified(N) AS nm(A). { T = build_target(parse, N, A); }

%type insert_word {InsertWord}
insert_word(X) ::= INSERT or_opt(C). { X = (InsertWord){C, false}; }
insert_word(X) ::= REPLACE. { X = (InsertWord){SQL_CONFLICT_REPLACE, true}; }
%type or_opt {SqlConflict}
or_opt(C) ::= . { C = SQL_CONFLICT_NONE; }
or_opt(C) ::= OR resolve(X). { C = X; }
%type resolve {SqlConflict}
resolve(C) ::= ROLLBACK. { C = SQL_CONFLICT_ROLLBACK; }
resolve(C) ::= ABORT. { C = SQL_CONFLICT_ABORT; }
resolve(C) ::= FAIL. { C = SQL_CONFLICT_FAIL; }
resolve(C) ::= IGNORE. { C = SQL_CONFLICT_IGNORE; }
resolve(C) ::= REPLACE. { C = SQL_CONFLICT_REPLACE; }

statement(S) ::= with_opt(W) insert_word(X) INTO target(T) names_opt(L) select(A) upserts(U). {
  S = build_insert(parse, W, X.conflict, X.replace_word, T, L);
  build_insert_rows(parse, S, A, U);
}
statement(S) ::= with_opt(W) insert_word(X) INTO target(T) names_opt(L) DEFAULT VALUES
                 returning(R). {
  S = build_insert(parse, W, X.conflict, X.replace_word, T, L);
  build_insert_rows(parse, S, (Arms){0}, (UpsertTail){{0}, R});
}
statement(S) ::= with_opt(W) UPDATE or_opt(C) target(T) indexed_opt(I) SET sets(L) from(F)
                 tail(X) order_opt(O) limit_opt(Y). {
  build_target_index(parse, T, I);
  S = build_update(parse, W, C, T, L, F.first, X, O, Y);
}
statement(S) ::= with_opt(W) DELETE FROM target(T) indexed_opt(I) tail(X) order_opt(O)
                 limit_opt(Y). {
  build_target_index(parse, T, I);
  S = build_delete(parse, W, T, X, O, Y);
}

%type tail {Tail}
tail(X) ::= where_opt(W) returning(R). { X = (Tail){W, R}; }
%type returning {Results}
returning(R) ::= . { R = (Results){0}; }
returning(R) ::= RETURNING results(X). { R = X; }

%type sets {Sets}
sets(L) ::= set(X). { L = build_set(parse, (Sets){0}, X.names, X.row, X.value); }
sets(L) ::= sets(L0) COMMA set(X). { L = build_set(parse, L0, X.names, X.row, X.value); }
%type set {SetParts}
set(X) ::= nm(N) EQ expr(E). { X = (SetParts){build_names(parse, (Names){0}, N), false, E.e}; }
set(X) ::= LP names(L) RP EQ expr(E). { X = (SetParts){L, true, E.e}; }

%type upserts {UpsertTail}
upserts(U) ::= returning(R). { U = (UpsertTail){{0}, R}; }
upserts(U) ::= ON CONFLICT LP orders(T) RP where_opt(W) DO UPDATE SET sets(L) where_opt(X)
               upserts(N). {
  U = (UpsertTail){build_upsert(parse, N.list, T, W, true, L, X), N.returning};
}
upserts(U) ::= ON CONFLICT LP orders(T) RP where_opt(W) DO NOTHING upserts(N). {
  U = (UpsertTail){build_upsert(parse, N.list, T, W, false, (Sets){0}, NULL), N.returning};
}
upserts(U) ::= ON CONFLICT DO NOTHING returning(R). {
  U = (UpsertTail){build_upsert(parse, (Upserts){0}, (Orders){0}, NULL, false, (Sets){0}, NULL), R};
}
upserts(U) ::= ON CONFLICT DO UPDATE SET sets(L) where_opt(X) returning(R). {
  U = (UpsertTail){build_upsert(parse, (Upserts){0}, (Orders){0}, NULL, true, L, X), R};
}

/* ---- CREATE TABLE */

%type temp {int}
temp(T) ::= . { T = 0; }
temp(T) ::= TEMP. { T = 1; }
%type if_not_exists {int}
if_not_exists(X) ::= . { X = 0; }
if_not_exists(X) ::= IF NOT EXISTS. { X = 1; }

%type create_table {SqlStatement *}
create_table(S) ::= CREATE temp(T) TABLE if_not_exists(X) qualified(N). {
  S = build_create(parse, SQL_STATEMENT_CREATE_TABLE, T, X, N);
}
statement(S) ::= create_table(C) AS select(A). {
  S = C;
  if (S) S->create->select = A.first;
}
statement(S) ::= create_table(C) LP columns(L) table_constraints_opt(K) RP table_options(O). {
  S = C;
  if (S) {
    S->create->columns = L.items;
    S->create->ncolumns = L.count;
    S->create->constraints = K.items;
    S->create->nconstraints = K.count;
    S->create->without_rowid = O & 1;
    S->create->strict = O & 2;
  }
}

%type table_options {int}
%type table_option {int}
table_options(O) ::= . { O = 0; }
table_options(O) ::= table_option(O).
table_options(O) ::= table_options(A) COMMA table_option(B). { O = A | B; }
table_option(O) ::= WITHOUT(W) nm(N). { O = build_table_option(parse, W, N); }
table_option(O) ::= nm(N). { O = build_table_option(parse, NONE, N); }

%type columns {Columns}
columns(L) ::= nm(N) type_opt(T) constraints(K). {
  L = build_column_def(parse, (Columns){0}, N, T, K);
}
columns(L) ::= columns(L0) COMMA nm(N) type_opt(T) constraints(K). {
  L = build_column_def(parse, L0, N, T, K);
}

%type constraints {Constraints}
constraints(L) ::= . { L = (Constraints){0}; }
constraints(L) ::= constraints(L0) constraint(C). { L = build_constraint(parse, L0, C); }

%type constraint {SqlConstraint *}
constraint(C) ::= CONSTRAINT(F) nm(N). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_NAME, F);
  if (C) C->name = build_name(parse, N);
}
constraint(C) ::= DEFAULT(F) mark(A) term(E). {
  C = build_default(parse, F, false, E, A, E.at.at + E.at.length);
}
constraint(C) ::= DEFAULT(F) LP(A) expr(E) RP(Z). {
  C = build_default(parse, F, true, E, A.at + 1, Z.at);
}
constraint(C) ::= DEFAULT(F) PLUS(A) term(E). {
  C = build_default(parse, F, false, build_unary(parse, SQL_OP_POS, A, E), A.at,
                    E.at.at + E.at.length);
}
constraint(C) ::= DEFAULT(F) MINUS(A) term(E). {
  C = build_default(parse, F, false, build_unary(parse, SQL_OP_NEG, A, E), A.at,
                    E.at.at + E.at.length);
}
constraint(C) ::= DEFAULT(F) id(X). {
  C = build_default(parse, F, false, build_literal(parse, SQL_EXPR_STRING, X), X.at,
                    X.at + X.length);
}
constraint(C) ::= NULL(F) on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_NULL, F);
  if (C) C->conflict = K;
}
constraint(C) ::= NOT(F) NULL on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_NOT_NULL, F);
  if (C) C->conflict = K;
}
constraint(C) ::= PRIMARY(F) KEY sort(S) on_conflict(K) autoincrement(A). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_PRIMARY, F);
  if (C) {
    C->conflict = K;
    C->sort_given = S != 0;
    C->descending = S == SQL_TK_DESC;
    C->autoincrement = A;
  }
}
constraint(C) ::= UNIQUE(F) on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_UNIQUE, F);
  if (C) C->conflict = K;
}
constraint(C) ::= CHECK(F) LP expr(E) RP. {
  C = build_new_constraint(parse, SQL_CONSTRAINT_CHECK, F);
  if (C) C->expr = E.e;
}
constraint(C) ::= REFERENCES(F) nm(P) plain_names_opt(L) foreign_tail(T). {
  C = build_foreign(parse, F, (Names){0}, P, L, T, (Defer){0});
}
constraint(C) ::= defer(D). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_DEFER, D.at);
  build_defer(C, D);
}
constraint(C) ::= COLLATE(F) ids(N). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_COLLATE, F);
  if (C) C->text = build_name(parse, N);
}
constraint(C) ::= GENERATED(F) ALWAYS AS LP expr(E) RP generated_kind(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_GENERATED, F);
  if (C) {
    C->expr = E.e;
    C->text = build_name(parse, K);
  }
}
constraint(C) ::= AS(F) LP expr(E) RP generated_kind(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_GENERATED, F);
  if (C) {
    C->expr = E.e;
    C->as_only = true;
    C->text = build_name(parse, K);
  }
}
generated_kind(K) ::= . { K = NONE; }
generated_kind(K) ::= ID(K).

%type autoincrement {int}
autoincrement(A) ::= . { A = 0; }
autoincrement(A) ::= AUTOINCR. { A = 1; }

%type on_conflict {SqlConflict}
on_conflict(C) ::= . { C = SQL_CONFLICT_NONE; }
on_conflict(C) ::= ON CONFLICT resolve(X). { C = X; }

%type foreign_tail {ForeignTail}
foreign_tail(T) ::= . { T = (ForeignTail){0}; }
foreign_tail(T) ::= foreign_tail(T) MATCH nm.
foreign_tail(T) ::= foreign_tail(T) ON INSERT action.
foreign_tail(T) ::= foreign_tail(X) ON DELETE action(A). { T = X; T.on_delete = A; }
foreign_tail(T) ::= foreign_tail(X) ON UPDATE action(A). { T = X; T.on_update = A; }
%type action {SqlAction}
action(A) ::= SET NULL. { A = SQL_ACTION_SET_NULL; }
action(A) ::= SET DEFAULT. { A = SQL_ACTION_SET_DEFAULT; }
action(A) ::= CASCADE. { A = SQL_ACTION_CASCADE; }
action(A) ::= RESTRICT. { A = SQL_ACTION_RESTRICT; }
action(A) ::= NO ACTION. { A = SQL_ACTION_NO_ACTION; }

%type defer {Defer}
defer(D) ::= NOT(F) DEFERRABLE initially(X). { D = X; D.not_deferrable = true; D.at = F; }
defer(D) ::= DEFERRABLE(F) initially(X). { D = X; D.deferrable = true; D.at = F; }
%type initially {Defer}
initially(D) ::= . { D = (Defer){0}; }
initially(D) ::= INITIALLY DEFERRED. { D = (Defer){.deferred = true}; }
initially(D) ::= INITIALLY IMMEDIATE. { D = (Defer){.immediate = true}; }
%type defer_opt {Defer}
defer_opt(D) ::= . { D = (Defer){0}; }
defer_opt(D) ::= defer(D).

%type table_constraints_opt {Constraints}
table_constraints_opt(L) ::= . { L = (Constraints){0}; }
table_constraints_opt(L) ::= COMMA table_constraints(X). { L = X; }
%type table_constraints {Constraints}
table_constraints(L) ::= table_constraint(C). { L = build_constraint(parse, (Constraints){0}, C); }
table_constraints(L) ::= table_constraints(L0) comma_opt table_constraint(C). {
  L = build_constraint(parse, L0, C);
}
comma_opt ::= .
comma_opt ::= COMMA.

%type table_constraint {SqlConstraint *}
table_constraint(C) ::= CONSTRAINT(F) nm(N). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_NAME, F);
  if (C) C->name = build_name(parse, N);
}
table_constraint(C) ::= PRIMARY(F) KEY LP orders(L) autoincrement(A) RP on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_PRIMARY, F);
  if (C) {
    C->columns = L.items;
    C->ncolumns = L.count;
    C->autoincrement = A;
    C->conflict = K;
  }
}
table_constraint(C) ::= UNIQUE(F) LP orders(L) RP on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_UNIQUE, F);
  if (C) {
    C->columns = L.items;
    C->ncolumns = L.count;
    C->conflict = K;
  }
}
table_constraint(C) ::= CHECK(F) LP expr(E) RP on_conflict(K). {
  C = build_new_constraint(parse, SQL_CONSTRAINT_CHECK, F);
  if (C) {
    C->expr = E.e;
    C->conflict = K;
  }
}
table_constraint(C) ::= FOREIGN(F) KEY LP plain_names(L) RP REFERENCES nm(P) plain_names_opt(M)
                        foreign_tail(T) defer_opt(D). {
  C = build_foreign(parse, F, L, P, M, T, D);
}

/* ---- CREATE VIEW, INDEX, TRIGGER, VIRTUAL TABLE */

statement(S) ::= CREATE temp(T) VIEW if_not_exists(X) qualified(N) plain_names_opt(L) AS select(A). {
  build_no_variables(parse, "parameters are not allowed in views");
  S = build_create(parse, SQL_STATEMENT_CREATE_VIEW, T, X, N);
  if (S) {
    S->create->names = L.items;
    S->create->nnames = L.count;
    S->create->select = A.first;
  }
}

%type unique {int}
unique(U) ::= . { U = 0; }
unique(U) ::= UNIQUE. { U = 1; }
statement(S) ::= CREATE unique(U) INDEX if_not_exists(X) qualified(N) ON nm(T) LP orders(L) RP
                 where_opt(W). {
  S = build_create(parse, SQL_STATEMENT_CREATE_INDEX, false, X, N);
  if (S) {
    S->create->unique = U;
    S->create->table = build_name(parse, T);
    S->create->terms = L.items;
    S->create->nterms = L.count;
    S->create->where = W;
  }
}

statement(S) ::= CREATE temp(T) TRIGGER if_not_exists(X) qualified(N) trigger_time(M)
                 trigger_event(V) ON qualified(B) for_each_row(R) when_opt(W) BEGIN steps(L) END. {
  build_no_variables(parse, "trigger cannot use variables");
  S = build_create(parse, SQL_STATEMENT_CREATE_TRIGGER, T, X, N);
  if (S) {
    S->create->time = M;
    S->create->event = V.kind;
    S->create->names = V.columns.items;
    S->create->nnames = V.columns.count;
    S->create->table_schema = build_name(parse, B.schema);
    S->create->table = build_name(parse, B.name);
    S->create->for_each_row = R;
    S->create->where = W;
    S->create->body = L.items;
    S->create->nbody = L.count;
  }
}
%type trigger_time {SqlTriggerTime}
trigger_time(M) ::= . { M = SQL_TRIGGER_UNSET; }
trigger_time(M) ::= BEFORE. { M = SQL_TRIGGER_BEFORE; }
trigger_time(M) ::= AFTER. { M = SQL_TRIGGER_AFTER; }
trigger_time(M) ::= INSTEAD OF. { M = SQL_TRIGGER_INSTEAD; }
%type trigger_event {TriggerEvent}
trigger_event(V) ::= DELETE. { V = (TriggerEvent){SQL_STATEMENT_DELETE, {0}}; }
trigger_event(V) ::= INSERT. { V = (TriggerEvent){SQL_STATEMENT_INSERT, {0}}; }
trigger_event(V) ::= UPDATE. { V = (TriggerEvent){SQL_STATEMENT_UPDATE, {0}}; }
trigger_event(V) ::= UPDATE OF names(L). { V = (TriggerEvent){SQL_STATEMENT_UPDATE, L}; }
%type for_each_row {int}
for_each_row(R) ::= . { R = 0; }
for_each_row(R) ::= FOR EACH ROW. { R = 1; }
%type when_opt {SqlExpr *}
when_opt(W) ::= . { W = NULL; }
when_opt(W) ::= WHEN expr(E). { W = E.e; }

%type steps {Statements}
steps(L) ::= step(S) SEMI. { L = build_body(parse, (Statements){0}, S); }
steps(L) ::= steps(L0) step(S) SEMI. { L = build_body(parse, L0, S); }
%type step {SqlStatement *}
step(S) ::= select(A). { S = build_select_statement(parse, A); }
step(S) ::= UPDATE or_opt(C) step_target(T) step_indexed SET sets(L) from(F) where_opt(W). {
  S = build_update(parse, NULL, C, T, L, F.first, (Tail){W, {0}}, (Orders){0}, (Limit){0});
}
step(S) ::= insert_word(X) INTO step_target(T) names_opt(L) select(A) upserts(U). {
  S = build_insert(parse, NULL, X.conflict, X.replace_word, T, L);
  build_insert_rows(parse, S, A, U);
}
step(S) ::= DELETE FROM step_target(T) step_indexed where_opt(W). {
  S = build_delete(parse, NULL, T, (Tail){W, {0}}, (Orders){0}, (Limit){0});
}
%type step_target {SqlSource *}
step_target(T) ::= nm(A). { T = build_target(parse, (Name){NONE, A}, NONE); }
step_target(T) ::= nm(A) DOT nm. {
  T = NULL;
  build_fail(parse, A.at, FAULT_INVALID,
             "qualified table names are not allowed on INSERT, UPDATE, and DELETE statements within "
             "triggers");
}
step_indexed ::= .
step_indexed ::= INDEXED(F) BY nm. {
  build_fail(parse, F.at, FAULT_INVALID,
             "the INDEXED BY clause is not allowed on UPDATE or DELETE statements within triggers");
}
step_indexed ::= NOT(F) INDEXED. {
  build_fail(parse, F.at, FAULT_INVALID,
             "the NOT INDEXED clause is not allowed on UPDATE or DELETE statements within triggers");
}

%type create_virtual {SqlStatement *}
create_virtual(S) ::= CREATE VIRTUAL TABLE if_not_exists(X) qualified(N) USING nm(M). {
  S = build_create(parse, SQL_STATEMENT_CREATE_VIRTUAL, false, X, N);
  if (S) S->create->module = build_name(parse, M);
}
statement(S) ::= create_virtual(S).
statement(S) ::= create_virtual(C) LP virtual_args(L) RP. {
  S = C;
  if (S) {
    S->create->args = L.items;
    S->create->nargs = L.count;
    S->create->has_args = true;
  }
}
%type virtual_args {Names}
virtual_args(L) ::= virtual_arg(A). { L = build_virtual_arg(parse, (Names){0}, A); }
virtual_args(L) ::= virtual_args(L0) COMMA virtual_arg(A). {
  L = build_virtual_arg(parse, L0, A);
}
virtual_arg(A) ::= . { A = NONE; }
virtual_arg(A) ::= virtual_arg(X) virtual_token(Y). { A = X.length ? build_span(X, Y) : Y; }
virtual_token(A) ::= ANY(A).
virtual_token(A) ::= LP(F) any_tokens RP(Z). { A = build_span(F, Z); }
any_tokens ::= .
any_tokens ::= any_tokens LP any_tokens RP.
any_tokens ::= any_tokens ANY.
