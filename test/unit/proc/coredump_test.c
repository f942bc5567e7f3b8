/* Core dumps: names from hostile patterns and programs, and files that are read back. */
#define TEST_SUITE "proc"
#include "test/unit/test.h"

#include <linux/elf.h>

#include "kernel/base/errno.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump.h"

static const struct coredump_facts facts = {
    .pid = 42,
    .tid = 43,
    .signal = 11,
    .dumpable = 1,
    .uid = 1000,
    .gid = 100,
    .limit = RLIM64_INFINITY,
    .time_s = 1234567890,
    .cpu = 3,
    .comm = "prog",
    .host = "box",
    .exe = "/usr/bin/program",
};

static const char *name_of(const char *pattern, bool uses_pid)
{
    static char name[128];

    EXPECT_EQ(coredump_name(pattern, uses_pid, &facts, name, sizeof(name)), 0);
    return name;
}

TEST(coredump_name, specifiers_are_replaced_and_unknown_ones_vanish)
{
    EXPECT_STR_EQ(name_of("core", false), "core");
    EXPECT_STR_EQ(name_of("core", true), "core.42");
    EXPECT_STR_EQ(name_of("core.%p", true), "core.42");
    EXPECT_STR_EQ(name_of("%e-%p-%i-%s-%u-%g-%d-%t-%C", false),
                  "prog-42-43-11-1000-100-1-1234567890-3");
    EXPECT_STR_EQ(name_of("/var/%h/%f.%E.%c", false), "/var/box/program.!usr!bin!program.-1");
    EXPECT_STR_EQ(name_of("%%a%Zb%", false), "%ab");
}

TEST(coredump_name, what_is_put_in_stays_inside_one_component)
{
    static const char *const hostile[] = {"../../etc/passwd", "..", ".", "", "/", "a/b"};
    static const char *const tame[] = {"..!..!etc!passwd", "!.", "!", "!", "!", "a!b"};
    char name[64];

    for (unsigned i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct coredump_facts evil = facts;
        evil.comm = hostile[i];
        EXPECT_EQ(coredump_name("%e", false, &evil, name, sizeof(name)), 0);
        EXPECT_STR_EQ(name, tame[i]);
    }
}

TEST(coredump_name, one_that_is_too_long_is_refused_and_nothing_written_behind_the_end)
{
    char name[20];

    memset(name, 'x', sizeof(name));
    EXPECT_EQ(coredump_name("%t%t%t", false, &facts, name, 12), -ENAMETOOLONG);
    for (unsigned i = 12; i < sizeof(name); i++) {
        EXPECT_EQ(name[i], 'x');
    }
}

/* ---- the file ---- */

struct memory_sink {
    struct coredump_sink sink;
    uint8_t *data;
    size_t len, size, fail_at;
};

static int memory_write(struct coredump_sink *sink, const void *data, size_t len)
{
    struct memory_sink *to = container_of(sink, struct memory_sink, sink);

    if (to->len + len > to->fail_at) {
        return -EFBIG;
    }
    EXPECT_LE(to->len + len, to->size);
    memcpy(to->data + to->len, data, len);
    to->len += len;
    return 0;
}

static int memory_skip(struct coredump_sink *sink, uint64_t len)
{
    struct memory_sink *to = container_of(sink, struct memory_sink, sink);

    EXPECT_LE(to->len + len, to->size);
    memset(to->data + to->len, 0, len);
    to->len += len;
    return 0;
}

