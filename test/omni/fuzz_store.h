/*
** What fuzz_store.c wants of the inside of store.c.
*/
#ifndef TENFOLD_TEST_OMNI_FUZZ_STORE_H
#define TENFOLD_TEST_OMNI_FUZZ_STORE_H

#include "extensions/omni/store.h"

/* The files of an answer, as an enemy who knows the format would write them: what stands behind the
** question is `sites`; the digests are right. `row_file` is complete but for its digest. */
bool fuzz_store_put(const OmniSource *source, const CallsAnswer *answer, uint32_t nsites,
                    const uint8_t *sites, size_t size, int row_file);

#endif
