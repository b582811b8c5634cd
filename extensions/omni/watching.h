/*
** A replay with watched memory: armed as soon as what is watched is mapped, in every process.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_WATCHING_H
#define TENFOLD_EXTENSIONS_OMNI_WATCHING_H

#include "extensions/omni/globals.h"
#include "replay/play.h"

typedef struct Watching {
  Recording *recording;
  Player *player;
  Global what;
  uint64_t last; /* event */
  /* Called at each write, where the program stands behind it. */
  bool (*written)(void *ctx, const PlayWrite *write, Fault *fault);
  void *ctx;
} Watching;

/* Plays watching->player, which has just been opened, up to the event `last`. */
bool watching_run(Watching *watching, Fault *fault);

#endif
