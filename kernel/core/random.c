/*
 * The random generator: ChaCha20 with fast key erasure (Bernstein, "Fast-key-erasure random-number generators", 2017).
 *
 * Each CPU has a key and a block of output made with it. Making a block spends its first 32 bytes on the next key, so what was
 * handed out before cannot be computed from what the memory holds now; bytes are wiped as they are handed out. A small request
 * is a copy out of this block. A large one takes a key for itself from the block and runs its own stream.
 *
 * All keys come from one pool, which swallows seeds: 32 bytes are xored into the pool, and the pool becomes the output of ChaCha20
 * under itself as the key. So mixing in never loses what the pool holds, and cannot be run backwards. A CPU takes a new key from
 * the pool when the pool's generation has changed since: when the generator becomes ready, and later once per RESEED_NS if
 * anything has come in.
 *
 * Interrupts feed a per-CPU accumulator with the cycle counter; every INTERRUPTS_PER_MIX of them go into the pool, for one credited
 * bit: most of their timing is no secret. A machine with neither a seed nor a generator would wait for minutes; so when somebody waits a thread
 * (kernel/sched/random_wait.h) times the processor's own work (Müller, "CPU Time Jitter Based Non-Physical True Random Number Generator", 2014).
 *
 * Locks: pool_lock (spin, irqsave). Per-CPU states: interrupts off, own CPU only.
 */
#include "kernel/core/random.h"

#include "kernel/base/chacha20.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/machine/cpu.h"
#include "kernel/sync/spinlock.h"

#define KEY_BYTES          32u
#define CHACHA_BYTES       64u
#define BLOCK_BYTES        512u /* per CPU; the first KEY_BYTES of each become the next key */
#define READY_BITS         256u
#define RESEED_NS          (60 * NS_PER_S)
#define INTERRUPTS_PER_MIX 64u
#define JITTER_SAMPLES     64u

struct random_cpu {
    uint32_t key[8];
    uint32_t left;       /* bytes not yet handed out, at the end of `block` */
    uint32_t generation; /* of the pool, when `key` was taken from it */
    uint8_t block[BLOCK_BYTES] __aligned(8);
    uint64_t interrupts[4]; /* accumulator */
    uint32_t ninterrupts;
};

static DEFINE_PER_CPU(struct random_cpu, random_cpu);

/* Locks:  p pool_lock   a atomic, written under pool_lock */
static struct spinlock pool_lock = SPINLOCK_INIT("random pool");
static uint32_t pool[8];          /* [p] */
static uint32_t pool_counter;     /* [p] so that a key and a mix never use the same block */
static unsigned pool_credit_bits; /* [a] up to READY_BITS */
static uint32_t pool_generation;  /* [a] */
static bool pool_has_news;        /* [p] something came in since the last generation */
static ktime_t pool_reseed_at;    /* [a] */

static const uint32_t nonce_mix[3] = {0x6b6e7453, 0, 1};
static const uint32_t nonce_take[3] = {0x6b6e7453, 0, 2};
static const uint32_t nonce_stream[3] = {0x6b6e7453, 0, 3};

/* ---- the pool ---- */

static void pool_mix_locked(const uint8_t *data, size_t len_bytes)
{
    uint8_t out[CHACHA_BYTES];

    while (len_bytes > 0) {
        uint32_t chunk[8] = {0};
        size_t n = MIN(len_bytes, sizeof(chunk));
        memcpy(chunk, data, n);
        for (unsigned i = 0; i < 8; i++) {
            pool[i] ^= chunk[i];
        }
        chacha20_block(pool, pool_counter++, nonce_mix, out);
        memcpy(pool, out, KEY_BYTES);
        data += n;
        len_bytes -= n;
        mem_wipe(chunk, sizeof(chunk));
    }
    mem_wipe(out, sizeof(out));
    pool_has_news = true;
}

