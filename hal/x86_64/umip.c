/*
 * What UMIP forbids, done without telling anything.
 *
 * With CR4.UMIP the five instructions that show where descriptor tables lie raise #GP in user mode. Programs that use them all the same (Wine
 * and DOS emulators, mostly) get made-up values, the same as under Linux: tables at the top of the address space with limit 0, CR0 as it
 * is while user programs run, no LDT, and the selector of Linux's TSS.
 *
 * Only 64-bit code is decoded: there is no other. Encodings: SDM volume 2, chapter 2 and the five instructions' pages.
 */
#include "hal/x86_64/umip.h"

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "hal/x86_64/trap.h"
#include "kernel/base/string.h"
#include "kernel/machine/user.h"
#include "kernel/sched/thread.h"

#define FAKE_GDT_BASE  0xfffffffffffe0000ull
#define FAKE_IDT_BASE  0xffffffffffff0000ull
#define FAKE_CR0       0x80050033ull /* PG AM WP NE ET MP PE */
#define FAKE_LDT       0x00ull
#define FAKE_TASK      0x40ull
#define INSN_MAX       15
#define VECTOR_PF      14
#define PF_USER_WRITES 6u

#define REX_W 8u
#define REX_R 4u
#define REX_X 2u
#define REX_B 1u

struct insn {
    uint8_t bytes[INSN_MAX];
    unsigned nbytes; /* that could be read */
    unsigned at;     /* of the next to be looked at */
    uint8_t rex, modrm, segment;
    bool narrow, short_address; /* prefixes 66 and 67 */
};

static bool next_byte(struct insn *insn, uint8_t *ret_byte)
{
    if (insn->at >= insn->nbytes) {
        return false;
    }
    *ret_byte = insn->bytes[insn->at++];
    return true;
}

/* Prefixes; the first byte that is none. REX counts only right before the opcode (SDM volume 2, 2.2.1). */
static bool decode_prefixes(struct insn *insn, uint8_t *ret_byte)
{
    uint8_t byte;

    while (next_byte(insn, &byte)) {
        switch (byte) {
        case 0x66:
            insn->narrow = true;
            break;
        case 0x67:
            insn->short_address = true;
            break;
        case 0x64: /* FS, GS */
        case 0x65:
            insn->segment = byte;
            break;
        case 0x26: /* the others have no effect here */
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0xf2:
        case 0xf3:
            break;
        default:
            if ((byte & 0xf0) != 0x40) {
                *ret_byte = byte;
                return true;
            }
            insn->rex = byte;
            continue;
        }
        insn->rex = 0;
    }
    return false;
}

/* Which of the instructions, and what it would give. Returns the number of bytes, 0: none of them. */
static unsigned decode_opcode(struct insn *insn, uint8_t *value)
{
    uint8_t byte, table;
    uint64_t word;
    uint16_t limit = 0;

    if (!decode_prefixes(insn, &byte) || byte != 0x0f || !next_byte(insn, &table) || table > 1 ||
        !next_byte(insn, &insn->modrm)) {
        return 0;
    }
    unsigned op = (unsigned)table << 3 | ((insn->modrm >> 3) & 7);
    switch (op) {
    case 0: /* 0F 00 /0 */
        word = FAKE_LDT;
        break;
    case 1: /* 0F 00 /1 */
        word = FAKE_TASK;
        break;
    case 12: /* 0F 01 /4 */
        word = FAKE_CR0;
        break;
    case 8: /* 0F 01 /0 */
    case 9: /* 0F 01 /1 */
        if (insn->modrm >= 0xc0) {
            return 0; /* something else entirely */
        }
        word = op == 8 ? FAKE_GDT_BASE : FAKE_IDT_BASE;
        memcpy(value, &limit, sizeof(limit));
        memcpy(value + sizeof(limit), &word, sizeof(word));
        return sizeof(limit) + sizeof(word);
    default:
        return 0;
    }
    memcpy(value, &word, sizeof(word));
    return insn->modrm >= 0xc0 ? sizeof(word) : 2;
}

/* General registers by their number in an instruction. */
static uint64_t *register_of(struct trapframe *frame, unsigned number)
{
    uint64_t *const registers[16] = {
        &frame->rax, &frame->rcx, &frame->rdx, &frame->rbx, &frame->rsp, &frame->rbp,
        &frame->rsi, &frame->rdi, &frame->r8,  &frame->r9,  &frame->r10, &frame->r11,
        &frame->r12, &frame->r13, &frame->r14, &frame->r15,
    };

    return registers[number];
}

