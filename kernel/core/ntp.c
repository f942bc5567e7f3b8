/*
 * Disciplining the clock, after the kernel model of RFC 1589 ("A Kernel Model for Precision Timekeeping") with the nanosecond units and the
 * loop constants of adjtimex(2): a frequency offset; a phase offset that decays by a part each second (PLL, or FLL for long intervals);
 * adjtime()'s slow correction of at most 500 us per second; leap seconds; the error bounds that programs ask for.
 *
 * All that is worked out anew at each second of real time, as a deviation of the rate at which monotonic (and real) time runs. A timer
 * comes at each second only while the next one would change something. Otherwise nothing runs, and the seconds that passed are counted when
 * somebody asks.
 *
 * Units: deviations are ns per second (or ns) with 32 bits of fraction.
 *
 * Locking: ntp_lock (spin, irqsave), before the locks of time.c. Listeners to steps are called without it.
 */
#include "kernel/core/ntp.h"

#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/core/timer.h"
#include "kernel/sync/spinlock.h"

#define FRACTION      32
#define FREQ_MAX      ((int64_t)MAXFREQ_NS << FRACTION)
#define MAXFREQ_NS    500000         /* 500 ppm */
#define PPM_SCALE     (1000ll << 16) /* a deviation from ppm with 16 bits of fraction */
#define OFFSET_MAX_NS 500000000ll    /* that the loop takes; the rest is cut off */
#define ERROR_MAX_US  16000000ll     /* beyond: not synchronised */
#define ERROR_STEP_US 500ll          /* that the clock may have gone wrong by in a second */
#define ADJTIME_US    500ll          /* corrected in a second */
#define TICK_HZ       100ll          /* USER_HZ: what ADJ_TICK's microseconds are multiplied by */
#define TICK_US       (1000000ll / TICK_HZ)
#define LOOP_SHIFT    2      /* SHIFT_PLL, SHIFT_FLL */
#define FLL_MIN_S     256ll  /* intervals at which the frequency may be taken from the phase, */
#define FLL_MAX_S     2048ll /* and from which it always is */
#define CONSTANT_MAX  10
#define TAI_MAX       100000
#define DAY_S         86400ll
#define NEVER         INT64_MAX /* the clock was set since the leap second was announced */

/* The bit of the modes that are about adjtime(3), and the one that makes it a question. */
#define MODE_ADJTIME  (ADJ_OFFSET_SINGLESHOT & ~(unsigned)ADJ_OFFSET)
#define MODE_READONLY (ADJ_OFFSET_SS_READ & ~(unsigned)ADJ_OFFSET_SINGLESHOT)

static struct spinlock ntp_lock = SPINLOCK_INIT("ntp");
static struct {
    int state;  /* TIME_* */
    int status; /* STA_* */
    int tai;
    int64_t freq;         /* deviation */
    int64_t offset;       /* ns with fraction, still to be corrected */
    int64_t slewing;      /* of it, in the second that runs */
    int64_t adjust_us;    /* adjtime()'s, still to be corrected */
    int64_t adjusting_us; /* of it, in the second that runs */
    int64_t maxerror_us, esterror_us;
    int64_t constant;
    int64_t tick_us;
    int64_t second;  /* real time up to which all is worked out */
    int64_t updated; /* real second of the last ADJ_OFFSET */
    int64_t leap_at; /* TIME_INS, TIME_DEL: the second at which it happens; NEVER */
    struct timer timer;
} ntp = {.state = TIME_OK,
         .status = STA_UNSYNC,
         .maxerror_us = ERROR_MAX_US,
         .esterror_us = ERROR_MAX_US,
         .constant = 2,
         .tick_us = TICK_US}; /* [ntp_lock] */

/* Arithmetic shift to the right that rounds towards zero. */
static int64_t shift_down(int64_t value, unsigned bits)
{
    return value < 0 ? -(-value >> bits) : value >> bits;
}

static void rate_set_locked(void)
{
    int64_t ns = (ntp.tick_us - TICK_US) * TICK_HZ * NS_PER_US + ntp.adjusting_us * NS_PER_US;

    time_set_rate((ns * (1ll << FRACTION) + ntp.freq + ntp.slewing) / NS_PER_S);
}

/* ---- a second passes ---- */

