/*
** What a far memory holds, by name.
*/
#ifndef TENFOLD_REMOTE_NAMES_H
#define TENFOLD_REMOTE_NAMES_H

#include "remote/layout.h"

/* *out_found: there is one. A round. */
bool far_name_find(FarMemory *memory, const char *name, FarName *out, bool *out_found, Stop *stop,
                   Fault *fault);

/* Adds it, unless somebody else was first: then *name is his. */
bool far_name_add(FarMemory *memory, FarName *name, bool *out_added, Stop *stop, Fault *fault);

/* False with FAULT_NOTFOUND when there is none of this root any more. */
bool far_name_remove(FarMemory *memory, const char *name, FarPointer root, Stop *stop,
                     Fault *fault);

/* All of them, in any order: malloc'ed. */
bool far_name_list(FarMemory *memory, FarName **out, size_t *out_n, Stop *stop, Fault *fault);

#endif
