/*
** What farmemd tells Prometheus: a file in its text format, for node_exporter's textfile collector.
*/
#ifndef TENFOLD_REMOTE_FARMEMD_METRICS_H
#define TENFOLD_REMOTE_FARMEMD_METRICS_H

#include "remote/server.h"

/* Writes the file anew, in one step: whoever reads it sees all of the old one or of the new one.
** `up`: false when the server ends. What is written is on no disk yet. */
bool metrics_write(const char *path, const FarServerStats *stats, bool up, Fault *fault);

#endif
