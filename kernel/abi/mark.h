/*
 * Marks: instructions that do nothing on any CPU, which a counting machine sees (test/bench/plugin.c, inside QEMU).
 *
 * A mark is the long no-operation with a 32-bit displacement, 0F 1F 80 disp32 (Intel SDM volume 2, NOP); the displacement's
 * upper half is MARK_MAGIC, its lower half one of the codes below. Marks may stand in programs and in the kernel alike.
 */
#pragma once

#define MARK_MAGIC  0x4c4e
#define MARK_ROW    1 /* the next test begins; what comes before its first sample is warm-up */
#define MARK_SAMPLE 2 /* a sample begins: the sum of its spans is one result */
#define MARK_BEGIN  3 /* a span: from here */
#define MARK_END    4 /* to here */
#define MARK_COUNT                                                                                 \
    5 /* the next instruction stores a word: it becomes the CPU's number of instructions */

#define MARK_DISPLACEMENT(code) (MARK_MAGIC << 16 | (code))