static bool page_of(void *context, const struct coredump_segment *segment, uint64_t va, void *page)
{
    (void)context, (void)segment;
    if (va / PAGE_SIZE % 3 == 0) {
        return false;
    }
    memset(page, (int)(va / PAGE_SIZE), PAGE_SIZE);
    return true;
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static void dump_check(const struct memory_sink *file, const struct coredump_image *image,
                       uint64_t nphdrs)
{
    const Elf64_Ehdr *header = (const void *)file->data;
    const Elf64_Phdr *phdrs = (const void *)(file->data + header->e_phoff);
    size_t end = 0;

    EXPECT_EQ(header->e_type, ET_CORE);
    EXPECT_EQ(phdrs[0].p_type, PT_NOTE);
    EXPECT_EQ(phdrs[0].p_filesz, image->notes_bytes);
    EXPECT_MEM_EQ(file->data + phdrs[0].p_offset, image->notes, image->notes_bytes);
    for (uint64_t i = 1; i < nphdrs; i++) {
        const struct coredump_segment *segment = &image->segments[i - 1];
        EXPECT_EQ(phdrs[i].p_type, PT_LOAD);
        EXPECT_EQ(phdrs[i].p_vaddr, segment->start);
        EXPECT_EQ(phdrs[i].p_memsz, segment->end - segment->start);
        EXPECT_EQ(phdrs[i].p_filesz, segment->dump_bytes);
        EXPECT_EQ(phdrs[i].p_flags, segment->flags);
        EXPECT_EQ(phdrs[i].p_offset % PAGE_SIZE, 0);
        for (uint64_t at = 0; at < segment->dump_bytes; at += PAGE_SIZE) {
            uint64_t page = (segment->start + at) / PAGE_SIZE;
            uint8_t expected = segment->empty || page % 3 == 0 ? 0 : (uint8_t)page;
            EXPECT_EQ(file->data[phdrs[i].p_offset + at], expected);
            EXPECT_EQ(file->data[phdrs[i].p_offset + at + PAGE_SIZE - 1], expected);
        }
        end = phdrs[i].p_offset + phdrs[i].p_filesz;
    }
    EXPECT_EQ(end, file->len);
}

static const struct coredump_segment few[] = {
    {.start = 0x400000, .end = 0x408000, .dump_bytes = PAGE_SIZE, .flags = PF_R | PF_X},
    {.start = 0x600000, .end = 0x604000, .dump_bytes = 0x4000, .flags = PF_R | PF_W},
    {.start = 0x700000, .end = 0x702000, .dump_bytes = 0x2000, .flags = PF_R, .empty = true},
    {.start = 0x800000, .end = 0x801000, .dump_bytes = 0},
};

static struct memory_sink sink_make(size_t size)
{
    struct memory_sink sink = {.sink = {memory_write, memory_skip},
                               .data = vmalloc(size),
                               .size = size,
                               .fail_at = SIZE_MAX};

    EXPECT(sink.data != NULL);
    return sink;
}

TEST(coredump_elf, a_file_reads_back_as_it_was_meant)
{
    struct coredump_notes notes = {.data = NULL};
    uint32_t *desc = coredump_note(&notes, "CORE", NT_PRSTATUS, 10);
    struct memory_sink file = sink_make(1 << 20);

    EXPECT(desc != NULL);
    EXPECT_EQ(notes.len, sizeof(Elf64_Nhdr) + 8 + 12);
    EXPECT(coredump_note(&notes, "LINUX", NT_X86_XSTATE, 9000) != NULL);
    const struct coredump_image image = {.segments = few,
                                         .nsegments = ARRAY_SIZE(few),
                                         .notes = notes.data,
                                         .notes_bytes = notes.len,
                                         .page = page_of,
                                         .interrupted = never};
    EXPECT_EQ(coredump_write(&image, &file.sink), 0);
    dump_check(&file, &image, ARRAY_SIZE(few) + 1);
    EXPECT_EQ(((const Elf64_Ehdr *)(const void *)file.data)->e_phnum, ARRAY_SIZE(few) + 1);
    vfree(notes.data);
    vfree(file.data);
}

TEST(coredump_elf, many_regions_are_counted_in_a_section_header)
{
    const size_t n = 70000;
    struct coredump_segment *segments = vmalloc(n * sizeof(*segments));
    struct memory_sink file = sink_make(8 << 20);
    uint32_t note[4] = {0};

    EXPECT(segments != NULL);
    for (size_t i = 0; i < n; i++) {
        segments[i] = (struct coredump_segment){
            .start = i * 0x2000, .end = i * 0x2000 + 0x1000, .flags = PF_R};
    }
    const struct coredump_image image = {.segments = segments,
                                         .nsegments = n,
                                         .notes = note,
                                         .notes_bytes = sizeof(note),
                                         .page = page_of,
                                         .interrupted = never};
    EXPECT_EQ(coredump_write(&image, &file.sink), 0);
    const Elf64_Ehdr *header = (const void *)file.data;
    EXPECT_EQ(header->e_phnum, PN_XNUM);
    EXPECT_EQ(((const Elf64_Shdr *)(const void *)(file.data + header->e_shoff))->sh_info, n + 1);
    dump_check(&file, &image, n + 1);
    vfree(segments);
    vfree(file.data);
}

TEST(coredump_elf, it_ends_at_the_sinks_first_error_and_when_it_is_interrupted)
{
    uint32_t note[4] = {0};
    struct coredump_image image = {.segments = few,
                                   .nsegments = ARRAY_SIZE(few),
                                   .notes = note,
                                   .notes_bytes = sizeof(note),
                                   .page = page_of,
                                   .interrupted = never};
    struct memory_sink file = sink_make(1 << 20);

    for (size_t limit = 0; limit < 0x5000; limit += 100) {
        file.len = 0;
        file.fail_at = limit;
        EXPECT_EQ(coredump_write(&image, &file.sink), -EFBIG);
    }
    file.len = 0;
    file.fail_at = SIZE_MAX;
    image.interrupted = at_once;
    EXPECT_EQ(coredump_write(&image, &file.sink), -EINTR);
    vfree(file.data);
}
