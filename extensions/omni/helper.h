/*
** The helper, seen from the host: start one, ask, be answered, let it go.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_HELPER_H
#define TENFOLD_EXTENSIONS_OMNI_HELPER_H

#include "extensions/omni/keeper.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/wire.h"

typedef struct Helper {
  struct Helper *next; /* all of the connection, those that were let go included */
  Keeper keeper;
  VtConn *conn;
  bool busy; /* a question has no WIRE_DONE or WIRE_FAULT yet */
  Wire wire; /* the message in hand */
} Helper;

/* Starts a helper and hears its WIRE_HELLO. */
bool helper_start(VtConn *conn, VtPoll *poll, Helper **out, Fault *fault);
/* Sends the question in helper->wire; `fd` goes with it (-1: none). */
bool helper_ask(Helper *helper, int fd, Fault *fault);
/* The next message of the answer is in helper->wire when true. A WIRE_FAULT is false, with what it
** says; so are the user's wish to stop (FAULT_INTERRUPT, the helper told) and a helper that has
** gone. `wait` in ms, -1: as long as it takes; wire.kind is WIRE_NONE when nothing came meanwhile.
*/
bool helper_hear(Helper *helper, VtPoll *poll, int wait, Fault *fault);
/* Waits for WIRE_DONE, passing over WIRE_NEWS. */
bool helper_answer(Helper *helper, VtPoll *poll, Fault *fault);
/* Lets it end, whatever it does; NULL is allowed. Takes no time: what is left of it is waited for
** at the next start or when the connection closes. */
void helper_end(Helper *helper);
/* One question to the helper that stays with a recording, which keeps what it has opened and where
** it stands: `wire` is the question, then the answer's WIRE_DONE. The helper is started when there
** is none, and let go when it fails or another recording is asked about. */
bool helper_question(VtConn *conn, VtPoll *poll, const OmniSource *source, Wire *wire, int fd,
                     Fault *fault);
/* That helper, to talk to it oneself; let it go with helper_forget() when that fails. */
bool helper_staying(VtConn *conn, VtPoll *poll, const OmniSource *source, Helper **out,
                    Fault *fault);
void helper_forget(OmniState *state);

/* Waits for all that were let go. */
void helpers_finish(OmniState *state);

#endif
