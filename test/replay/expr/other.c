/*
** A file with a static variable that has a namesake in expr.c.
*/
#include "test/replay/expr/other.h"

static volatile int twin = 2;

int other_twin(void) { return twin; }
