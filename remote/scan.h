/*
** The elements of a map in the order of their keys: some buckets in one round. Each bucket is as it
** was at one moment; buckets that are split meanwhile are read as what they became, so that every
** element that was there all the time comes once.
*/
#ifndef TENFOLD_REMOTE_SCAN_H
#define TENFOLD_REMOTE_SCAN_H

#include "remote/txn.h"

typedef struct FarScan FarScan;

/* `txn`: its changes are seen, too (NULL: none). Owner: the caller. */
FarScan *far_scan_begin(FarMap *map, Fault *fault);
void far_scan_end(FarScan *scan);

/* From the next far_scan_seek() on only the first `wanted` bytes of elements come (a multiple of 8,
** with stamp and key; 0: all). Those of a vector, and what the transaction changed, are whole. */
void far_scan_bring(FarScan *scan, uint32_t wanted);

/* Keys from `low` to `high`, both included; NULL: no bound. `expected`: how many elements are
** wanted first, UINT64_MAX: all. A round. */
bool far_scan_seek(FarScan *scan, const FarTxn *txn, const void *low, const void *high,
                   bool reverse, uint64_t expected, Stop *stop, Fault *fault);

/* The next element (stamp, key, value), or NULL at the end. Valid until the next call. *out_seen
** may be NULL. */
bool far_scan_next(FarScan *scan, const unsigned char **out, FarSeen *out_seen, Stop *stop,
                   Fault *fault);

#endif
