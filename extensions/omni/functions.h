/*
** SQL functions of omni, as func.h wants them.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_FUNCTIONS_H
#define TENFOLD_EXTENSIONS_OMNI_FUNCTIONS_H

#include "vtab/vt.h"

void omni_record(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void omni_verify(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void omni_eval(sqlite3_context *ctx, int argc, sqlite3_value **argv);
/* answer_replay.c */
void omni_workers(sqlite3_context *ctx, int argc, sqlite3_value **argv);

#endif
