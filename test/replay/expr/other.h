/*
** See other.c.
*/
#ifndef TENFOLD_TEST_REPLAY_EXPR_OTHER_H
#define TENFOLD_TEST_REPLAY_EXPR_OTHER_H

int other_twin(void);

#endif
