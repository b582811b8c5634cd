/*
** Answers about calls on disk, in the folder of the recording: DIR/answers.
**
** An answer is two files, NAME.rows (packed rows) and NAME.sites (what was asked, the functions,
** and digests of both files). They are written beside their names and renamed, so that readers see
** all or nothing; several connections may write the same. Whatever goes wrong in writing is no
** error.
**
** A file is an answer only when it is a plain file of this user, that nobody else may write, about
** this recording as it is now (id and state of its file of events) and exactly this question, with
** the right digests. Anything else is not there, and is replaced by the next answer.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_STORE_H
#define TENFOLD_EXTENSIONS_OMNI_STORE_H

#include "extensions/omni/answer.h"

/* Fills rows and sites of an empty answer whose question is set. False: it is not there. A fault is
** set when memory is refused. */
bool store_load(const OmniSource *source, const Ask *ask, CallsAnswer *answer, Fault *fault);
/* `fd` is the file of answer->rows. */
void store_save(const OmniSource *source, const CallsAnswer *answer, int fd);

#endif
