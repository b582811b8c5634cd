#include "replay/probe_code.h"

#include <string.h>

#include <Zydis/Zydis.h>

/* One decoder serves everybody: it is constant once made. */
static const ZydisDecoder *decoder(void) {
  static _Thread_local ZydisDecoder made;
  static _Thread_local bool is_made;
  if (!is_made) {
    ZydisDecoderInit(&made, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    is_made = true;
  }
  return &made;
}

static uint8_t flag_bits(ZydisAccessedFlagsMask mask) {
  return (uint8_t)((mask & 1) | (mask >> 1 & 2) | (mask >> 2 & 4) | (mask >> 3 & 8) |
                   (mask >> 3 & 16) | (mask >> 6 & 32));
}

static void note_flags(const ZydisDecodedInstruction *decoded, Insn *out) {
  const ZydisAccessedFlags *flags = decoded->cpu_flags;
  if (!(decoded->attributes & ZYDIS_ATTRIB_CPUFLAG_ACCESS) || !flags) return;
  out->flags_tested = flag_bits(flags->tested);
  out->flags_set = flag_bits(flags->modified | flags->set_0 | flags->set_1 | flags->undefined);
}

/* A repeated string instruction, or a shift by a count of 0, may leave the flags as they were. */
static bool may_keep_flags(const ZydisDecodedInstruction *decoded) {
  return decoded->meta.category == ZYDIS_CATEGORY_STRINGOP ||
         decoded->meta.category == ZYDIS_CATEGORY_SHIFT ||
         decoded->meta.category == ZYDIS_CATEGORY_ROTATE;
}

/* Jumps, branches and calls whose distance is in the instruction. */
static InsnKind relative_kind(const ZydisDecodedInstruction *decoded, Insn *out) {
  const bool near_only = decoded->raw.imm[0].size == 8;
  if (decoded->raw.imm[0].size != 32 && !near_only) return INSN_FIXED;
  if (decoded->address_width != 64 && decoded->meta.category != ZYDIS_CATEGORY_COND_BR) {
    return INSN_FIXED;
  }
  out->near_only = near_only;
  out->target = out->at + out->length + (uint64_t)decoded->raw.imm[0].value.s;
  switch (decoded->meta.category) {
  case ZYDIS_CATEGORY_CALL:
    return INSN_CALL;
  case ZYDIS_CATEGORY_UNCOND_BR:
    return INSN_JUMP;
  case ZYDIS_CATEGORY_COND_BR:
    break;
  default:
    return INSN_FIXED; /* xbegin */
  }
  if (decoded->opcode >= 0xe0 && decoded->opcode <= 0xe3 && near_only) return INSN_LOOP;
  out->cond = decoded->opcode & 15;
  return INSN_BRANCH;
}

/* Calls and jumps through a register or memory. A call is imitated by a push and a jump, so its
** operand must not hang on rsp. */
static InsnKind indirect_kind(const ZydisDecodedInstruction *decoded) {
  const bool call = decoded->meta.category == ZYDIS_CATEGORY_CALL;
  const unsigned field = decoded->raw.modrm.reg;
  if (decoded->opcode != 0xff || (field != 2 && field != 4)) return INSN_FIXED; /* far */
  if (!call) return INSN_JUMP_AT;
  const bool rex_b = decoded->raw.rex.B;
  const bool on_register = decoded->raw.modrm.mod == 3;
  if (on_register && decoded->raw.modrm.rm == 4 && !rex_b) return INSN_FIXED;
  if (!on_register && decoded->raw.modrm.rm == 4 && decoded->raw.sib.base == 4 && !rex_b) {
    return INSN_FIXED;
  }
  return INSN_CALL_AT;
}

static InsnKind kind_of(const ZydisDecodedInstruction *decoded, Insn *out) {
  switch (decoded->meta.category) {
  case ZYDIS_CATEGORY_CALL:
  case ZYDIS_CATEGORY_UNCOND_BR:
  case ZYDIS_CATEGORY_COND_BR:
    return decoded->raw.imm[0].is_relative ? relative_kind(decoded, out) : indirect_kind(decoded);
  case ZYDIS_CATEGORY_RET:
    return decoded->mnemonic == ZYDIS_MNEMONIC_RET && decoded->operand_width == 64 &&
                   (decoded->opcode == 0xc3 || decoded->opcode == 0xc2)
               ? INSN_RETURN
               : INSN_FIXED;
  case ZYDIS_CATEGORY_INTERRUPT:
    return decoded->mnemonic == ZYDIS_MNEMONIC_INT3 ? INSN_PADDING : INSN_FIXED;
  case ZYDIS_CATEGORY_NOP:
  case ZYDIS_CATEGORY_WIDENOP:
    return decoded->mnemonic == ZYDIS_MNEMONIC_NOP ? INSN_PADDING : INSN_PLAIN;
  case ZYDIS_CATEGORY_SYSCALL:
  case ZYDIS_CATEGORY_SYSRET:
    return INSN_FIXED;
  default:
    break;
  }
  switch (decoded->mnemonic) {
  case ZYDIS_MNEMONIC_UD0:
  case ZYDIS_MNEMONIC_UD1:
  case ZYDIS_MNEMONIC_UD2:
  case ZYDIS_MNEMONIC_HLT:
    return INSN_STOP;
  case ZYDIS_MNEMONIC_RDTSC:
  case ZYDIS_MNEMONIC_RDTSCP:
  case ZYDIS_MNEMONIC_CPUID:
  case ZYDIS_MNEMONIC_RDRAND:
  case ZYDIS_MNEMONIC_RDSEED:
  case ZYDIS_MNEMONIC_RDPID:
    return INSN_FIXED; /* who records them must find them in place */
  case ZYDIS_MNEMONIC_XBEGIN:
  case ZYDIS_MNEMONIC_IRETQ:
  case ZYDIS_MNEMONIC_IRETD:
  case ZYDIS_MNEMONIC_IRET:
    return INSN_FIXED;
  default:
    return INSN_PLAIN;
  }
}

bool insn_decode(const uint8_t *code, size_t size, uint64_t at, Insn *out) {
  ZydisDecodedInstruction decoded;
  ZydisDecoderContext context;
  if (size > INSN_LONGEST) size = INSN_LONGEST;
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder(), &context, code, size, &decoded))) {
    return false;
  }
  *out = (Insn){.at = at, .length = decoded.length};
  memcpy(out->bytes, code, decoded.length);
  note_flags(&decoded, out);
  if (may_keep_flags(&decoded)) out->flags_set = 0;
  const bool memory = (decoded.attributes & ZYDIS_ATTRIB_HAS_MODRM) && decoded.raw.modrm.mod == 0 &&
                      decoded.raw.modrm.rm == 5;
  out->modrm = decoded.raw.modrm.offset;
  out->kind = (uint8_t)kind_of(&decoded, out);
  if (memory && decoded.raw.disp.size == 32) {
    out->relative = true;
    out->displacement = decoded.raw.disp.offset;
    out->target = at + decoded.length + (uint64_t)decoded.raw.disp.value;
    if (decoded.address_width != 64) out->kind = INSN_FIXED;
  }
  return true;
}

