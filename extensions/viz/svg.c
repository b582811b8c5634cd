/*
** Drawing: see svg.h.
*/
#include "extensions/viz/svg.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/array.h"

/* ---- text ------------------------------------------------------------------------------- */

/* Bytes of the character at `s` that XML accepts, 0 when there is none. */
static size_t character(const unsigned char *s, size_t left) {
  static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
  if (n == 0 || n > left || s[0] > 0xF4) return 0;
  unsigned code = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
    code = code << 6 | (s[i] & 0x3Fu);
  }
  bool bad = code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) ||
             code == 0xFFFE || code == 0xFFFF || code == 0x7F;
  if (code < 0x20 && code != '\t' && code != '\n' && code != '\r') bad = true;
  return bad ? 0 : n;
}

size_t svg_length(const char *bytes, size_t length) {
  size_t count = 0;
  for (size_t i = 0; i < length; count++) {
    size_t n = character((const unsigned char *)bytes + i, length - i);
    i += n ? n : 1;
  }
  return count;
}

static void add_character(Text *out, const char *at, size_t n) {
  switch (n ? *at : 0) {
  case 0:
    text_add(out, "\xEF\xBF\xBD");
    break;
  case '&':
    text_add(out, "&amp;");
    break;
  case '<':
    text_add(out, "&lt;");
    break;
  case '>':
    text_add(out, "&gt;");
    break;
  case '"':
    text_add(out, "&quot;");
    break;
  case '\t':
  case '\n':
  case '\r':
    text_addc(out, ' ');
    break;
  default:
    text_addn(out, at, n);
  }
}

void svg_escape(Text *out, const char *bytes, size_t length, size_t limit) {
  bool cut = limit > 0 && svg_length(bytes, length) > limit;
  size_t left = cut ? limit - 1 : length;
  for (size_t i = 0; i < length && left > 0; left--) {
    size_t n = character((const unsigned char *)bytes + i, length - i);
    add_character(out, bytes + i, n);
    i += n ? n : 1;
  }
  if (cut) text_add(out, "\xE2\x80\xA6");
}

/* value * 10^decimals as an integer, written with a point and without trailing zeros. */
static void add_fixed(Text *out, double value, int decimals) {
  double scaled = value;
  for (int i = 0; i < decimals; i++) scaled *= 10;
  long long whole = llround(scaled);
  while (decimals > 0 && whole % 10 == 0) whole /= 10, decimals--;
  char digits[32];
  int n = 0;
  unsigned long long rest = whole < 0 ? 0 - (unsigned long long)whole : (unsigned long long)whole;
  do {
    digits[n++] = (char)('0' + rest % 10);
    rest /= 10;
    if (n == decimals) digits[n++] = '.';
  } while (rest > 0 || n <= decimals);
  if (digits[n - 1] == '.') digits[n++] = '0';
  if (whole < 0) digits[n++] = '-';
  while (n > 0) text_addc(out, digits[--n]);
}

void svg_coord(Text *out, double x) { add_fixed(out, x, 2); }

void svg_number(Text *out, double value) {
  double size = fabs(value);
  if (size >= 1e15 || (size > 0 && size < 1e-6)) {
    int power = (int)floor(log10(size));
    add_fixed(out, value / pow(10, power), 3);
    text_addf(out, "e%d", power);
    return;
  }
  int decimals = 0;
  for (double bound = 1e5; decimals < 11 && size < bound; bound /= 10) decimals++;
  add_fixed(out, value, decimals);
}

/* ---- shapes ----------------------------------------------------------------------------- */

static void attribute(Text *out, const char *name, double value) {
  text_addf(out, " %s=\"", name);
  svg_coord(out, value);
  text_addc(out, '"');
}

