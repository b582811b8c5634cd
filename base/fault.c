/*
** Faults: see fault.h.
*/
#include "base/fault.h"

#include <stdio.h>
#include <string.h>

/* A message cut in the middle of a UTF-8 sequence would make the host's error text invalid. */
static void trim_partial_utf8(char *text, size_t length) {
  size_t start = length;
  while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
  if (start == 0) return;
  unsigned char lead = (unsigned char)text[start - 1];
  size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (length - (start - 1) < need) text[start - 1] = '\0';
}

static void format_text(Fault *fault, const char *format, va_list args) {
  int wanted = vsnprintf(fault->text, sizeof fault->text, format, args);
  if (wanted < 0) fault->text[0] = '\0';
  if (wanted >= (int)sizeof fault->text) trim_partial_utf8(fault->text, sizeof fault->text - 1);
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
  if (wanted >= (int)(sizeof whole.text - used)) {
    trim_partial_utf8(whole.text, sizeof whole.text - 1);
  }
  *fault = whole;
  return false;
}
