/*
 * The kernel log: records in two rings, one of fixed descriptors (so that a sequence number finds its record at once) and
 * one of text. A new record pushes out as many of the oldest as its text and descriptor need.
 *
 * Writers format on their own stack, then store the record under `ring_lock`, with interrupts off. A writer that finds the lock
 * held by its own CPU (an NMI or a fault came in between) counts its record as lost. The writer then becomes the one who feeds the
 * consoles, unless somebody else already is: that one will not leave before it has seen the new record. So consoles are
 * written by one CPU at a time, in order, outside ring_lock, and no writer ever waits for a console.
 *
 * The locks are used raw: the lock checker reports through this file.
 *
 * Locks:  r ring_lock   c console_busy   a atomic
 */
#include "kernel/core/log.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/param.h"
#include "kernel/machine/console.h"
#include "kernel/sync/spinlock.h"

#define NRECORDS      1024u
#define TEXT_BYTES    65536u
#define TEXT_MAX      1024u /* longest text of one record */
#define FORMAT_MAX    480u  /* longest text of the kernel's own: it is formatted on the stack */
#define PREFIX_MAX    32u   /* "[12345.678901] " */
#define LEVEL_DEFAULT 7
#define LEVEL_QUIET   4
#define LEVEL_LEAST   1
#define LEVEL_ALL     (LOG_DEBUG + 1)

struct record {
    ktime_t time;
    uint32_t offset; /* of the text, free-running: modulo TEXT_BYTES in the ring */
    uint16_t len_bytes;
    uint8_t level;
    uint8_t facility;
};

static struct record records[NRECORDS]; /* [r] sequence % NRECORDS */
static char text_ring[TEXT_BYTES];      /* [r] */
static uint32_t text_head;              /* [r] free-running */
static uint64_t first_sequence;         /* [r] oldest record */
static uint64_t next_sequence;          /* [r] written last, with release */
static uint64_t clear_sequence;         /* [a] */
static uint64_t lost;                   /* [a] records that could not be stored */
static struct spinlock ring_lock;
static uint32_t ring_owner; /* [a] CPU id + 1 of the holder */

static bool console_busy;            /* [a] a lock that nobody waits for, but to register */
static struct log_console *consoles; /* [c] */
static uint64_t console_sequence;    /* [c] next record to write to the consoles */
static uint64_t early_end;           /* [c] first record that the early console was not given */
static char console_line[PREFIX_MAX + TEXT_MAX + 2]; /* [c] */
static int console_level = LEVEL_DEFAULT;            /* [a] */
static int level_when_on; /* [a] what the level was before log_console_off(); 0: it is on */

static bool alone; /* [a] no other CPU runs */

void (*log_wake_hook)(void);
ktime_t (*log_clock_hook)(void);

/* ---- the ring ---- */

/* False: this CPU already holds it, so the caller interrupted itself. Interrupts are off on success. */
static bool ring_enter(uint64_t *ret_flags)
{
    uint64_t flags = irq_save();

    if (atomic_load_relaxed(&ring_owner) == cpu_id() + 1) {
        irq_restore(flags);
        return false;
    }
    spin_lock_raw_(&ring_lock);
    atomic_store_relaxed(&ring_owner, cpu_id() + 1);
    *ret_flags = flags;
    return true;
}

static void ring_leave(uint64_t flags)
{
    atomic_store_relaxed(&ring_owner, 0);
    spin_unlock_raw_(&ring_lock);
    irq_restore(flags);
}

static void ring_copy_in(uint32_t offset, const char *text, size_t len_bytes)
{
    size_t at = offset % TEXT_BYTES;
    size_t first = MIN(len_bytes, TEXT_BYTES - at);

    memcpy(text_ring + at, text, first);
    memcpy(text_ring, text + first, len_bytes - first);
}

static void ring_copy_out(uint32_t offset, char *text, size_t len_bytes)
{
    size_t at = offset % TEXT_BYTES;
    size_t first = MIN(len_bytes, TEXT_BYTES - at);

    memcpy(text, text_ring + at, first);
    memcpy(text + first, text_ring, len_bytes - first);
}

