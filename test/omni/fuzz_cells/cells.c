/* The extension is no library to link with. */
#include "extensions/omni/cells.c"
