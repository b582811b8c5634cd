/* Likewise. */
#include "extensions/omni/wire.c"
