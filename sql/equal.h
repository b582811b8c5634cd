/*
** Comparing trees and names. sql_expr_equal is in sql.h; these are its companions.
*/
#ifndef TENFOLD_SQL_EQUAL_H
#define TENFOLD_SQL_EQUAL_H

#include "sql/sql.h"

/* As SQLite compares names: ASCII letters without case. NULL equals only NULL. */
bool sql_same_name(const char *a, const char *b);

/* As sql_expr_equal: positions and how names were quoted do not count; all arms are compared. */
bool sql_select_equal(const SqlSelect *a, const SqlSelect *b);

#endif
