/*
** What host and helper have to agree on about omni_probe.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PROBE_ASK_H
#define TENFOLD_EXTENSIONS_OMNI_PROBE_ASK_H

enum { PROBE_EXPRESSIONS = 32 };

/* What an expression shall be. */
typedef enum ProbeWant {
  PROBE_ANY,
  PROBE_TEXT,   /* of a pointer: what it points to, as characters */
  PROBE_INTEGER /* of an enumerator: its number */
} ProbeWant;

#endif