static void store_locked(unsigned level, uint8_t facility, const char *text, size_t len_bytes)
{
    uint64_t first = first_sequence;

    /* Make room before anything is overwritten: a reader after a panic sees no torn record. */
    while (first < next_sequence &&
           (next_sequence - first >= NRECORDS ||
            text_head + (uint32_t)len_bytes - records[first % NRECORDS].offset > TEXT_BYTES)) {
        first++;
    }
    first_sequence = first;
    ring_copy_in(text_head, text, len_bytes);
    records[next_sequence % NRECORDS] = (struct record){
        .time = log_clock_hook != NULL ? log_clock_hook() : 0,
        .offset = text_head,
        .len_bytes = (uint16_t)len_bytes,
        .level = (uint8_t)level,
        .facility = facility,
    };
    text_head += (uint32_t)len_bytes;
    /* Pairs with the acquire in log_next_sequence(), and orders it before console_try() of consoles_flush(). */
    __atomic_store_n(&next_sequence, next_sequence + 1, __ATOMIC_SEQ_CST);
}

static void store(unsigned level, uint8_t facility, const char *text, size_t len_bytes)
{
    char note[48];
    uint64_t flags, nlost;

    if (!ring_enter(&flags)) {
        (void)atomic_fetch_add_relaxed(&lost, 1);
        return;
    }
    nlost = atomic_exchange(&lost, 0);
    if (nlost != 0) {
        int len = kscnprintf(note, sizeof(note), "log: %lu records lost", nlost);
        store_locked(LOG_WARNING, 0, note, (size_t)len);
    }
    store_locked(level, facility, text, len_bytes);
    ring_leave(flags);
}

size_t log_read(uint64_t *seq, struct log_record *ret_record, char *buf, size_t size)
{
    const struct record *record;
    size_t len = 0;
    uint64_t flags;

    if (!ring_enter(&flags)) {
        return 0;
    }
    if (*seq < next_sequence) {
        *seq = MAX(*seq, first_sequence);
        record = &records[*seq % NRECORDS];
        *ret_record = (struct log_record){.sequence = *seq,
                                          .time = record->time,
                                          .level = record->level,
                                          .facility = record->facility};
        len = record->len_bytes;
        ring_copy_out(record->offset, buf, MIN(len, size));
    }
    ring_leave(flags);
    return MIN(len, size);
}

uint64_t log_first_sequence(void)
{
    return atomic_load_relaxed(&first_sequence);
}

uint64_t log_next_sequence(void)
{
    return atomic_load_acquire(&next_sequence);
}

void log_clear(void)
{
    atomic_store_relaxed(&clear_sequence, log_next_sequence());
}

uint64_t log_clear_sequence(void)
{
    return MAX(atomic_load_relaxed(&clear_sequence), log_first_sequence());
}

/* ---- consoles ---- */

/* "[    1.234567] text\n" of the record at or after *seq into console_line; 0: none. Holder of console_busy. */
static size_t format_line(uint64_t *seq, struct log_record *ret_record)
{
    char *text = console_line + PREFIX_MAX;
    size_t len = log_read(seq, ret_record, text, TEXT_MAX);
    int prefix;

    if (len == 0) {
        return 0;
    }
    uint64_t us = (uint64_t)ret_record->time / 1000;
    prefix = kscnprintf(console_line, PREFIX_MAX, "[%5lu.%06lu] ", us / 1000000, us % 1000000);
    memmove(console_line + prefix, text, len);
    console_line[(size_t)prefix + len] = '\n';
    return (size_t)prefix + len + 1;
}

static void write_line(size_t len)
{
    if (consoles == NULL) {
        console_early_write(console_line, len);
    }
    for (struct log_console *console = consoles; console != NULL; console = console->next) {
        console->write(console, console_line, len);
    }
}

/* Write what the consoles have not seen. Holder of console_busy. */
static void consoles_feed(void)
{
    struct log_record record;
    size_t len;

    while ((len = format_line(&console_sequence, &record)) > 0) {
        console_sequence = record.sequence + 1;
        if (consoles == NULL) {
            early_end = console_sequence;
        }
        if ((int)record.level < atomic_load_relaxed(&console_level)) {
            write_line(len);
        }
    }
}

static bool console_try(void)
{
    return !__atomic_exchange_n(&console_busy, true, __ATOMIC_SEQ_CST);
}

static void console_leave(void)
{
    __atomic_store_n(&console_busy, false, __ATOMIC_SEQ_CST);
}

static void consoles_flush(void)
{
    /* After leaving look again: a record stored while we held the lock relies on us. */
    do {
        preempt_disable();
        if (!console_try()) {
            preempt_enable();
            return;
        }
        consoles_feed();
        uint64_t seen = console_sequence;
        console_leave();
        preempt_enable();
        if (seen >= __atomic_load_n(&next_sequence, __ATOMIC_SEQ_CST)) {
            return;
        }
    } while (true);
}

