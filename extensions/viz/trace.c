/*
** viz_trace(start, end, lane, label [, args]): the Chrome trace format, for chrome://tracing,
** Perfetto and speedscope.
**
**   SELECT viz_trace(start, end, thread, name) FROM spans
**
** Times in ns. Lanes become threads of one process. `args` is a JSON object shown with the span. An
** end of NULL is a span that is still open.
*/
#include "extensions/viz/viz.h"

#include <stdlib.h>
#include <string.h>

typedef struct Trace {
  Labels lanes;
  Text events; /* `,{...}` each */
} Trace;

/* The format counts microseconds; three decimals keep the nanoseconds. Formatted as integers, so
** that neither a locale nor a double's precision gets in. */
static void add_time(Text *out, const char *name, sqlite3_int64 ns) {
  unsigned long long size = ns < 0 ? 0 - (unsigned long long)ns : (unsigned long long)ns;
  text_addf(out, ",\"%s\":%s%llu.%03u", name, ns < 0 ? "-" : "", size / 1000,
            (unsigned)(size % 1000));
}

static bool read_time(sqlite3_context *ctx, sqlite3_value *value, const char *name,
                      sqlite3_int64 *out) {
  double number;
  if (!viz_number(ctx, value, name, &number)) return false;
  if (number < -9.2e18 || number > 9.2e18) {
    func_fail(ctx, SQLITE_ERROR, "%s is %.40s, not a time in ns", name,
              (const char *)sqlite3_value_text(value));
    return false;
  }
  *out = sqlite3_value_int64(value);
  return true;
}

/* Taken only with the JSON subtype, which SQLite's JSON functions set on what they have checked. */
static bool read_args(sqlite3_context *ctx, int argc, sqlite3_value **argv, Label *out) {
  *out = (Label){"{}", 2};
  if (argc < 5 || sqlite3_value_type(argv[4]) == SQLITE_NULL) return true;
  if (sqlite3_value_subtype(argv[4]) != 'J') {
    func_fail(ctx, SQLITE_ERROR, "args must be JSON; write json_object(...) or json(...) here");
    return false;
  }
  if (!viz_text(ctx, argv[4], "args", out)) return false;
  if (out->length >= 2 && out->text[0] == '{') return true;
  func_fail(ctx, SQLITE_ERROR, "args must be a JSON object, not %.40s", out->text);
  return false;
}

static void add_event(Trace *trace, sqlite3_int64 start, sqlite3_int64 end, bool open, int64_t lane,
                      const Label *label, const Label *args) {
  Text *out = &trace->events;
  text_add(out, ",\n{\"name\":");
  text_add_json(out, label->text, label->length);
  text_addf(out, ",\"ph\":\"%s\",\"pid\":1,\"tid\":%lld", open ? "B" : "X", (long long)lane + 1);
  add_time(out, "ts", start);
  if (!open) add_time(out, "dur", end - start);
  text_add(out, ",\"args\":");
  text_addn(out, args->text, args->length);
  text_addc(out, '}');
}

void viz_trace_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL || viz_any_null(2, argv + 2)) return;
  Trace *trace = sqlite3_aggregate_context(ctx, sizeof *trace);
  sqlite3_int64 start, end = 0;
  Label lane, label, args;
  bool open = sqlite3_value_type(argv[1]) == SQLITE_NULL;
  if (!trace) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (!read_time(ctx, argv[0], "start", &start)) return;
  if (!open && !read_time(ctx, argv[1], "end", &end)) return;
  if (!viz_text(ctx, argv[2], "lane", &lane) || !viz_text(ctx, argv[3], "label", &label)) return;
  if (!read_args(ctx, argc, argv, &args)) return;
  if (!open && (end < start || (start < 0 && end > INT64_MAX + start))) {
    func_fail(ctx, SQLITE_ERROR, "\"%.40s\" ends at %lld, its start is %lld", label.text,
              (long long)end, (long long)start);
    return;
  }
  int64_t thread = viz_label(&trace->lanes, lane.text, lane.length);
  if (thread >= 0) add_event(trace, start, end, open, thread, &label, &args);
  if (thread < 0 || trace->events.oom) sqlite3_result_error_nomem(ctx);
}

void viz_trace_final(sqlite3_context *ctx) {
  Trace *trace = sqlite3_aggregate_context(ctx, 0);
  if (!trace) return;
  Text out = {0};
  text_add(&out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
  for (size_t i = 0; i < trace->lanes.count; i++) {
    text_addf(
        &out,
        "%s\n{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":%zu,\"args\":{\"name\":",
        i > 0 ? "," : "", i + 1);
    text_add_json(&out, trace->lanes.at[i].text, trace->lanes.at[i].length);
    text_add(&out, "}}");
  }
  if (trace->events.data) text_addn(&out, trace->events.data, trace->events.length);
  text_add(&out, "\n]}");
  if (trace->lanes.count > 0) vt_result_text(ctx, &out, true);
  text_finish(&out);
  text_finish(&trace->events);
  viz_labels_finish(&trace->lanes);
}
