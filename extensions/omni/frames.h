/*
** The frames of a thread at a moment as the sources of its variables' values (replay/value.h), for
** the helper.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_FRAMES_H
#define TENFOLD_EXTENSIONS_OMNI_FRAMES_H

#include <sys/user.h>

#include "extensions/omni/played.h"
#include "replay/expr.h"

typedef struct FrameSource {
  ValueSource source;
  struct FrameSources *all;
  const Frame *frame;
  size_t depth;
} FrameSource;

typedef struct FrameSources {
  Played *played;
  PlayView view;
  PlayedFrames frames;
  FrameSource *list; /* one of each frame, innermost first */
  size_t count;
  struct user_fpregs_struct vectors; /* of the innermost frame */
  bool has_vectors;
  ValueSource *others; /* of all modules in the process, for names of globals and types */
  size_t nothers;
  bool has_others;
} FrameSources;

/* Where the player stands, out to `most` frames. Finish it also after a failure; good until the
** player runs on. Reads the debug information of the modules of those frames. */
bool frames_open(Played *played, const PlayView *view, size_t most, FrameSources *out,
                 Fault *fault);
void frames_finish(FrameSources *sources);

/* Where names are looked up: in the frame (its function, its module), then everywhere. The first
** call reads the debug information of all modules. */
bool frames_scope(FrameSources *sources, size_t depth, ExprScope *out, Fault *fault);

#endif
