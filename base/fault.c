/*
** Faults: see fault.h.
*/
#include "base/fault.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Messages quote what was wrong, which may be any bytes, and may be cut in the middle of a
** sequence. Hosts expect UTF-8: what is none becomes '?', a sequence that was cut goes. */
static void mend_utf8(char *text, bool cut) {
  for (size_t i = 0, length = strlen(text); i < length;) {
    size_t n = text_utf8_length(text + i, length - i);
    bool tail = cut && n == 0 && (unsigned char)text[i] >= 0xC2 && length - i < 4;
    for (size_t k = i + 1; tail && k < length; k++) {
      tail = ((unsigned char)text[k] & 0xC0) == 0x80;
    }
    if (n == 0) text[i] = tail ? '\0' : '?';
    if (tail) return;
    i += n ? n : 1;
  }
}

static void format_text(Fault *fault, const char *format, va_list args) {
  int wanted = vsnprintf(fault->text, sizeof fault->text, format, args);
  if (wanted < 0) fault->text[0] = '\0';
  mend_utf8(fault->text, wanted >= (int)sizeof fault->text);
}

bool fault_vset(Fault *fault, FaultCode code, const char *format, va_list args) {
  if (!fault || fault->code != FAULT_NONE) return false;
  fault->code = code;
  format_text(fault, format, args);
  return false;
}

bool fault_set(Fault *fault, FaultCode code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fault_vset(fault, code, format, args);
  va_end(args);
  return false;
}

bool fault_oom(Fault *fault) { return fault_set(fault, FAULT_NOMEM, "out of memory"); }

void fault_clear(Fault *fault) {
  if (!fault) return;
  fault->code = FAULT_NONE;
  fault->text[0] = '\0';
}

bool fault_prefix(Fault *fault, const char *format, ...) {
  if (!fault || fault->code == FAULT_NONE || fault->code == FAULT_NOMEM) return false;
  Fault whole = {.code = fault->code};
  va_list args;
  va_start(args, format);
  format_text(&whole, format, args);
  va_end(args);
  size_t used = strlen(whole.text);
  int wanted = snprintf(whole.text + used, sizeof whole.text - used, "%s", fault->text);
  mend_utf8(whole.text, wanted >= (int)(sizeof whole.text - used));
  *fault = whole;
  return false;
}