bool insn_can_move(const Insn *insn) { return insn->kind != INSN_FIXED; }

/* The bytes as they are, but for the distance of a rip-relative operand. */
static void copy(const Insn *insn, const uint8_t *bytes, Asm *code) {
  uint8_t moved[INSN_LONGEST];
  memcpy(moved, bytes, insn->length);
  if (insn->relative) {
    int64_t distance = (int64_t)(insn->target - (asm_here(code) + insn->length));
    int32_t field = (int32_t)distance;
    if (!asm_fits(distance)) code->overflow = true;
    memcpy(moved + insn->displacement, &field, sizeof field);
  }
  asm_bytes(code, moved, insn->length);
}

/* push; mov dword [rsp + 4]: the return address of the original, below which a call would have
** written it just the same. */
static int push_return(const Insn *insn, Asm *code, MoveStep *steps) {
  const uint64_t address = insn->at + insn->length;
  const uint32_t low = (uint32_t)address, high = (uint32_t)(address >> 32);
  int count = 0;
  asm_byte(code, 0x68);
  asm_u32(code, low);
  steps[count++] = (MoveStep){(uint32_t)code->size, 8};
  if (!asm_fits((int64_t)address)) {
    asm_bytes(code, "\xc7\x44\x24\x04", 4);
    asm_u32(code, high);
    steps[count++] = (MoveStep){(uint32_t)code->size, 8};
  }
  return count;
}

/* ff /2, a call, becomes ff /4, a jump. */
static void jump_instead(const Insn *insn, Asm *code) {
  uint8_t bytes[INSN_LONGEST];
  memcpy(bytes, insn->bytes, insn->length);
  bytes[insn->modrm] = (uint8_t)((bytes[insn->modrm] & ~0x38) | 0x20);
  copy(insn, bytes, code);
}

static void move_loop(const Insn *insn, Asm *code) {
  uint8_t bytes[INSN_LONGEST];
  memcpy(bytes, insn->bytes, insn->length);
  bytes[insn->length - 1] = 2; /* taken: over the jump that passes the far one */
  asm_bytes(code, bytes, insn->length);
  size_t on = asm_near_jump(code);
  asm_jump(code, insn->target);
  asm_near_land(code, on);
}

int insn_move(const Insn *insn, Asm *code, MoveStep steps[MOVE_STEPS]) {
  int count = 1;
  steps[0] = (MoveStep){(uint32_t)code->size, 0};
  switch ((InsnKind)insn->kind) {
  case INSN_JUMP:
    asm_jump(code, insn->target);
    break;
  case INSN_BRANCH:
    asm_branch(code, (Cond)insn->cond, insn->target);
    break;
  case INSN_LOOP:
    move_loop(insn, code);
    break;
  case INSN_CALL:
    count += push_return(insn, code, steps + 1);
    asm_jump(code, insn->target);
    break;
  case INSN_CALL_AT:
    count += push_return(insn, code, steps + 1);
    jump_instead(insn, code);
    break;
  case INSN_FIXED:
    code->overflow = true;
    break;
  default:
    copy(insn, insn->bytes, code);
    break;
  }
  return count;
}
