/*
** Included before everything else of the code for traced programs: each name is found by its
** distance, for there is no loader and no table of addresses.
*/
#pragma GCC visibility push(hidden)
