/*
** The reader that is compared with gdb.
*/
#ifndef TENFOLD_TEST_REPLAY_DWARF_READER_H
#define TENFOLD_TEST_REPLAY_DWARF_READER_H

/* Answers lines of stdin until there are no more. */
int reader_serve(void);

#endif