/* Let all CPUs take new keys. */
static void pool_next_generation_locked(void)
{
    pool_has_news = false;
    atomic_store_relaxed(&pool_reseed_at, ktime_now() + RESEED_NS);
    atomic_store_release(&pool_generation, pool_generation + 1);
}

static void pool_credit_locked(unsigned bits)
{
    unsigned before = pool_credit_bits;

    if (before >= READY_BITS) {
        return;
    }
    atomic_store_relaxed(&pool_credit_bits, before + MIN(bits, READY_BITS - before));
    if (pool_credit_bits == READY_BITS) {
        pool_next_generation_locked();
    }
}

void random_add(const void *data, size_t len_bytes, unsigned credit_bits)
{
    uint64_t flags = spin_lock_irqsave(&pool_lock);

    pool_mix_locked(data, len_bytes);
    pool_credit_locked(credit_bits);
    spin_unlock_irqrestore(&pool_lock, flags);
}

bool random_ready(void)
{
    return atomic_load_relaxed(&pool_credit_bits) == READY_BITS;
}

/* Words of the CPU's own generator; returns how many came. */
static unsigned mix_from_cpu(unsigned nwords)
{
    uint64_t word;
    unsigned n = 0;

    for (; n < nwords && cpu_random_u64(&word); n++) {
        random_add(&word, sizeof(word), 0);
    }
    return n;
}

int random_reseed(void)
{
    if (!random_ready()) {
        return -ENODATA;
    }
    (void)mix_from_cpu(KEY_BYTES / sizeof(uint64_t));
    uint64_t flags = spin_lock_irqsave(&pool_lock);
    pool_next_generation_locked();
    spin_unlock_irqrestore(&pool_lock, flags);
    return 0;
}

/* ---- a CPU's state; interrupts off ---- */

/* A key that the pool's own future does not reveal, nor the other way round, mixed into the one that the CPU has. */
static void take_key(struct random_cpu *cpu)
{
    uint8_t out[CHACHA_BYTES];
    uint32_t fresh[8];

    spin_lock(&pool_lock);
    if (pool_has_news && ktime_now() >= pool_reseed_at) {
        pool_next_generation_locked();
    }
    cpu->generation = pool_generation;
    chacha20_block(pool, pool_counter++, nonce_take, out);
    memcpy(pool, out, KEY_BYTES);
    spin_unlock(&pool_lock);
    memcpy(fresh, out + KEY_BYTES, KEY_BYTES);
    for (unsigned i = 0; i < 8; i++) {
        cpu->key[i] ^= fresh[i];
    }
    mem_wipe(out, sizeof(out));
    mem_wipe(fresh, sizeof(fresh));
}

static __noinline void refill(struct random_cpu *cpu)
{
    bool due = ktime_now() >= atomic_load_relaxed(&pool_reseed_at);

    if (due) {
        (void)mix_from_cpu(KEY_BYTES / sizeof(uint64_t));
    }
    if (due || cpu->generation != atomic_load_acquire(&pool_generation)) {
        take_key(cpu);
    }
    for (uint32_t i = 0; i < BLOCK_BYTES / CHACHA_BYTES; i++) {
        chacha20_block(cpu->key, i, nonce_stream, cpu->block + i * CHACHA_BYTES);
    }
    memcpy(cpu->key, cpu->block, KEY_BYTES);
    mem_wipe(cpu->block, KEY_BYTES);
    cpu->left = BLOCK_BYTES - KEY_BYTES;
}

/* At most BLOCK_BYTES - KEY_BYTES bytes. Any context. */
static void take_bytes(void *buf, size_t len_bytes)
{
    uint64_t flags = irq_save();
    struct random_cpu *cpu = this_cpu_ptr(random_cpu);
    uint8_t *from;

    if (cpu->left < len_bytes || cpu->generation != atomic_load_relaxed(&pool_generation)) {
        refill(cpu);
    }
    from = cpu->block + BLOCK_BYTES - cpu->left;
    cpu->left -= (uint32_t)len_bytes;
    memcpy(buf, from, len_bytes);
    memset(from, 0, len_bytes);
    irq_restore(flags);
}