/* A displacement of n bytes, with its sign. */
static bool next_displacement(struct insn *insn, unsigned n, uint64_t *address)
{
    int8_t small;
    int32_t large;

    if (insn->nbytes - insn->at < n) {
        return false;
    }
    if (n == sizeof(small)) {
        memcpy(&small, insn->bytes + insn->at, sizeof(small));
        *address += (uint64_t)(int64_t)small;
    } else if (n == sizeof(large)) {
        memcpy(&large, insn->bytes + insn->at, sizeof(large));
        *address += (uint64_t)(int64_t)large;
    }
    insn->at += n;
    return true;
}

/* Base and index (SDM volume 2, table 2-3). *ret_bare: a displacement of four bytes takes the base's place. */
static bool decode_sib(struct insn *insn, struct trapframe *frame, uint64_t *address,
                       bool *ret_bare)
{
    uint8_t sib;

    if (!next_byte(insn, &sib)) {
        return false;
    }
    unsigned index = ((sib >> 3) & 7) | ((insn->rex & REX_X) != 0 ? 8 : 0);
    unsigned base = (sib & 7) | ((insn->rex & REX_B) != 0 ? 8 : 0);
    if (index != 4) {
        *address += *register_of(frame, index) << (sib >> 6);
    }
    *ret_bare = (sib & 7) == 5 && insn->modrm < 0x40;
    if (!*ret_bare) {
        *address += *register_of(frame, base);
    }
    return true;
}

/* The operand in memory (SDM volume 2, table 2-2); afterwards the instruction has been read to its end. */
static bool decode_address(struct insn *insn, struct trapframe *frame, uint64_t *ret_address)
{
    unsigned mode = insn->modrm >> 6;
    unsigned rm = insn->modrm & 7;
    unsigned displacement = mode == 1 ? 1 : (mode == 2 ? 4 : 0);
    uint64_t address = 0;
    bool relative = mode == 0 && rm == 5;
    bool bare = false;

    if (rm == 4) {
        if (!decode_sib(insn, frame, &address, &bare)) {
            return false;
        }
    } else if (!relative) {
        address = *register_of(frame, rm | ((insn->rex & REX_B) != 0 ? 8 : 0));
    }
    if (!next_displacement(insn, relative || bare ? 4 : displacement, &address)) {
        return false;
    }
    if (relative) {
        address += frame->rip + insn->at;
    }
    if (insn->short_address) {
        address = (uint32_t)address;
    }
    if (insn->segment != 0) {
        address += cpu_user_base(insn->segment == 0x65);
    }
    *ret_address = address;
    return true;
}

/* As the operand's size has it: two bytes leave the rest of a register alone, four do not. */
static void write_register(struct insn *insn, struct trapframe *frame, uint64_t value)
{
    uint64_t *reg = register_of(frame, (insn->modrm & 7) | ((insn->rex & REX_B) != 0 ? 8 : 0));

    if (insn->narrow && (insn->rex & REX_W) == 0) {
        *reg = (*reg & ~0xffffull) | (uint16_t)value;
    } else {
        *reg = value;
    }
    thread_set_work(current_thread(), THREAD_WORK_NOTIFY); /* restore all registers: entry.S */
}

bool umip_emulate(struct trapframe *frame)
{
    struct insn insn = {.nbytes = 0};
    uint8_t value[sizeof(uint16_t) + sizeof(uint64_t)];
    uint64_t address, word;

    if (frame->rip >= USER_TOP) {
        return false;
    }
    size_t most = MIN((size_t)INSN_MAX, (size_t)(USER_TOP - frame->rip));
    insn.nbytes = (unsigned)(most - copy_from_user_partial(insn.bytes,
                                                           (const void __user *)frame->rip, most));
    unsigned nbytes = decode_opcode(&insn, value);
    if (nbytes == 0) {
        return false;
    }
    if (insn.modrm >= 0xc0) {
        memcpy(&word, value, sizeof(word));
        write_register(&insn, frame, word);
    } else {
        if (!decode_address(&insn, frame, &address)) {
            return false;
        }
        if (copy_to_user((void __user *)address, value, nbytes) < 0) {
            machine_user_exception(frame, SIGSEGV, SEGV_MAPERR, address, VECTOR_PF, PF_USER_WRITES);
            return true;
        }
    }
    frame->rip += insn.at;
    return true;
}