/* RFC 1589, section 4: the state of leap seconds at the beginning of `second`. What real time is to be stepped by, in seconds. */
static int leap_locked(int64_t second)
{
    const int wanted = ntp.status & (STA_INS | STA_DEL);

    switch (ntp.state) {
    case TIME_OK:
        if ((wanted & STA_INS) != 0) {
            ntp.state = TIME_INS;
            ntp.leap_at = (second / DAY_S + 1) * DAY_S;
        } else if (wanted != 0) {
            ntp.state = TIME_DEL;
            ntp.leap_at = ((second + 1) / DAY_S + 1) * DAY_S - 1; /* not this one: it has begun */
        }
        return 0;
    case TIME_INS:
        if ((wanted & STA_INS) == 0) {
            ntp.state = TIME_OK;
        } else if (second >= ntp.leap_at) {
            ntp.state = TIME_OOP;
            return -1;
        }
        return 0;
    case TIME_DEL:
        if ((wanted & STA_DEL) == 0) {
            ntp.state = TIME_OK;
        } else if (second >= ntp.leap_at) {
            ntp.state = TIME_WAIT;
            return 1;
        }
        return 0;
    case TIME_OOP:
        ntp.state = TIME_WAIT;
        return 0;
    default:
        if (wanted == 0) {
            ntp.state = TIME_OK;
        }
        return 0;
    }
}

static void error_grow_locked(int64_t seconds)
{
    ntp.maxerror_us += ERROR_STEP_US * MIN(seconds, ERROR_MAX_US);
    if (ntp.maxerror_us > ERROR_MAX_US) {
        ntp.maxerror_us = ERROR_MAX_US;
        ntp.status |= STA_UNSYNC;
    }
}

/* Real time has come to `second`. What it is to be stepped by, in seconds. */
static int second_begin_locked(int64_t second)
{
    error_grow_locked(1);
    ntp.slewing = shift_down(ntp.offset, (unsigned)(LOOP_SHIFT + ntp.constant));
    ntp.offset -= ntp.slewing;
    ntp.adjusting_us = CLAMP(ntp.adjust_us, -ADJTIME_US, ADJTIME_US);
    ntp.adjust_us -= ntp.adjusting_us;
    return leap_locked(second);
}

/* Would the next second change more than the bound of the error? */
static bool busy_locked(void)
{
    return ntp.slewing != 0 || ntp.adjusting_us != 0 || ntp.adjust_us != 0 ||
           shift_down(ntp.offset, (unsigned)(LOOP_SHIFT + ntp.constant)) != 0 ||
           ntp.state != TIME_OK || (ntp.status & (STA_INS | STA_DEL)) != 0;
}

/* Work out the seconds that have passed. True: real time was stepped. */
static bool catch_up_locked(void)
{
    bool stepped = false;

    for (;;) {
        int64_t now = ktime_realtime() / NS_PER_S;
        if (now <= ntp.second) {
            break;
        }
        if (!busy_locked()) {
            error_grow_locked(now - ntp.second);
            ntp.second = now;
            break;
        }
        int leap = second_begin_locked(++ntp.second);
        if (leap != 0) {
            time_step(leap * NS_PER_S);
            ntp.second += leap;
            ntp.tai -= leap;
            stepped = true;
            log_info("time: a leap second %s", leap < 0 ? "23:59:60 UTC" : "without 23:59:59 UTC");
        }
    }
    rate_set_locked();
    time_set_tai(ntp.tai);
    return stepped;
}

static void timer_set_locked(void)
{
    if (busy_locked()) {
        ktime_t real = ktime_realtime();
        timer_arm(&ntp.timer, ktime_now() + NS_PER_S - real % NS_PER_S);
    }
}

static void timer_fired(struct timer *timer)
{
    (void)timer;
    uint64_t flags = spin_lock_irqsave(&ntp_lock);
    bool stepped = catch_up_locked();
    timer_set_locked();
    spin_unlock_irqrestore(&ntp_lock, flags);
    if (stepped) {
        time_tell_step();
    }
}

static void clear_locked(void)
{
    ntp.second = ktime_realtime() / NS_PER_S;
    ntp.adjust_us = ntp.adjusting_us = 0;
    ntp.offset = ntp.slewing = 0;
    ntp.leap_at = NEVER;
    ntp.status |= STA_UNSYNC;
    ntp.maxerror_us = ntp.esterror_us = ERROR_MAX_US;
    rate_set_locked();
}

void ntp_clear(void)
{
    uint64_t flags = spin_lock_irqsave(&ntp_lock);

    clear_locked();
    timer_set_locked();
    spin_unlock_irqrestore(&ntp_lock, flags);
}