void random_bytes(void *buf, size_t len_bytes)
{
    uint32_t key[8];
    uint8_t last[CHACHA_BYTES], *out = buf;
    uint32_t counter = 0;

    if (len_bytes <= 128) {
        take_bytes(buf, len_bytes);
        return;
    }
    take_bytes(key, sizeof(key));
    for (; len_bytes >= CHACHA_BYTES; out += CHACHA_BYTES, len_bytes -= CHACHA_BYTES) {
        chacha20_block(key, counter++, nonce_stream, out);
        if (counter == 0) { /* 256 GiB */
            take_bytes(key, sizeof(key));
        }
    }
    if (len_bytes > 0) {
        chacha20_block(key, counter, nonce_stream, last);
        memcpy(out, last, len_bytes);
        mem_wipe(last, sizeof(last));
    }
    mem_wipe(key, sizeof(key));
}

uint64_t random_u64(void)
{
    uint64_t value;

    take_bytes(&value, sizeof(value));
    return value;
}

/* Lemire, "Fast random integer generation in an interval", 2019. */
uint64_t random_below(uint64_t bound)
{
    __uint128_t product = (__uint128_t)random_u64() * bound;

    if ((uint64_t)product < bound) {
        uint64_t threshold = (0 - bound) % bound;
        while ((uint64_t)product < threshold) {
            product = (__uint128_t)random_u64() * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

/* ---- seeding ---- */

void random_add_interrupt(unsigned line)
{
    struct random_cpu *cpu = this_cpu_ptr(random_cpu);
    uint64_t x = cpu_cycles() ^ ((uint64_t)line << 56);
    uint64_t *slot = &cpu->interrupts[cpu->ninterrupts % 4];

    /* Not a hash: only keeps the changes of many samples apart until the pool swallows them. */
    *slot = ((*slot << 7) | (*slot >> 57)) ^ (x * 0x9e3779b97f4a7c15ull);
    if (++cpu->ninterrupts % INTERRUPTS_PER_MIX == 0) {
        random_add(cpu->interrupts, sizeof(cpu->interrupts), 1);
    }
}

void random_add_jitter(void)
{
    uint64_t last = cpu_cycles(), delta = 0, delta2 = 0;
    unsigned nstuck = 0;

    for (unsigned i = 0; i < JITTER_SAMPLES; i++) {
        random_add(&last, sizeof(last), 0); /* is also the work that is timed */
        uint64_t now = cpu_cycles(), d = now - last, d2 = d - delta, d3 = d2 - delta2;
        nstuck += d == 0 || d2 == 0 || d3 == 0; /* Müller's stuck test: time goes on regularly */
        last = now, delta = d, delta2 = d2;
    }
    random_add(&last, sizeof(last), nstuck < JITTER_SAMPLES / 2 ? 1 : 0);
}

void random_init(uint8_t *seed, size_t len_bytes, bool seed_is_good)
{
    uint64_t cycles = cpu_cycles();
    bool trust_cpu = param_bool("random.trust_cpu", true);
    bool trust_loader = param_bool("random.trust_bootloader", true);

    random_add(seed, len_bytes, 0);
    mem_wipe(seed, len_bytes);
    random_add(&cycles, sizeof(cycles), 0);
    unsigned ncpu = mix_from_cpu(KEY_BYTES / sizeof(uint64_t));
    uint64_t flags = spin_lock_irqsave(&pool_lock);
    if (seed_is_good && trust_loader) {
        pool_credit_locked((unsigned)MIN(len_bytes * 8, (size_t)READY_BITS));
    }
    if (trust_cpu) {
        pool_credit_locked(ncpu * 64);
    }
    spin_unlock_irqrestore(&pool_lock, flags);
    log_info("random: %s (%s%s%s)", random_ready() ? "ready" : "waiting for entropy",
             seed_is_good ? "loader" : "", seed_is_good && ncpu != 0 ? ", " : "",
             ncpu != 0 ? "processor" : "");
}
