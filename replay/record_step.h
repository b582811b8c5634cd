/*
** One instruction after the other of a thread that is stopped in its own code.
**
** Whoever steps holds the thread's signals back: what then stops it is the instruction's doing, or
** nothing that can wait. Cost of a step: about 20 us.
*/
#ifndef TENFOLD_REPLAY_RECORD_STEP_H
#define TENFOLD_REPLAY_RECORD_STEP_H

#include <Zydis/Zydis.h>

#include "replay/record_inner.h"

typedef enum StepEnd {
  STEP_DONE,
  STEP_EVENT, /* the next instruction is an event by itself: a call, or one that traps */
  STEP_OTHER  /* it stopped for something else */
} StepEnd;

enum { STEP_WORDS = 24 };

typedef struct Stepper {
  RecordThread *thread;
  ZydisDecoder decoder;
  uint64_t words[STEP_WORDS]; /* addresses of words that were written on the way; the first ones */
  size_t nwords;
  ZydisDecodedInstruction found; /* at rip */
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  bool readable;
} Stepper;

bool stepper_init(Stepper *stepper, RecordThread *thread, Fault *fault);
bool stepper_is_event(const Stepper *stepper);
/* A string instruction that repeats itself: in the midst of it is no place. */
bool stepper_is_repeated(const Stepper *stepper);
/* Over the instruction at rip, with all its repetitions. */
bool stepper_step(Stepper *stepper, StepEnd *out, Fault *fault);

#endif