/* Preemption is off while the lock is held, so whoever has it runs: waiting is short. Thread context. */
static void console_wait(void)
{
    preempt_disable();
    while (!console_try()) {
        cpu_relax();
    }
}

void log_console_register(struct log_console *console)
{
    struct log_record record;
    uint64_t seq;
    size_t len;

    console_wait();
    consoles_feed();
    seq = console->replay ? 0 : console->replaces_early ? early_end : console_sequence;
    while ((len = format_line(&seq, &record)) > 0) {
        if ((int)record.level < atomic_load_relaxed(&console_level)) {
            console->write(console, console_line, len);
        }
        seq = record.sequence + 1;
        console_sequence = MAX(console_sequence, seq);
    }
    console->next = consoles;
    consoles = console;
    console_leave();
    preempt_enable();
    consoles_flush();
}

void log_console_unregister(struct log_console *console)
{
    console_wait();
    for (struct log_console **link = &consoles; *link != NULL; link = &(*link)->next) {
        if (*link == console) {
            *link = console->next;
            break;
        }
    }
    console_leave();
    preempt_enable();
    consoles_flush();
}

void log_set_console_level(int level)
{
    atomic_store_relaxed(&console_level, CLAMP(level, LEVEL_LEAST, LEVEL_ALL));
}

int log_console_level(void)
{
    return atomic_load_relaxed(&console_level);
}

void log_console_off(void)
{
    int on = 0;

    (void)atomic_cas(&level_when_on, &on, log_console_level());
    log_set_console_level(LEVEL_LEAST);
}

void log_console_on(void)
{
    int level = atomic_exchange(&level_when_on, 0);

    if (level != 0) {
        log_set_console_level(level);
    }
}

/* ---- writing ---- */

static void write_record(unsigned level, uint8_t facility, const char *text, size_t len_bytes)
{
    while (len_bytes > 0 && text[len_bytes - 1] == '\n') {
        len_bytes--;
    }
    if (len_bytes == 0) {
        return;
    }
    store(level, facility, text, len_bytes);
    if ((preempt_count() & PREEMPT_NMI_ONE) != 0 && !log_stands_alone()) {
        return; /* whoever logs next feeds the consoles */
    }
    consoles_flush();
    if (log_wake_hook != NULL && !log_stands_alone()) {
        log_wake_hook();
    }
}

void log_vwrite(enum log_level level, const char *fmt, va_list args)
{
    char text[FORMAT_MAX];
    int len = kvsnprintf(text, sizeof(text), fmt, args);

    write_record(level, 0, text, MIN((size_t)len, sizeof(text) - 1));
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_vwrite(level, fmt, args);
    va_end(args);
}

void log_write_user(enum log_level level, uint8_t facility, const char *text, size_t len_bytes)
{
    write_record(level, facility, text, MIN(len_bytes, (size_t)TEXT_MAX));
}

void log_stand_alone(void)
{
    ring_lock.value = 0;
    ring_owner = 0;
    console_busy = false;
    atomic_store_relaxed(&alone, true);
}

bool log_stands_alone(void)
{
    return atomic_load_relaxed(&alone);
}

void log_panic_begin(void)
{
    bool shown = atomic_load_relaxed(&console_level) > LOG_INFO;
    uint64_t tail = log_next_sequence();

    atomic_store_relaxed(&console_level, LEVEL_ALL);
    if (!shown) {
        /* The consoles were quiet: the last lines may tell what led here. */
        console_sequence = MIN(console_sequence, tail > 16 ? tail - 16 : 0);
    }
    consoles_flush();
}

/* ---- parameters ---- */

static void param_loglevel(const char *value)
{
    uint64_t level;

    if (str_to_u64(value, 10, &level) == 0) {
        log_set_console_level((int)MIN(level, (uint64_t)LEVEL_ALL));
    }
}

static void param_quiet(const char *value)
{
    (void)value;
    log_set_console_level(LEVEL_QUIET);
}

static void param_debug(const char *value)
{
    (void)value;
    log_set_console_level(LEVEL_ALL);
}

PARAM_HANDLER(loglevel, param_loglevel);
PARAM_HANDLER(quiet, param_quiet);
PARAM_HANDLER(debug, param_debug);