int ntp_tai_offset(void)
{
    return atomic_load_relaxed(&ntp.tai);
}

void ntp_init(void)
{
    timer_init(&ntp.timer, timer_fired);
    ntp.second = ktime_realtime() / NS_PER_S;
}

/* ---- adjtimex ---- */

/* A new phase offset: RFC 1589, section 4, "hardupdate", for the frequency; adjtimex(2), ADJ_OFFSET. */
static void offset_update_locked(int64_t offset_ns)
{
    if ((ntp.status & STA_PLL) == 0) {
        return;
    }
    offset_ns = CLAMP(offset_ns, -OFFSET_MAX_NS, OFFSET_MAX_NS);
    int64_t now = ktime_realtime() / NS_PER_S;
    int64_t seconds = (ntp.status & STA_FREQHOLD) != 0 ? 0 : now - ntp.updated;
    int64_t change = 0;
    unsigned shift = (unsigned)(LOOP_SHIFT + 2 + ntp.constant);

    seconds = MAX(seconds, (int64_t)0);
    ntp.updated = now;
    ntp.status &= ~STA_MODE;
    if (seconds >= FLL_MIN_S && ((ntp.status & STA_FLL) != 0 || seconds > FLL_MAX_S)) {
        change = offset_ns * (1ll << (FRACTION - LOOP_SHIFT)) / seconds;
        ntp.status |= STA_MODE;
    }
    /* The loop's frequency gain: no interval longer than its time constant counts. */
    int64_t counted = MIN(seconds, 1ll << (LOOP_SHIFT + 1 + ntp.constant));
    int64_t gain = 2 * shift >= FRACTION ? offset_ns * counted / (1ll << (2 * shift - FRACTION))
                                         : offset_ns * counted * (1ll << (FRACTION - 2 * shift));
    ntp.freq = CLAMP(ntp.freq + change + gain, -FREQ_MAX, FREQ_MAX);
    ntp.offset = offset_ns * (1ll << FRACTION);
}

static void status_set_locked(int status)
{
    if ((ntp.status & STA_PLL) != 0 && (status & STA_PLL) == 0) {
        ntp.state = TIME_OK;
        ntp.status = STA_UNSYNC;
    }
    if ((ntp.status & STA_PLL) == 0 && (status & STA_PLL) != 0) {
        ntp.updated = ktime_realtime() / NS_PER_S;
    }
    ntp.status = (ntp.status & STA_RONLY) | (status & ~STA_RONLY);
}

static void modes_do_locked(const struct __kernel_timex *tx)
{
    unsigned modes = tx->modes;

    if ((modes & ADJ_STATUS) != 0) {
        status_set_locked(tx->status);
    }
    if ((modes & ADJ_NANO) != 0) {
        ntp.status |= STA_NANO;
    }
    if ((modes & ADJ_MICRO) != 0) {
        ntp.status &= ~STA_NANO;
    }
    if ((modes & ADJ_FREQUENCY) != 0) {
        ntp.freq = CLAMP(tx->freq * PPM_SCALE, -FREQ_MAX, FREQ_MAX);
    }
    if ((modes & ADJ_MAXERROR) != 0) {
        ntp.maxerror_us = CLAMP(tx->maxerror, 0ll, ERROR_MAX_US);
    }
    if ((modes & ADJ_ESTERROR) != 0) {
        ntp.esterror_us = CLAMP(tx->esterror, 0ll, ERROR_MAX_US);
    }
    if ((modes & ADJ_TIMECONST) != 0) {
        int64_t constant = CLAMP(tx->constant, 0ll, (long long)CONSTANT_MAX);
        ntp.constant =
            MIN((ntp.status & STA_NANO) != 0 ? constant : constant + 4, (int64_t)CONSTANT_MAX);
    }
    if ((modes & ADJ_TAI) != 0 && tx->constant >= 0 && tx->constant <= TAI_MAX) {
        atomic_store_relaxed(&ntp.tai, (int)tx->constant);
    }
    if ((modes & ADJ_OFFSET) != 0) {
        int64_t limit = OFFSET_MAX_NS; /* before multiplying */
        int64_t offset = CLAMP(tx->offset, -limit, limit);
        offset_update_locked((ntp.status & STA_NANO) != 0 ? offset : offset * NS_PER_US);
    }
    if ((modes & ADJ_TICK) != 0) {
        ntp.tick_us = tx->tick;
    }
}

