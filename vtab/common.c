/*
** The functions that every extension has: NAME_version() and NAME_debug().
*/
#include "vtab/inside.h"

#include "base/array.h"

#ifndef TENFOLD_COMMIT
#define TENFOLD_COMMIT "unknown"
#endif

static void version_scalar(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  sqlite3_result_text(ctx, vt_extension(vt_conn(ctx))->version, -1, SQLITE_STATIC);
}

/* What changes how the library behaves, as far as the preprocessor knows. */
static const char build_flags[] = "["
#if defined(SQLITE_CORE)
                                  "\"static\""
#else
                                  "\"loadable\""
#endif
#if defined(NDEBUG)
                                  ",\"no assertions\""
#endif
#if defined(__OPTIMIZE__)
                                  ",\"optimized\""
#endif
#if defined(__SANITIZE_ADDRESS__)
                                  ",\"address sanitizer\""
#endif
                                  "]";

static void debug_scalar(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  const VtExtension *extension = vt_extension(vt_conn(ctx));
  Text json = {0};
  text_addf(&json, "{\"name\":\"%s\",\"version\":\"%s\"", extension->name, extension->version);
  text_addf(&json, ",\"commit\":\"%s\",\"sqlite\":\"%s\",\"built_for\":\"%s\"", TENFOLD_COMMIT,
            sqlite3_libversion(), SQLITE_VERSION);
  text_add(&json, ",\"compiler\":");
  text_add_json(&json, __VERSION__, sizeof __VERSION__ - 1);
  text_addf(&json, ",\"flags\":%s,\"preupdate\":%s", build_flags,
            vt_has_preupdate() ? "true" : "false");
  if (extension->debug) extension->debug(&json);
  text_addc(&json, '}');
  vt_result_text(ctx, &json, true);
  text_finish(&json);
}

static const VtFunction common_functions[] = {
    {.name = "_version",
     .args = "",
     .flags = VT_PURE,
     .returns = "TEXT",
     .doc = "Version of the extension.",
     .scalar = version_scalar},
    {.name = "_debug",
     .args = "",
     .flags = VT_READS | VT_JSON,
     .returns = "TEXT (JSON)",
     .doc = "Commit, build flags and versions of the libraries in use.",
     .scalar = debug_scalar},
};

const VtFunction *vt_common_functions(int *count) {
  *count = (int)countof(common_functions);
  return common_functions;
}
