/*
** The helper from inside: it takes questions from the socket that it was started with.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_SERVE_H
#define TENFOLD_EXTENSIONS_OMNI_SERVE_H

#include "base/stop.h"
#include "extensions/omni/wire.h"

/* One question at a time; `wire` holds it, and is used for what is sent. */
typedef struct Service {
  Wire wire;
  Stop stop; /* the host wants an answer now, or has gone */
} Service;

/* The command `helper`. */
int program_helper(int argc, char **argv);

/* Answers to a question: each sends WIRE_DONE, or fails. */
bool serve_record(Service *service, Fault *fault);
bool serve_verify(Service *service, Fault *fault);
bool serve_calls(Service *service, Fault *fault);

#endif
