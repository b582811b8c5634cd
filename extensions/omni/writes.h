/*
** The columns of omni_writes, which host and helper have to agree on.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_WRITES_H
#define TENFOLD_EXTENSIONS_OMNI_WRITES_H

enum {
  WRITE_SEQ,
  WRITE_EV,
  WRITE_PID,
  WRITE_TID,
  WRITE_ADDR,
  WRITE_SIZE,
  WRITE_OLD,
  WRITE_NEW,
  WRITE_BY,
  WRITE_FUNC,
  WRITE_FILE,
  WRITE_LINE,
  WRITE_PC,
  WRITE_MOMENT,
  WRITE_WHAT, /* the arguments */
  WRITE_LEN,
  WRITE_TRACE,
  WRITE_NCOL
};

#endif