static void fill_locked(struct __kernel_timex *tx)
{
    bool nano = (ntp.status & STA_NANO) != 0;
    ktime_t now = ktime_realtime();

    if ((tx->modes & MODE_ADJTIME) == 0) {
        tx->offset = shift_down(ntp.offset, FRACTION) / (nano ? 1 : NS_PER_US);
    }
    tx->freq = ntp.freq / PPM_SCALE;
    tx->maxerror = ntp.maxerror_us;
    tx->esterror = ntp.esterror_us;
    tx->status = ntp.status;
    tx->constant = ntp.constant;
    tx->precision = 1;
    tx->tolerance = FREQ_MAX / PPM_SCALE;
    tx->tick = ntp.tick_us;
    tx->tai = ntp.tai;
    tx->ppsfreq = tx->jitter = tx->stabil = 0; /* there is no pulse per second */
    tx->jitcnt = tx->calcnt = tx->errcnt = tx->stbcnt = 0;
    tx->shift = 0;
    tx->time.tv_sec = now / NS_PER_S;
    tx->time.tv_usec = now % NS_PER_S / (nano ? 1 : NS_PER_US);
}

/* adjtimex(2), "Errors". */
static int check(const struct __kernel_timex *tx, bool privileged)
{
    unsigned modes = tx->modes;
    bool adjtime = (modes & MODE_ADJTIME) != 0;
    bool changes = adjtime ? (modes & MODE_READONLY) == 0 : modes != 0;

    if (adjtime && (modes & ADJ_OFFSET) == 0) {
        return -EINVAL;
    }
    if ((changes || (modes & ADJ_SETOFFSET) != 0) && !privileged) {
        return -EPERM;
    }
    if (!adjtime && (modes & ADJ_TICK) != 0 &&
        (tx->tick < TICK_US - TICK_US / 10 || tx->tick > TICK_US + TICK_US / 10)) {
        return -EINVAL;
    }
    if ((modes & ADJ_SETOFFSET) != 0 &&
        (tx->time.tv_usec < 0 ||
         tx->time.tv_usec >= ((modes & ADJ_NANO) != 0 ? NS_PER_S : NS_PER_S / NS_PER_US) ||
         tx->time.tv_sec > INT64_MAX / NS_PER_S - 1 || tx->time.tv_sec < INT64_MIN / NS_PER_S)) {
        return -EINVAL;
    }
    if ((modes & ADJ_FREQUENCY) != 0 &&
        (tx->freq > INT64_MAX / PPM_SCALE || tx->freq < INT64_MIN / PPM_SCALE)) {
        return -EINVAL;
    }
    return 0;
}

/* Real time becomes its sum with the offset; -EINVAL: it is not to be set to that. */
static int step_offset(const struct __kernel_timex *tx)
{
    ktime_t unit = (tx->modes & ADJ_NANO) != 0 ? 1 : NS_PER_US, sum;
    ktime_t offset = tx->time.tv_sec * NS_PER_S + tx->time.tv_usec * unit;

    if (__builtin_add_overflow(ktime_realtime(), offset, &sum) || sum < ktime_now() ||
        sum >= KTIME_REAL_END) {
        return -EINVAL;
    }
    time_step(offset);
    ntp_clear();
    time_tell_step();
    return 0;
}

int ntp_adjust(struct __kernel_timex *tx, bool privileged)
{
    int err = check(tx, privileged);

    if (err == 0 && (tx->modes & ADJ_SETOFFSET) != 0) {
        err = step_offset(tx);
    }
    if (err < 0) {
        return err;
    }
    uint64_t flags = spin_lock_irqsave(&ntp_lock);
    bool stepped = catch_up_locked();
    if ((tx->modes & MODE_ADJTIME) != 0) {
        int64_t left = ntp.adjust_us;
        if ((tx->modes & MODE_READONLY) == 0) {
            ntp.adjust_us = tx->offset;
        }
        tx->offset = left;
    } else {
        modes_do_locked(tx);
    }
    fill_locked(tx);
    int result = (ntp.status & (STA_UNSYNC | STA_CLOCKERR)) != 0 ? TIME_ERROR : ntp.state;
    rate_set_locked();
    time_set_tai(ntp.tai);
    timer_set_locked();
    spin_unlock_irqrestore(&ntp_lock, flags);
    if (stepped) {
        time_tell_step();
    }
    return result;
}
