/*
 * Counting and telling defects. One CPU tells at a time; a defect met while telling (in the log, in the backtrace) is counted
 * and no more, or there would be no end.
 */
#include "kernel/core/defect.h"

#include <arch/cpu.h>

#include "kernel/base/atomic.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/machine/smp.h"

#define TOLD_MAX 64u

static const char *const kind_names[DEFECT_NKINDS] = {
    [DEFECT_UNDEFINED] = "undefined behaviour",
    [DEFECT_ADDRESS] = "bad access",
    [DEFECT_HEAP] = "damaged heap",
    [DEFECT_SYNC] = "misused lock",
};

static uint64_t counts[DEFECT_NKINDS]; /* [a] */
static uint32_t teller;                /* [a] id + 1 of the CPU that tells, 0: none */
static enum defect_kind told_kind;     /* [teller] */
static uint64_t told_irq;              /* [teller] */
static uint32_t ntold;                 /* [teller] */
static bool fatal __ro_after_init;

void defect_count_only(enum defect_kind kind)
{
    (void)atomic_fetch_add_relaxed(&counts[kind], 1);
}

bool defect_begin(enum defect_kind kind)
{
    uint32_t nobody = 0;

    defect_count_only(kind);
    uint64_t irq = irq_save();
    uint32_t self = cpu_id() + 1;
    if (panic_in_progress() || atomic_load_relaxed(&teller) == self) {
        irq_restore(irq);
        return false;
    }
    while (!atomic_cas(&teller, &nobody, self)) {
        nobody = 0;
        cpu_relax();
    }
    if (ntold == TOLD_MAX && !fatal) {
        atomic_store_release(&teller, 0);
        irq_restore(irq);
        return false;
    }
    told_kind = kind;
    told_irq = irq;
    return true;
}

void defect_end(void)
{
    uint64_t irq = told_irq;

    backtrace_log(DEFECT_LEVEL, NULL);
    if (fatal) {
        panic("%s in the kernel, told above (linnet.defects=panic)", kind_names[told_kind]);
    }
    if (++ntold == TOLD_MAX) {
        log_write(DEFECT_LEVEL, "defect: no more will be told");
    }
    atomic_store_release(&teller, 0);
    irq_restore(irq);
}

uint64_t defect_count(enum defect_kind kind)
{
    return atomic_load_relaxed(&counts[kind]);
}

static void param_defects(const char *value)
{
    fatal = strcmp(value, "panic") == 0;
}

LINKSET_ENTRY(params, struct param_handler, linnet_defects)
= {.name = "linnet.defects", .set = param_defects};