void svg_begin(Text *out, double width, double height, const char *title) {
  text_add(out, "<svg xmlns=\"http://www.w3.org/2000/svg\"");
  attribute(out, "width", width);
  attribute(out, "height", height);
  text_add(out, " viewBox=\"0 0 ");
  svg_coord(out, width);
  text_addc(out, ' ');
  svg_coord(out, height);
  text_add(out, "\" role=\"img\" font-family=\"system-ui,'Segoe UI',Helvetica,Arial,sans-serif\" "
                "font-size=\"11\">\n<title>");
  svg_escape(out, title, strlen(title), 0);
  text_add(out, "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
}

void svg_end(Text *out) { text_add(out, "</svg>\n"); }

void svg_box(Text *out, double x, double y, double width, double height, unsigned colour) {
  text_add(out, "<rect");
  attribute(out, "x", x);
  attribute(out, "y", y);
  attribute(out, "width", width);
  attribute(out, "height", height);
  text_addf(out, " fill=\"#%06x\"", colour);
}

void svg_tip_begin(Text *out) { text_add(out, "><title>"); }

void svg_tip_end(Text *out, const char *element) { text_addf(out, "</title></%s>\n", element); }

void svg_label(Text *out, double x, double y, SvgAnchor anchor, unsigned colour, const char *bytes,
               size_t length, size_t limit) {
  text_add(out, "<text");
  attribute(out, "x", x);
  attribute(out, "y", y);
  if (anchor == SVG_MIDDLE) text_add(out, " text-anchor=\"middle\"");
  if (anchor == SVG_END) text_add(out, " text-anchor=\"end\"");
  text_addf(out, " fill=\"#%06x\" pointer-events=\"none\">", colour);
  svg_escape(out, bytes, length, limit);
  text_add(out, "</text>\n");
}

void svg_line(Text *out, double x1, double y1, double x2, double y2, unsigned colour) {
  text_add(out, "<line");
  attribute(out, "x1", x1);
  attribute(out, "y1", y1);
  attribute(out, "x2", x2);
  attribute(out, "y2", y2);
  text_addf(out, " stroke=\"#%06x\"/>\n", colour);
}

/* ---- colours ---------------------------------------------------------------------------- */

static unsigned blend(unsigned a, unsigned b, double share) {
  unsigned colour = 0;
  for (int shift = 16; shift >= 0; shift -= 8) {
    double from = (a >> shift) & 0xFF, to = (b >> shift) & 0xFF;
    colour |= (unsigned)lround(from + (to - from) * share) << shift;
  }
  return colour;
}

static unsigned along(const unsigned *stops, int count, double share) {
  if (!(share > 0)) return stops[0];
  if (share >= 1) return stops[count - 1];
  double place = share * (count - 1);
  int i = (int)place;
  return blend(stops[i], stops[i + 1], place - i);
}

enum { STOPS = 5 };
static const unsigned ramp[STOPS] = {0xf7fcdc, 0xc7e9b4, 0x5fc1c0, 0x2c7fb8, 0x1f3d8c};
static const unsigned divergence[STOPS] = {0xb2182b, 0xf4a582, 0xf7f7f7, 0x92c5de, 0x2166ac};

unsigned svg_ramp(double share) { return along(ramp, STOPS, share); }

unsigned svg_diverge(double share) { return along(divergence, STOPS, (share + 1) / 2); }

/* Pictures in one page share identifiers, so the same name has to mean the same colours. */
void svg_scale(Text *out, double x, double y, double width, double height, bool diverging) {
  const char *name = diverging ? "viz-diverge" : "viz-ramp";
  text_addf(out, "<linearGradient id=\"%s\">", name);
  for (int i = 0; i < STOPS; i++) {
    text_addf(out, "<stop offset=\"%d%%\" stop-color=\"#%06x\"/>", i * 100 / (STOPS - 1),
              diverging ? divergence[i] : ramp[i]);
  }
  text_add(out, "</linearGradient>\n<rect");
  attribute(out, "x", x);
  attribute(out, "y", y);
  attribute(out, "width", width);
  attribute(out, "height", height);
  text_addf(out, " fill=\"url(#%s)\"/>\n", name);
}

unsigned svg_palette(size_t i) {
  static const unsigned colours[] = {0x4477aa, 0xee8866, 0x44bb99, 0xcc6677,
                                     0xddcc77, 0x88ccee, 0xaa4499, 0x999933};
  size_t round = i / countof(colours);
  return blend(colours[i % countof(colours)], 0xffffff, 0.35 * (double)(round % 3) / 1.5);
}

unsigned svg_warm(const char *bytes, size_t length) {
  uint64_t hash = hash_bytes(bytes, length, 0);
  double a = (double)(hash & 0xFFFF) / 0xFFFF, b = (double)(hash >> 16 & 0xFFFF) / 0xFFFF;
  return blend(blend(0xf2b44b, 0xe0653a, a), 0xf6d98a, b * 0.45);
}

/* Relative luminance, as the Web Content Accessibility Guidelines define it. */
static double luminance(unsigned colour) {
  static const double weights[] = {0.0722, 0.7152, 0.2126};
  double sum = 0;
  for (int i = 0; i < 3; i++) {
    double c = (double)(colour >> 8 * i & 0xFF) / 255;
    sum += weights[i] * (c <= 0.03928 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
  }
  return sum;
}

unsigned svg_ink_on(unsigned colour) {
  double light = luminance(colour) + 0.05;
  return light / (luminance(SVG_INK) + 0.05) >= 1.05 / light ? SVG_INK : 0xffffff;
}

double svg_step(double span, int most) {
  if (!(span > 0) || most < 1) return 1;
  double power = pow(10, floor(log10(span / most)));
  static const double factors[] = {1, 2, 5, 10};
  for (size_t i = 0; i < countof(factors); i++) {
    if (span / (power * factors[i]) <= most) return power * factors[i];
  }
  return power * 20;
}
