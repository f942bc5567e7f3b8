/*
 * Errors of writing, told once to each open file that asks.
 *
 * One word per file: the number of the latest error, a bit that says whether anybody has been told of it, and a count of errors above, so that
 * two equal ones differ. It grows only when the former has been told: nobody could have missed one in between.
 */
#include "kernel/base/atomic.h"
#include "kernel/vm/writeback_impl.h"

#define ERROR_BITS 0xfffu  /* -errno */
#define ERROR_TOLD 0x1000u /* somebody knows of it */
#define ERROR_STEP 0x2000u

void writeback_error_set(struct writeback *wb, int err)
{
    uint32_t old = atomic_load_relaxed(&wb->error);
    uint32_t now;

    do {
        now = (old & ~(ERROR_BITS | ERROR_TOLD)) | (uint32_t)-err;
        if ((old & ERROR_TOLD) != 0) {
            now += ERROR_STEP;
        }
    } while (!__atomic_compare_exchange_n(&wb->error, &old, now, false, __ATOMIC_RELEASE,
                                          __ATOMIC_RELAXED));
}

uint32_t writeback_error_mark(const struct writeback *wb)
{
    uint32_t now = atomic_load_acquire(&wb->error);

    return (now & ERROR_TOLD) != 0 ? now : 0;
}

int writeback_error_check(struct writeback *wb, uint32_t *mark)
{
    uint32_t now = atomic_load_acquire(&wb->error);

    if (now == *mark || (now & ~ERROR_TOLD) == 0) {
        return 0;
    }
    uint32_t told = now | ERROR_TOLD;
    if (told != now) { /* when it fails, another error came: it will be told next time */
        (void)__atomic_compare_exchange_n(&wb->error, &now, told, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    }
    *mark = told;
    return -(int)(told & ERROR_BITS);
}
