/*
 * A plugin for QEMU's translator that counts the instructions a guest executes between marks (kernel/abi/mark.h), those of the
 * lower half of the address space (user) apart from those of the upper half (kernel). Of several CPUs, which must be executed by
 * one thread, it counts the sum.
 *
 *     -plugin plugin.so,out=FILE[,entry=ADDRESS][,profile=on]
 *
 * FILE has a line for each event, numbers in decimal, addresses in hexadecimal:
 *
 *     row                      the mark of a row
 *     sample                   the mark of a sample
 *     span USER KERNEL PAUSES  instructions between a begin and an end mark behind a sample mark; of those of the kernel, how
 *                              many are PAUSE: rounds of loops that wait for another CPU
 *     entry LOWER UPPER        totals when the instruction at `entry` ran first: the kernel's entry
 *     user LOWER UPPER         totals when the lower half ran first after the upper half: the first user instruction
 *     end LOWER UPPER          totals when the machine stopped
 *     count ADDRESS TIMES      with profile: how often the instruction there ran inside spans
 *
 * Each instruction adds to its own count, not each translated block to a block's: a fault in the middle of a block counts what
 * ran. An instruction that faults and is tried again counts twice, on every system alike.
 */
#include "test/bench/qemu_plugin.h"

#include "kernel/abi/mark.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

QEMU_PLUGIN_EXPORT extern int qemu_plugin_version;
QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                           char **argv);

enum half { LOWER, UPPER, HALVES };

/* What is counted: instructions of the two halves, and PAUSE in the upper one. */
enum { PAUSES = HALVES, COUNTERS };

#define CELL_BUCKETS (1 << 17)

/* One instruction of the guest, by address. Never freed: translated code points to it. */
struct cell {
    struct cell *next;
    uint64_t address;
    uint64_t count;    /* since the start */
    uint64_t at_begin; /* of which before the present span */
    uint64_t in_spans;
};

static FILE *out;
static uint64_t totals[COUNTERS];
static uint64_t at_begin[COUNTERS];
static uint64_t entry_address;
static bool entry_seen, user_seen, profile;
static bool in_sample, in_span;
static struct cell *cells[CELL_BUCKETS];

static enum half half_of(uint64_t address)
{
    return address >> 63 != 0 ? UPPER : LOWER;
}

static struct cell *cell_of(uint64_t address)
{
    struct cell **bucket = &cells[(address ^ address >> 17) % CELL_BUCKETS];

    for (struct cell *cell = *bucket; cell != NULL; cell = cell->next) {
        if (cell->address == address) {
            return cell;
        }
    }
    struct cell *cell = calloc(1, sizeof(*cell));
    if (cell == NULL) {
        abort();
    }
    cell->address = address;
    cell->next = *bucket;
    *bucket = cell;
    return cell;
}

/* What the cells counted becomes the span's (`ends`), or is what came before it. */
static void cells_span(bool ends)
{
    for (size_t i = 0; profile && i < CELL_BUCKETS; i++) {
        for (struct cell *cell = cells[i]; cell != NULL; cell = cell->next) {
            if (ends) {
                cell->in_spans += cell->count - cell->at_begin;
            } else {
                cell->at_begin = cell->count;
            }
        }
    }
}

static void print_totals(const char *word)
{
    fprintf(out, "%s %" PRIu64 " %" PRIu64 "\n", word, totals[LOWER], totals[UPPER]);
    fflush(out);
}

static void on_begin(void)
{
    if (in_sample) {
        cells_span(false);
        memcpy(at_begin, totals, sizeof(at_begin));
        in_span = true;
    }
}

static void on_end(void)
{
    if (in_span) {
        fprintf(out, "span %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", totals[LOWER] - at_begin[LOWER],
                totals[UPPER] - at_begin[UPPER], totals[PAUSES] - at_begin[PAUSES]);
        fflush(out);
        cells_span(true);
        in_span = false;
    }
}

static void on_mark(unsigned cpu, void *data)
{
    (void)cpu;
    switch ((uintptr_t)data) {
    case MARK_ROW:
        fputs("row\n", out);
        in_sample = in_span = false;
        break;
    case MARK_SAMPLE:
        fputs("sample\n", out);
        in_sample = true;
        in_span = false;
        break;
    case MARK_BEGIN:
        on_begin();
        break;
    case MARK_END:
        on_end();
        break;
    default:
        break;
    }
}

static void on_entry(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    if (!entry_seen) {
        entry_seen = true;
        print_totals("entry");
    }
}

/* A block of the lower half begins. Firmware and the kernel's first steps run there too, but before the upper half. */
static void on_lower(unsigned cpu, void *data)
{
    (void)cpu;
    (void)data;
    if (!user_seen && totals[UPPER] > 0) {
        user_seen = true;
        print_totals("user");
    }
}

/* The code of the mark that this instruction is, or 0. */
static unsigned mark_code(const struct qemu_plugin_insn *insn)
{
    static const uint8_t opcode[3] = {0x0f, 0x1f, 0x80};
    uint32_t displacement;

    if (qemu_plugin_insn_size(insn) != sizeof(opcode) + sizeof(displacement)) {
        return 0;
    }
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    memcpy(&displacement, bytes + sizeof(opcode), sizeof(displacement));
    if (memcmp(bytes, opcode, sizeof(opcode)) != 0 || displacement >> 16 != MARK_MAGIC) {
        return 0;
    }
    return displacement & 0xffff;
}

/* Intel SDM volume 2, PAUSE: F3 90. */
static bool is_pause(const struct qemu_plugin_insn *insn)
{
    static const uint8_t opcode[2] = {0xf3, 0x90};

    return qemu_plugin_insn_size(insn) == sizeof(opcode) &&
           memcmp(qemu_plugin_insn_data(insn), opcode, sizeof(opcode)) == 0;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);
    enum half half = half_of(qemu_plugin_tb_vaddr(tb));

    (void)id;
    if (half == LOWER && !user_seen) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, on_lower, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);
        unsigned code = mark_code(insn);

        if (address == entry_address && !entry_seen) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_entry, QEMU_PLUGIN_CB_NO_REGS, NULL);
        }
        if (code != 0) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)code);
        }
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &totals[half],
                                                   1);
        if (half == UPPER && is_pause(insn)) {
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       &totals[PAUSES], 1);
        }
        if (profile) {
            qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                       &cell_of(address)->count, 1);
        }
    }
}

static void on_stop(qemu_plugin_id_t id, void *data)
{
    (void)id;
    (void)data;
    print_totals("end");
    for (size_t i = 0; i < CELL_BUCKETS; i++) {
        for (const struct cell *cell = cells[i]; cell != NULL; cell = cell->next) {
            if (cell->in_spans > 0) {
                fprintf(out, "count %" PRIx64 " %" PRIu64 "\n", cell->address, cell->in_spans);
            }
        }
    }
    fclose(out);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = fopen(argv[i] + 4, "w");
        } else if (strncmp(argv[i], "entry=", 6) == 0) {
            entry_address = strtoull(argv[i] + 6, NULL, 16);
        } else if (strcmp(argv[i], "profile=on") == 0) {
            profile = true;
        } else if (strcmp(argv[i], "profile=off") != 0) {
            fprintf(stderr, "plugin: unknown argument %s\n", argv[i]);
            return -1;
        }
    }
    if (out == NULL) {
        fprintf(stderr, "plugin: out=FILE is needed, and FILE must be writable\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    qemu_plugin_register_atexit_cb(id, on_stop, NULL);
    return 0;
}
