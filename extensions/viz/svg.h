/*
** Drawing: a few SVG shapes on a growing text, colours, and round numbers for axes.
**
** All output is script-free, valid XML 1.0 whatever the input bytes are, and does not depend on the
** process's locale (no printf of reals). Coordinates are pixels, rounded to hundredths.
*/
#ifndef TENFOLD_VIZ_SVG_H
#define TENFOLD_VIZ_SVG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* `bytes` with & < > " replaced; what XML forbids becomes U+FFFD. At most `limit` characters, the
** last one an ellipsis when cut (0: no limit). */
void svg_escape(Text *out, const char *bytes, size_t length, size_t limit);

/* A coordinate: "12", "12.5", "-0.25". */
void svg_coord(Text *out, double x);

/* A value as people read it: up to six significant digits, no exponent below 1e15. */
void svg_number(Text *out, double value);

/* Characters (code points; broken bytes count one each). */
size_t svg_length(const char *bytes, size_t length);

/* A picture of that size on white with sans-serif text; `title` names it for screen readers. */
void svg_begin(Text *out, double width, double height, const char *title);
void svg_end(Text *out);

/* The opening tag of a box, without its end: add svg_tip() or "/>". */
void svg_box(Text *out, double x, double y, double width, double height, unsigned colour);

/* ><title> ... </title></rect>: what a mouse over the box shows. Text between the two calls. */
void svg_tip_begin(Text *out);
void svg_tip_end(Text *out, const char *element);

typedef enum SvgAnchor { SVG_START, SVG_MIDDLE, SVG_END } SvgAnchor;

/* One line of text at a baseline, cut to `limit` characters (0: whole). */
void svg_label(Text *out, double x, double y, SvgAnchor anchor, unsigned colour, const char *bytes,
               size_t length, size_t limit);
void svg_line(Text *out, double x1, double y1, double x2, double y2, unsigned colour);

/* Average width of a character of the 11 px font, on the safe side. */
#define SVG_CHAR 6.3

enum { SVG_INK = 0x24292f, SVG_PALE = 0x57606a, SVG_GRID = 0xd8dee4, SVG_EMPTY = 0xeff1f3 };

/* 0..1 from pale to dark; -1..1 from red over white to blue. Both are told apart with the common
** forms of colour blindness. */
unsigned svg_ramp(double share);
unsigned svg_diverge(double share);

/* A box filled with all of those colours, from left to right. */
void svg_scale(Text *out, double x, double y, double width, double height, bool diverging);

/* The i-th of many things: eight colours, then the same ones paler. */
unsigned svg_palette(size_t i);

/* A warm colour that depends on the name alone, for flame graphs. */
unsigned svg_warm(const char *bytes, size_t length);

/* Dark or white, whichever has more contrast with the colour. */
unsigned svg_ink_on(unsigned colour);

/* A round step (1, 2 or 5 times a power of ten) giving at most `most` steps over the span. */
double svg_step(double span, int most);

#endif
