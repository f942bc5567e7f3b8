/*
 * How long a CPU could not be interrupted, could not be preempted, and how long its most urgent real-time thread waited: the worst cases of each, with
 * where they began and ended. Shown in /sys/kernel/debug/latency, in builds with -Dlatency=true.
 *
 * Of a place, which is where a section begins and where it ends, only the longest one is kept: so the second worst is another fault.
 *
 * Own time: what the watching itself takes is measured at each call, and left out of every section it falls into.
 */
#pragma once

#include "kernel/base/types.h"

enum latency_kind {
    LATENCY_IRQSOFF,
    LATENCY_PREEMPTOFF,
    LATENCY_WAKEUP,
    LATENCY_KINDS,
};

#define LATENCY_DEPTH 12
#define LATENCY_KEPT  8 /* places, of each kind and CPU */
#define LATENCY_COMM  16

struct latency_chain {
    size_t n;
    uintptr_t addrs[LATENCY_DEPTH]; /* innermost first */
};

struct latency_worst {
    uint64_t length; /* in the counter's unit; 0: there was none, nor are there any behind it */
    struct latency_chain begin, end;
    char comm[LATENCY_COMM]; /* who ran at its end, or who had waited */
};

/* ---- of one CPU, without the CPU: also on the host ---- */

struct latency_section {
    bool open;
    uint64_t since, own; /* the counter, and own time, at its begin */
    struct latency_chain begin;
};

/* Locks: its CPU alone, interrupts off. */
struct latency_meter {
    bool busy;        /* inside a call: what it calls is not watched */
    uint64_t entered; /* the counter when it began */
    uint64_t own;     /* spent in calls so far */
    struct latency_section sections[LATENCY_KINDS];
    struct latency_worst worst[LATENCY_KINDS][LATENCY_KEPT]; /* the longest first */
};

/* Around each use of the functions below. False: a call is under way already, and nothing is to be done. */
bool latency_meter_enter(struct latency_meter *meter, uint64_t now);
void latency_meter_leave(struct latency_meter *meter, uint64_t now);
/* A section begins; the caller has seen that it is not open, and fills in its `begin`. */
struct latency_chain *latency_meter_begin(struct latency_meter *meter, enum latency_kind kind);
/* It ends: its length; 0 when none was open. */
uint64_t latency_meter_end(struct latency_meter *meter, enum latency_kind kind);
/* Would one of that length be kept, at some place or other? */
static inline bool latency_is_long(const struct latency_worst *kept, uint64_t length)
{
    return length > kept[LATENCY_KEPT - 1].length;
}
/* Keep it, unless its place had one as long. Returns its entry, of which the caller fills in `comm`; NULL: not kept. */
struct latency_worst *latency_keep(struct latency_worst *kept, uint64_t length,
                                   const struct latency_chain *begin,
                                   const struct latency_chain *end);

/* ---- of all CPUs ---- */

void latency_enable(bool on);
bool latency_is_enabled(void);
/* Forget the worst cases of this kind. Thread context. */
void latency_reset(enum latency_kind kind);
/* LATENCY_KEPT entries of CPU `id`, as they stand. Thread context. */
void latency_read(unsigned id, enum latency_kind kind, struct latency_worst *ret_worst);
/* The unit: instructions where the machine counts them for us, else ns. */
bool latency_in_instructions(void);
uint64_t latency_scale(uint64_t length);
