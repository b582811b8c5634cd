/*
** viz: pictures out of rows. Aggregates that return text: bars for the terminal, SVG for pages, a
** trace for trace viewers. No scripts in what they draw, and nothing but the rows decides it.
*/
#include "extensions/viz/viz.h"

static const VtArgument bar_arguments[] = {
    {"label", "TEXT", NULL, "name of the bar; cut after 40 characters"},
    {"value", "REAL", NULL, "its length; below zero it grows to the left"},
    {"width", "INTEGER", "40", "characters for the longest bar, 1 to 1000"},
    {0}};

static const VtArgument heat_arguments[] = {
    {"row", "TEXT", NULL, "row of the cell; rows stand in order of appearance"},
    {"col", "TEXT", NULL, "column of the cell; likewise"},
    {"value", "REAL", NULL, "colour of the cell; values of the same cell are added"},
    {0}};

static const VtArgument timeline_arguments[] = {
    {"start", "any", NULL, "a number, or ISO-8601 text like 2024-05-06 07:08"},
    {"end", "any", NULL, "the same; NULL is open and drawn to the edge"},
    {"lane", "TEXT", NULL, "line on which the span lies; lanes stand in order of appearance"},
    {"label", "TEXT", NULL, "text in the span; spans of one label have one colour"},
    {"unit", "TEXT", "none", "ns, us, ms or s: the axis counts from the first start"},
    {0}};

static const VtArgument flame_arguments[] = {
    {"stack", "TEXT", NULL, "frames from the root to the leaf, with ; between them"},
    {"weight", "REAL", "1", "samples, time or bytes of that stack"},
    {0}};

static const VtArgument trace_arguments[] = {
    {"start", "INTEGER", NULL, "ns"},
    {"end", "INTEGER", NULL, "ns; NULL is a span that is still open"},
    {"lane", "TEXT", NULL, "becomes a thread of the trace"},
    {"label", "TEXT", NULL, "name of the span"},
    {"args", "TEXT (JSON)", "{}", "an object from json_object() or json(), shown with the span"},
    {0}};

static const VtError bar_errors[] = {
    {"value must be a number, not 'x'", "text that is no number", "cast or filter it"},
    {"more than 10000 bars", "one bar per row", "aggregate first, or LIMIT"},
    {"width is x, it must be from 1 to 1000", "third argument", "a width of a terminal"},
    {0}};

static const VtError heat_errors[] = {
    {"value must be a number, not 'x'", "text that is no number", "cast or filter it"},
    {"more than 200000 cells", "too many pairs of row and col", "group them coarser"},
    {"x rows and y columns, the limit is 2000 each", "too many distinct labels",
     "group them coarser"},
    {0}};

static const VtError timeline_errors[] = {
    {"start is 'x', a date like 2024-05-06 07:08:09 is wanted",
     "the first start was text, so all times are dates", "one sort of times per picture"},
    {"\"x\" ends at b, before its start at a", "end < start", "swap or filter them"},
    {"unit 'x' is not one of ns, us, ms, s for times that are numbers", "fifth argument",
     "leave it out for dates and plain numbers"},
    {"n spans on m lanes, the limits are 50000 and 1000", "too many rows", "filter or group"},
    {0}};

static const VtError flame_errors[] = {
    {"weight of \"x\" is y, it must be from 0 to 1e100", "a negative weight", "filter it"},
    {"more than 1000 frames in a stack, or 1000000 in all", "too many rows", "cut the stacks"},
    {0}};

static const VtError trace_errors[] = {
    {"args must be JSON; write json_object(...) or json(...) here", "text without the JSON subtype",
     "json(column)"},
    {"\"x\" ends at b, its start is a", "end < start", "swap or filter them"},
    {0}};

static const VtFunction functions[] = {
    {.name = "viz_bar",
     .args = "label, value [, width]",
     .nargs = 2,
     .optional = 1,
     .flags = VT_PURE,
     .returns = "TEXT",
     .doc = "Bars made of text, one line per row, in the order of the rows.",
     .arguments = bar_arguments,
     .errors = bar_errors,
     .example = "SELECT viz_bar(column1, column2, 20)\n"
                "FROM (VALUES ('apples', 12), ('pears', 3.2), ('plums', 7.5));",
     .step = viz_bar_step,
     .final = viz_bar_final},
    {.name = "viz_flame",
     .args = "stack [, weight]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_PURE,
     .returns = "TEXT (SVG)",
     .doc = "Flame graph of folded stacks.",
     .arguments = flame_arguments,
     .errors = flame_errors,
     .example = "SELECT substr(viz_flame(column1, column2), 1, 63) AS svg\n"
                "FROM (VALUES ('main;read', 70), ('main;write;copy', 30));",
     .step = viz_flame_step,
     .final = viz_flame_final},
    {.name = "viz_heat",
     .args = "row, col, value",
     .nargs = 3,
     .flags = VT_PURE,
     .returns = "TEXT (SVG)",
     .doc = "Matrix of coloured cells with a legend.",
     .arguments = heat_arguments,
     .errors = heat_errors,
     .example = "SELECT substr(viz_heat(column1, column2, column3), 1, 63) AS svg\n"
                "FROM (VALUES ('node 1', 'cpu', 0.7), ('node 1', 'memory', 0.2));",
     .step = viz_heat_step,
     .final = viz_heat_final},
    {.name = "viz_timeline",
     .args = "start, end, lane, label [, unit]",
     .nargs = 4,
     .optional = 1,
     .flags = VT_PURE,
     .returns = "TEXT (SVG)",
     .doc = "Spans on lanes over time.",
     .arguments = timeline_arguments,
     .errors = timeline_errors,
     .example = "SELECT substr(viz_timeline(column1, column2, column3, column4), 1, 63) AS svg\n"
                "FROM (VALUES ('2024-05-06 08:00', '2024-05-06 16:00', 'Ann', 'early'));",
     .step = viz_timeline_step,
     .final = viz_timeline_final},
    {.name = "viz_trace",
     .args = "start, end, lane, label [, args]",
     .nargs = 4,
     .optional = 1,
     .flags = VT_PURE | VT_JSON | SQLITE_SUBTYPE,
     .returns = "TEXT (JSON)",
     .doc = "Chrome trace format, for Perfetto, speedscope and chrome://tracing.",
     .arguments = trace_arguments,
     .errors = trace_errors,
     .example = "SELECT viz_trace(column1, column2, column3, column4)\n"
                "FROM (VALUES (0, 1500, 'worker', 'parse'), (1500, 4000, 'worker', 'run'));",
     .step = viz_trace_step,
     .final = viz_trace_final},
};

static const VtExtension viz = {
    .name = "viz",
    .version = VT_VERSION,
    .doc = "Pictures out of rows: text bars, heat maps, timelines, flame graphs, traces.",
    .guide =
        "Aggregates that draw the rows they are given. SVG output has no scripts, is valid XML\n"
        "whatever the labels contain, and shows details when the mouse rests on a shape. Rows\n"
        "with a NULL are left out; no rows give NULL. In the shell, write a picture to a file\n"
        "with `SELECT writefile('heat.svg', viz_heat(...)) ...`.",
    .functions = functions,
    .nfunctions = (int)countof(functions),
};

VT_EXPORT int sqlite3_viz_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &viz);
}
