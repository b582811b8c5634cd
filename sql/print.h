/*
** What the printing files share. Internal to sql/.
*/
#ifndef TENFOLD_SQL_PRINT_H
#define TENFOLD_SQL_PRINT_H

#include "sql/sql.h"

/* A name, "quoted" when it is no plain identifier or is a keyword. */
void print_name(Text *out, const char *name);
void print_qualified(Text *out, const char *schema, const char *name);
void print_names(Text *out, const char **names, int n); /* (a, b) */
void print_list(const SqlPrinter *printer, SqlExpr **list, int n);
void print_orders(const SqlPrinter *printer, const SqlOrder *order, int n);
void print_window(const SqlPrinter *printer, const SqlWindow *window); /* inside the parentheses */
void print_with(const SqlPrinter *printer, const SqlWith *with);
void print_results(const SqlPrinter *printer, const SqlResult *results, int n);
void print_limit(const SqlPrinter *printer, const SqlExpr *limit, const SqlExpr *offset,
                 bool offset_first);
void print_sources(const SqlPrinter *printer, const SqlSource *first);

#endif
