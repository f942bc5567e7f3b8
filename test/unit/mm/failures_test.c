#define TEST_SUITE "mm"
#include "test/unit/failures.h"

#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/vmem.h"

#define BASE 0xffffd00000000000ull

static bool attempt_vmalloc(void)
{
    uint8_t *block = vmalloc(40 * PAGE_SIZE);

    if (block == NULL) {
        return false;
    }
    block[40 * PAGE_SIZE - 1] = 1;
    vfree(block);
    return true;
}

/* More than a CPU keeps, so that mappings are made and taken apart. */
static bool attempt_stacks(void)
{
    void *stacks[40];
    unsigned n = 0;

    while (n < ARRAY_SIZE(stacks) && (stacks[n] = kstack_alloc()) != NULL) {
        n++;
    }
    bool done = n == ARRAY_SIZE(stacks);
    while (n > 0) {
        kstack_free(stacks[--n]);
    }
    return done;
}

static bool attempt_cache(void)
{
    struct slab_cache *cache = slab_cache_create("test-failures", 1000, 0, 0, NULL);
    void *objects[40];
    unsigned n = 0;

    if (cache == NULL) {
        return false;
    }
    while (n < ARRAY_SIZE(objects) && (objects[n] = slab_alloc(cache, 0)) != NULL) {
        n++;
    }
    bool done = n == ARRAY_SIZE(objects);
    while (n > 0) {
        slab_free(cache, objects[--n]);
    }
    slab_cache_destroy(cache);
    return done;
}

/* The block lives, with its content, when it cannot be moved. */
static bool attempt_krealloc(void)
{
    char *text = kstrdup("a sentence that is kept");
    static const size_t sizes[] = {100, 40, 3000, 9000, 30000, 24};
    bool done = text != NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(sizes) && text != NULL; i++) {
        char *moved = krealloc(text, sizes[i]);
        done = done && moved != NULL;
        text = moved != NULL ? moved : text;
        EXPECT_STR_EQ(text, "a sentence that is kept");
    }
    kfree(text);
    return done;
}

static struct vmem parent, child;

static uint64_t import(void *arg, uint64_t len)
{
    return vmem_alloc(arg, len, VMEM_FIRST_FIT);
}

static void release(void *arg, uint64_t start, uint64_t len)
{
    vmem_free(arg, start, len);
}

static void count_tag(const struct slab_object *object, void *arg)
{
    *(unsigned *)arg += strcmp(object->cache_name, "vmem_tag") == 0;
}

static unsigned tags_in_use(void)
{
    unsigned n = 0;

    slab_objects_walk(count_tag, &n);
    return n;
}

/* Many pieces, so that the table of them grows. */
static bool attempt_vmem(void)
{
    static const struct vmem_source source = {import, release, &parent, 64 * PAGE_SIZE};
    static uint64_t starts[200];
    struct vmem_stats stats;
    unsigned n = 0, ntags = tags_in_use();

    vmem_init(&parent, "parent", PAGE_SIZE, NULL);
    vmem_init(&child, "child", PAGE_SIZE, &source);
    bool done = vmem_add_span(&parent, BASE, GIB(1)) == 0;
    for (; done && n < ARRAY_SIZE(starts); n++) {
        starts[n] = vmem_alloc_aligned(&child, (n % 5 + 1) * PAGE_SIZE, PAGE_SIZE << n % 4,
                                       (enum vmem_policy)(n % 3));
        if (starts[n] == 0) {
            done = false;
            break;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        vmem_free(&child, starts[i], (i % 5 + 1) * PAGE_SIZE);
    }
    vmem_stats(&parent, &stats);
    EXPECT_EQ(stats.nused, 0); /* all spans are back */
    vmem_stats(&child, &stats);
    EXPECT_EQ(stats.nspans, 0);
    vmem_fini(&child);
    vmem_fini(&parent);
    EXPECT_EQ(tags_in_use(), ntags);
    return done;
}

TEST(failures, vmalloc)
{
    EXPECT_GT(every_allocation_fails(attempt_vmalloc), 0);
}

TEST(failures, kernel_stacks)
{
    EXPECT_GT(every_allocation_fails(attempt_stacks), 0);
}

TEST(failures, object_caches)
{
    EXPECT_GT(every_allocation_fails(attempt_cache), 0);
}

TEST(failures, krealloc)
{
    EXPECT_GT(every_allocation_fails(attempt_krealloc), 0);
}

TEST(failures, arenas)
{
    EXPECT_GT(every_allocation_fails(attempt_vmem), 0);
}
