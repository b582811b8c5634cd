/*
** Registers for gdb: see stub_registers.h.
*/
#define _GNU_SOURCE
#include "extensions/omni/stub_registers.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "base/array.h"
#include "replay/xsave.h"

enum {
  AVX = 4, /* in the mask of components that the kernel notes among the software's bytes */
  FPU_CONTROL_AT = 0,
  FPU_STATUS_AT = 2,
  FPU_TAGS_AT = 4, /* a bit for each register that is in use */
  FPU_OPCODE_AT = 6,
  FPU_CODE_AT = 8,
  FPU_DATA_AT = 16,
  FPU_REGISTER = 16,
  FPU_BYTES = 10,
  LONGEST = 16
};

typedef enum Group { CORE, FPU, SSE, LINUX, SEGMENTS, VECTOR } Group;

/* In the order of gdb's numbers. `at`: in user_regs_struct (CORE, LINUX, SEGMENTS) or in the state
** of the units. */
typedef struct Register {
  Group group;
  const char *name, *type;
  size_t size, at;
} Register;

#define GENERAL(group, name, type, size)                                                           \
  { group, #name, type, size, offsetof(struct user_regs_struct, name) }
#define STACK(n)                                                                                   \
  { FPU, "st" #n, "i387_ext", FPU_BYTES, XSAVE_FP_AT + n *FPU_REGISTER }
#define XMM(n)                                                                                     \
  { SSE, "xmm" #n, "vec128", 16, XSAVE_SSE_AT + n * 16 }
#define YMM(n)                                                                                     \
  { VECTOR, "ymm" #n "h", "uint128", 16, XSAVE_EXTENDED_AT + n * 16 }
static const Register registers[] = {
    GENERAL(CORE, rax, "int64", 8),
    GENERAL(CORE, rbx, "int64", 8),
    GENERAL(CORE, rcx, "int64", 8),
    GENERAL(CORE, rdx, "int64", 8),
    GENERAL(CORE, rsi, "int64", 8),
    GENERAL(CORE, rdi, "int64", 8),
    GENERAL(CORE, rbp, "data_ptr", 8),
    GENERAL(CORE, rsp, "data_ptr", 8),
    GENERAL(CORE, r8, "int64", 8),
    GENERAL(CORE, r9, "int64", 8),
    GENERAL(CORE, r10, "int64", 8),
    GENERAL(CORE, r11, "int64", 8),
    GENERAL(CORE, r12, "int64", 8),
    GENERAL(CORE, r13, "int64", 8),
    GENERAL(CORE, r14, "int64", 8),
    GENERAL(CORE, r15, "int64", 8),
    GENERAL(CORE, rip, "code_ptr", 8),
    GENERAL(CORE, eflags, "i386_eflags", 4),
    GENERAL(CORE, cs, "int32", 4),
    GENERAL(CORE, ss, "int32", 4),
    GENERAL(CORE, ds, "int32", 4),
    GENERAL(CORE, es, "int32", 4),
    GENERAL(CORE, fs, "int32", 4),
    GENERAL(CORE, gs, "int32", 4),
    STACK(0),
    STACK(1),
    STACK(2),
    STACK(3),
    STACK(4),
    STACK(5),
    STACK(6),
    STACK(7),
    {FPU, "fctrl", "int", 4, FPU_CONTROL_AT},
    {FPU, "fstat", "int", 4, FPU_STATUS_AT},
    {FPU, "ftag", "int", 4, FPU_TAGS_AT},
    {FPU, "fiseg", "int", 4, FPU_CODE_AT + 4},
    {FPU, "fioff", "int", 4, FPU_CODE_AT},
    {FPU, "foseg", "int", 4, FPU_DATA_AT + 4},
    {FPU, "fooff", "int", 4, FPU_DATA_AT},
    {FPU, "fop", "int", 4, FPU_OPCODE_AT},
    XMM(0),
    XMM(1),
    XMM(2),
    XMM(3),
    XMM(4),
    XMM(5),
    XMM(6),
    XMM(7),
    XMM(8),
    XMM(9),
    XMM(10),
    XMM(11),
    XMM(12),
    XMM(13),
    XMM(14),
    XMM(15),
    {SSE, "mxcsr", "i386_mxcsr", 4, XSAVE_MXCSR_AT},
    GENERAL(LINUX, orig_rax, "int64", 8),
    GENERAL(SEGMENTS, fs_base, "int64", 8),
    GENERAL(SEGMENTS, gs_base, "int64", 8),
    YMM(0),
    YMM(1),
    YMM(2),
    YMM(3),
    YMM(4),
    YMM(5),
    YMM(6),
    YMM(7),
    YMM(8),
    YMM(9),
    YMM(10),
    YMM(11),
    YMM(12),
    YMM(13),
    YMM(14),
    YMM(15),
};

void stub_registers_read(const PlayView *view, StubRegisters *out) {
  uint64_t components = 0;
  struct iovec vector = {out->units, sizeof out->units};
  out->general = view->regs;
  memset(out->units, 0, sizeof out->units);
  out->has_units =
      ptrace(PTRACE_GETREGSET, view->tracee->tid, (void *)NT_X86_XSTATE, &vector) == 0 &&
      vector.iov_len >= XSAVE_EXTENDED_AT;
  if (out->has_units) memcpy(&components, out->units + XSAVE_SOFTWARE_AT, sizeof components);
  out->has_avx = components & AVX && vector.iov_len >= XSAVE_EXTENDED_AT + 16 * 16;
}

/* ---- the description ------------------------------------------------------------------------- */

static const char core_types[] =
    "<flags id=\"i386_eflags\" size=\"4\">"
    "<field name=\"\" start=\"22\" end=\"31\"/><field name=\"ID\" start=\"21\" end=\"21\"/>"
    "<field name=\"VIP\" start=\"20\" end=\"20\"/><field name=\"VIF\" start=\"19\" end=\"19\"/>"
    "<field name=\"AC\" start=\"18\" end=\"18\"/><field name=\"VM\" start=\"17\" end=\"17\"/>"
    "<field name=\"RF\" start=\"16\" end=\"16\"/><field name=\"NT\" start=\"14\" end=\"14\"/>"
    "<field name=\"OF\" start=\"11\" end=\"11\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
    "<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
    "<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
    "<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
    "<field name=\"\" start=\"1\" end=\"1\"/><field name=\"CF\" start=\"0\" end=\"0\"/></flags>";

static const char sse_types[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
    "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
    "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
    "<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
    "<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
    "<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
    "<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
    "<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
    "<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
    "<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

/* FPU is a part of the core's feature. */
static const struct {
  const char *feature, *types;
} groups[] = {
    [CORE] = {"core", core_types}, [FPU] = {NULL, NULL},          [SSE] = {"sse", sse_types},
    [LINUX] = {"linux", ""},       [SEGMENTS] = {"segments", ""}, [VECTOR] = {"avx", ""}};

static bool is_there(const StubRegisters *all, const Register *one) {
  return one->group != VECTOR || all->has_avx;
}

void stub_registers_describe(const StubRegisters *all, Text *out) {
  text_add(out, "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>"
                "<architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>");
  for (size_t i = 0; i < countof(registers); i++) {
    const Register *one = &registers[i];
    if (!is_there(all, one)) continue;
    const bool begins = groups[one->group].feature && (i == 0 || one[-1].group != one->group);
    if (begins && i > 0) text_add(out, "</feature>");
    if (begins) {
      text_addf(out, "<feature name=\"org.gnu.gdb.i386.%s\">", groups[one->group].feature);
      text_add(out, groups[one->group].types);
    }
    text_addf(out, "<reg name=\"%s\" bitsize=\"%zu\" type=\"%s\" regnum=\"%zu\"/>", one->name,
              one->size * 8, one->type, i);
  }
  text_add(out, "</feature></target>");
}

/* ---- values ---------------------------------------------------------------------------------- */

static unsigned load(const unsigned char *at, size_t size) {
  unsigned value = 0;
  memcpy(&value, at, size);
  return value;
}

/* Two bits for each register, as FNSAVE has them: 0 a number, 1 zero, 2 something special, 3 not in
** use. The state has the registers by their place on the stack. */
static unsigned full_tags(const unsigned char *units) {
  const unsigned top = load(units + FPU_STATUS_AT, 2) >> 11 & 7, used = units[FPU_TAGS_AT];
  unsigned tags = 0;
  for (unsigned i = 0; i < 8; i++) {
    const unsigned char *at = units + XSAVE_FP_AT + ((i + 8 - top) % 8) * FPU_REGISTER;
    uint64_t mantissa;
    memcpy(&mantissa, at, sizeof mantissa);
    const unsigned exponent = load(at + 8, 2) & 0x7fff;
    const bool zero = !exponent && !mantissa;
    const bool number = exponent && exponent != 0x7fff && mantissa >> 63;
    tags |= (used >> i & 1 ? (zero ? 1u : number ? 0u : 2u) : 3u) << (2 * i);
  }
  return tags;
}

static size_t value_of(const StubRegisters *all, const Register *one, unsigned char *out) {
  unsigned value;
  switch (one->group) {
  case CORE:
  case LINUX:
  case SEGMENTS:
    memcpy(out, (const char *)&all->general + one->at, one->size);
    return one->size;
  case FPU:
    if (one->size == FPU_BYTES) break;
    value = one->at == FPU_TAGS_AT                             ? full_tags(all->units)
            : one->at == FPU_CODE_AT || one->at == FPU_DATA_AT ? load(all->units + one->at, 4)
                                                               : load(all->units + one->at, 2);
    if (one->at == FPU_OPCODE_AT) value &= 0x7ff;
    memcpy(out, &value, sizeof value);
    return sizeof value;
  default:
    break;
  }
  memcpy(out, all->units + one->at, one->size);
  return one->size;
}

static void add_value(const StubRegisters *all, const Register *one, Text *out) {
  unsigned char bytes[LONGEST];
  const bool general = one->group == CORE || one->group == LINUX || one->group == SEGMENTS;
  const size_t size = value_of(all, one, bytes);
  for (size_t i = 0; i < size; i++) {
    if (general || all->has_units) {
      text_addf(out, "%02x", bytes[i]);
    } else {
      text_add(out, "xx");
    }
  }
}

void stub_registers_all(const StubRegisters *all, Text *out) {
  for (size_t i = 0; i < countof(registers); i++) {
    if (is_there(all, &registers[i])) add_value(all, &registers[i], out);
  }
}

bool stub_registers_one(const StubRegisters *all, unsigned long n, Text *out) {
  if (n >= countof(registers) || !is_there(all, &registers[n])) return false;
  add_value(all, &registers[n], out);
  return true;
}
