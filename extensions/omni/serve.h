/*
** The helper from inside: it takes questions from the socket that it was started with.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_SERVE_H
#define TENFOLD_EXTENSIONS_OMNI_SERVE_H

#include "base/stop.h"
#include "extensions/omni/cells.h"
#include "extensions/omni/played.h"
#include "extensions/omni/wire.h"
#include "replay/value.h"

/* One question at a time; `wire` holds it, and is used for what is sent. */
typedef struct Service {
  Wire wire;
  Stop stop; /* the host wants an answer now, or has gone */
  Played played;
  uint64_t processors[16]; /* a cpu_set_t: those that we were started with */
} Service;

/* The command `helper`. */
int program_helper(int argc, char **argv);

/* Answers to a question: each sends WIRE_DONE, or fails. */
bool serve_record(Service *service, Fault *fault);
bool serve_verify(Service *service, Fault *fault);
bool serve_calls(Service *service, Fault *fault);
/* These answer with cells, written to the file that came with the question. */
bool serve_functions(Service *service, CellWriter *out, Fault *fault);
bool serve_registers(Service *service, CellWriter *out, Fault *fault);
bool serve_memory(Service *service, CellWriter *out, Fault *fault);
bool serve_stack(Service *service, CellWriter *out, Fault *fault);
bool serve_variables(Service *service, CellWriter *out, Fault *fault);
bool serve_expressions(Service *service, CellWriter *out, Fault *fault);
bool serve_globals(Service *service, CellWriter *out, Fault *fault);
bool serve_types(Service *service, CellWriter *out, Fault *fault);
bool serve_parameters(Service *service, CellWriter *out, Fault *fault);
bool serve_lines(Service *service, CellWriter *out, Fault *fault);
bool serve_probe(Service *service, CellWriter *out, Fault *fault);

void serve_put_scalar(CellWriter *out, const Scalar *scalar);
bool serve_passes(Service *service, CellWriter *out, Fault *fault);
bool serve_instructions(Service *service, CellWriter *out, Fault *fault);
bool serve_folded(Service *service, CellWriter *out, Fault *fault);
bool serve_writes(Service *service, CellWriter *out, Fault *fault);

/* Cells of file and line of the source, as the debug information (code_dwarf()) has them for an
** address in the file; nulls without. */
void serve_put_line(CellWriter *out, const CodeFile *code, uint64_t addr);

/* Opens the recording that the question begins with, and stands at the moment that follows. */
bool serve_stand(Service *service, Moment *out_moment, PlayView *out, Fault *fault);
/* A moment as listing.h puts it. */
Moment serve_get_moment(Wire *wire);

/* Terms as listing.h puts them. The texts are valid as long as the message. */
enum { SERVE_TERMS = 32 };
typedef struct ServeTerms {
  int count;
  struct {
    int col;
    bool is_pattern;
    const char *text;
  } list[SERVE_TERMS];
} ServeTerms;
void serve_get_terms(Wire *wire, ServeTerms *out);
/* Does a text fit all terms on the column? */
bool serve_fits(const ServeTerms *terms, int col, const char *text);

#endif
