/*
 * Defects: mistakes of the kernel's own that a detector found while it ran: undefined behaviour, a bad access, a damaged heap object.
 *
 * A detector says what it saw between defect_begin() and defect_end(); the backtrace comes from defect_end(). Defects are counted by
 * kind, also those too many to be told. The parameter linnet.defects=panic makes the first one told the end, so that a test run
 * cannot miss it; linnet.defects=log (default) goes on.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/core/log.h"

enum defect_kind {
    DEFECT_UNDEFINED, /* undefined behaviour (kernel/debug/ubsan.c) */
    DEFECT_ADDRESS,   /* access to memory that is not the accessor's (kernel/debug/kasan) */
    DEFECT_HEAP,      /* damaged or misused heap memory (kernel/mm) */
    DEFECT_SYNC,      /* a lock or a reference count misused (kernel/sync) */
    DEFECT_NKINDS,
};

/* The level that the lines of a report have. */
#define DEFECT_LEVEL LOG_ERR

/*
 * Count one. True: tell it, then call defect_end(), interrupts are off until then and other CPUs' reports wait. False: say nothing (many have
 * been told already, a report is being made on this CPU, or the kernel is in panic). Any context but NMI.
 */
bool defect_begin(enum defect_kind kind);
void defect_end(void);
/* Count one that is not told: its like was. */
void defect_count_only(enum defect_kind kind);
/* How many were found so far, told or not. Any context. */
uint64_t defect_count(enum defect_kind kind);
