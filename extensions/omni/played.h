/*
** The recording that the helper is asked about: opened once, and where it is being played.
**
** Questions about moments that come one after the other are answered by one player that goes on;
** for one about an earlier moment it goes back to a state that it kept on its way.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PLAYED_H
#define TENFOLD_EXTENSIONS_OMNI_PLAYED_H

#include "extensions/omni/code.h"
#include "replay/play.h"
#include "replay/stack.h"

/* All zero: nothing is open. */
typedef struct Played {
  char *dir;
  Recording *recording;
  CodeFiles code;
  bool has_code;
  Player *player;
  bool somewhere; /* the player has been sent somewhere: */
  Moment at;
  Stacks *stacks;
  StackMemory memory;
} Played;

bool played_open(Played *played, const char *dir, Fault *fault);
/* What is known of its files. */
bool played_code(Played *played, Fault *fault);
/* Stands at the moment; one of tid 0 is where the event's thread stands after it (tid becomes
** that). FAULT_NOTFOUND: there is no such moment. */
bool played_goto(Played *played, Stop *stop, Moment *moment, PlayView *out, Fault *fault);
/* Stands after the event, in a state that is kept, where nothing is probed. */
bool played_after(Played *played, Stop *stop, uint64_t ev, Fault *fault);
/* Ends the player, if any: before another one plays. */
void played_stop(Played *played);
void played_close(Played *played);

/* As many of the bytes as there are: how many. */
size_t played_read(Played *played, const PlayView *view, uint64_t addr, uint8_t *out, size_t size);

/* played->stacks know what is mapped there. */
bool played_maps(Played *played, const PlayView *view, Fault *fault);
/* The stack of the thread: frames out to `most`, innermost first, malloc'ed. */
typedef struct PlayedFrames {
  Frame *list;
  size_t count, capacity;
} PlayedFrames;
bool played_frames(Played *played, const PlayView *view, size_t most, PlayedFrames *out,
                   Fault *fault);

#endif
