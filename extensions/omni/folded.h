/*
** The columns of omni_folded, which host and helper have to agree on.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_FOLDED_H
#define TENFOLD_EXTENSIONS_OMNI_FOLDED_H

enum {
  FOLDED_SEQ,
  FOLDED_FUNC,
  FOLDED_MODULE,
  FOLDED_EV,
  FOLDED_TID,
  FOLDED_STACK,
  FOLDED_MOMENT,
  FOLDED_TRACE,
  FOLDED_NCOL
};

#endif
