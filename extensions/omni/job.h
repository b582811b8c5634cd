/*
** What the program side of omni.so can do: for the command line, and for the host as its helper.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_JOB_H
#define TENFOLD_EXTENSIONS_OMNI_JOB_H

#include "replay/record.h"

typedef struct VerifySummary {
  uint64_t events, hashes;
  bool cut; /* the recorder had been stopped: up to there */
} VerifySummary;

/* Play all of it and compare everything. FAULT_CORRUPT: it diverges, at the event that is named. */
bool job_verify(const char *dir, Stop *stop, VerifySummary *out, Fault *fault);

#endif
