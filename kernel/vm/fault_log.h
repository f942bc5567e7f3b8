/*
 * The log of page faults: what the latest of them were about and what they cost, for /sys/kernel/debug/faults.
 *
 * Off, it costs a fault one branch. On, each CPU keeps its latest FAULT_LOG_ENTRIES in a ring.
 */
#pragma once

#include "kernel/sched/thread.h"
#include "kernel/vm/vmspace.h"

#define FAULT_LOG_ENTRIES 1024u /* a CPU */

enum fault_kind {
    FAULT_KIND_ZERO,   /* read where nothing was: the page of zeros */
    FAULT_KIND_ANON,   /* fresh memory */
    FAULT_KIND_COW,    /* a copy of what was shared */
    FAULT_KIND_REUSE,  /* nobody shares it any more: written where it is */
    FAULT_KIND_FILE,   /* a page of a file or of shared memory, or a device's */
    FAULT_KIND_SWAP,   /* back from swap */
    FAULT_KIND_HUGE,   /* a huge page */
    FAULT_KIND_DENIED, /* a signal */
    FAULT_KIND_NOMEM,
    FAULT_KIND_OTHER, /* somebody else had been faster */
    FAULT_NKINDS,
};

struct fault_record {
    uint64_t number; /* of this CPU, from 1 on; 0: none */
    ktime_t time;    /* when it began */
    vaddr_t addr, ip;
    uint32_t pid, cost_ns;
    uint8_t kind;  /* enum fault_kind */
    uint8_t flags; /* FAULT_* of machine/entry.h */
    char comm[COMM_SIZE];
};

extern bool fault_log_on; /* [a] */

/* Switch it; the first time makes the rings. May sleep. -ENOMEM. */
int fault_log_switch(bool on);
/* vmspace_fault() of the current thread, noted. */
int fault_log_fault(struct vmspace *vm, uint64_t addr, unsigned flags);
/*
 * The first record of a CPU with at least `number` that is still in its ring. False: there is none. Any context; records may be written
 * meanwhile.
 */
bool fault_log_read(unsigned cpu, uint64_t number, struct fault_record *ret_record);
const char *fault_kind_name(unsigned kind);
