/*
 * Address space layout randomisation: how many bits of each address differ over many executions of one program, and that it can be
 * switched off (personality(2), /proc/sys/kernel/randomize_va_space).
 *
 * The program is made here: one page of code that can run anywhere and writes down where it found things.
 */
#include <elf.h>
#include <sys/personality.h>

#include "abi.h"

#define PAGE_BITS 12
#define SAMPLES   200
#define SETTING   "/proc/sys/kernel/randomize_va_space"

enum place { STACK, IMAGE, BRK, MMAP, VDSO, NPLACES };
struct sample {
    unsigned long at[NPLACES];
};

/* Writes a struct sample to descriptor 1. */
__asm__(
    ".pushsection .rodata\n"
    "show_places:\n"
    "    mov %rsp, %r12\n"
    "    sub $40, %rsp\n"
    "    mov %r12, (%rsp)\n"
    "    lea show_places(%rip), %rax\n"
    "    mov %rax, 8(%rsp)\n"
    "    xor %edi, %edi\n"
    "    mov $12, %eax\n" /* brk(0) */
    "    syscall\n"
    "    mov %rax, 16(%rsp)\n"
    "    mov $4096, %esi\n"
    "    mov $3, %edx\n"
    "    mov $0x22, %r10d\n"
    "    mov $-1, %r8\n"
    "    xor %r9d, %r9d\n"
    "    mov $9, %eax\n" /* mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) */
    "    syscall\n"
    "    mov %rax, 24(%rsp)\n"
    "    mov (%r12), %rcx\n"
    "    lea 16(%r12,%rcx,8), %rbx\n" /* the environment */
    "1:  mov (%rbx), %rax\n"
    "    add $8, %rbx\n"
    "    test %rax, %rax\n"
    "    jnz 1b\n"
    "2:  mov (%rbx), %rax\n" /* the auxiliary vector */
    "    mov 8(%rbx), %rdx\n"
    "    add $16, %rbx\n"
    "    cmp $33, %rax\n" /* AT_SYSINFO_EHDR */
    "    je 3f\n"
    "    test %rax, %rax\n"
    "    jnz 2b\n"
    "3:  mov %rdx, 32(%rsp)\n"
    "    mov $1, %edi\n"
    "    mov %rsp, %rsi\n"
    "    mov $40, %edx\n"
    "    mov $1, %eax\n" /* write */
    "    syscall\n"
    "    xor %edi, %edi\n"
    "    mov $60, %eax\n" /* exit */
    "    syscall\n"
    "show_places_end:\n"
    ".popsection\n");
extern const char show_places[], show_places_end[];

/* A program that is linked to be moved (type ET_DYN), or to address 0x400000. */
static void make_program(const char *name, bool moves)
{
    struct {
        Elf64_Ehdr header;
        Elf64_Phdr segment;
    } head = {0};
    size_t code = (size_t)(show_places_end - show_places);
    unsigned long base = moves ? 0 : 0x400000;

    memcpy(head.header.e_ident, ELFMAG, SELFMAG);
    head.header.e_ident[EI_CLASS] = ELFCLASS64;
    head.header.e_ident[EI_DATA] = ELFDATA2LSB;
    head.header.e_ident[EI_VERSION] = EV_CURRENT;
    head.header.e_type = moves ? ET_DYN : ET_EXEC;
    head.header.e_machine = EM_X86_64;
    head.header.e_version = EV_CURRENT;
    head.header.e_entry = base + sizeof(head);
    head.header.e_phoff = sizeof(head.header);
    head.header.e_ehsize = sizeof(head.header);
    head.header.e_phentsize = sizeof(head.segment);
    head.header.e_phnum = 1;
    head.segment.p_type = PT_LOAD;
    head.segment.p_flags = PF_R | PF_X;
    head.segment.p_vaddr = head.segment.p_paddr = base;
    head.segment.p_filesz = head.segment.p_memsz = sizeof(head) + code;
    head.segment.p_align = 1 << PAGE_BITS;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, &head, sizeof(head)), (long)sizeof(head));
    CHECK_EQ(write(fd, show_places, code), (long)code);
    CHECK_EQ(close(fd), 0);
}

static void take_samples(const char *name, struct sample *samples, int n)
{
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    for (int i = 0; i < n; i++) {
        pid_t child = vfork();
        CHECK(child >= 0);
        if (child == 0) {
            (void)dup2(pipes[1], 1);
            (void)execl(name, name, (char *)NULL);
            _exit(127);
        }
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        CHECK_EQ(read(pipes[0], &samples[i], sizeof(*samples)), (long)sizeof(*samples));
    }
    CHECK_EQ(close(pipes[0]) | close(pipes[1]), 0);
}

/* Bits from `lowest` on that are not the same in all samples. */
static int bits_that_vary(const unsigned long *values, int n, int lowest)
{
    unsigned long differ = 0;

    for (int i = 1; i < n; i++) {
        differ |= values[i] ^ values[0];
    }
    return __builtin_popcountl(differ >> lowest);
}

static int compare(const void *a, const void *b)
{
    const unsigned long *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* How many of the values came before. Sorts them. */
static int repetitions(unsigned long *values, int n)
{
    int same = 0;

    qsort(values, (size_t)n, sizeof(*values), compare);
    for (int i = 1; i < n; i++) {
        same += values[i] == values[i - 1];
    }
    return same;
}

static struct sample samples[SAMPLES];

/* The values of one place, counted from another, or (NPLACES) from zero, in pages. */
static const unsigned long *values_of(enum place place, enum place from)
{
    static unsigned long values[SAMPLES];

    for (int i = 0; i < SAMPLES; i++) {
        unsigned long base = from == NPLACES ? 0 : samples[i].at[from];
        values[i] = (samples[i].at[place] - base) >> PAGE_BITS;
    }
    return values;
}

static int pages_vary(enum place place, enum place from)
{
    return bits_that_vary(values_of(place, from), SAMPLES, 0);
}

ABI_TEST(aslr, each_part_has_the_bits_that_linux_gives_it)
{
    make_program("moves", true);
    take_samples("./moves", samples, SAMPLES);
    CHECK(pages_vary(MMAP, NPLACES) >= 28);
    CHECK(pages_vary(IMAGE, NPLACES) >= 28);
    CHECK(pages_vary(STACK, NPLACES) >= 22);
    CHECK(pages_vary(BRK, NPLACES) >= 13);
    CHECK(pages_vary(VDSO, NPLACES) >= 9);
    /* The stack pointer within its page, too: of it the lowest four bits are the ABI's. */
    unsigned long pointers[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
        pointers[i] = samples[i].at[STACK] & 0xfff;
    }
    CHECK_EQ(bits_that_vary(pointers, SAMPLES, 4), 8);
    /* Bits that vary are no proof that they vary by themselves. */
    CHECK(repetitions((unsigned long *)values_of(MMAP, NPLACES), SAMPLES) <= 5);
    CHECK(repetitions((unsigned long *)values_of(IMAGE, NPLACES), SAMPLES) <= 5);
    CHECK(repetitions((unsigned long *)values_of(STACK, NPLACES), SAMPLES) <= 5);
    /* Nor does knowing one of the parts give another away. */
    CHECK(pages_vary(VDSO, STACK) >= 9);
    CHECK(pages_vary(STACK, MMAP) >= 22);
    CHECK(pages_vary(STACK, IMAGE) >= 22);
}

ABI_TEST(aslr, a_program_at_a_fixed_address_has_its_heap_anywhere)
{
    make_program("stays", false);
    take_samples("./stays", samples, SAMPLES);
    CHECK_EQ(pages_vary(IMAGE, NPLACES), 0);
    CHECK(pages_vary(BRK, NPLACES) >= 13);
    CHECK(pages_vary(MMAP, NPLACES) >= 28);
}

/* All samples are alike. */
static void check_still(const char *name, int n)
{
    take_samples(name, samples, n);
    for (int i = 1; i < n; i++) {
        for (int place = 0; place < NPLACES; place++) {
            CHECK_EQ(samples[i].at[place], samples[0].at[place]);
        }
    }
}

ABI_TEST(aslr, a_personality_without_it)
{
    make_program("moves", true);
    CHECK_EQ(IN_CHILD({
                 CHECK(personality(ADDR_NO_RANDOMIZE) >= 0);
                 check_still("./moves", 10);
                 CHECK_EQ((unsigned)personality(0xffffffff), (unsigned)ADDR_NO_RANDOMIZE);
             }),
             0);
}

static bool set(char value)
{
    int fd = open(SETTING, O_WRONLY);
    bool done = fd >= 0 && write(fd, &value, 1) == 1;

    (void)close(fd);
    return done;
}

ABI_TEST(aslr, the_system_wide_setting)
{
    char was = 0;
    int fd = open(SETTING, O_RDONLY);

    make_program("moves", true);
    make_program("stays", false);
    CHECK(fd >= 0 && read(fd, &was, 1) == 1);
    CHECK(was >= '0' && was <= '2');
    if (!set('0')) {
        return; /* not ours to set */
    }
    int still = IN_CHILD(check_still("./moves", 5));
    CHECK(set('1'));
    /* Everything but the heap. */
    int heap = IN_CHILD({
        take_samples("./stays", samples, 5);
        CHECK_EQ(samples[0].at[BRK], samples[1].at[BRK]);
        CHECK(samples[0].at[MMAP] != samples[1].at[MMAP]);
    });
    CHECK(set(was));
    CHECK_EQ(still, 0);
    CHECK_EQ(heap, 0);
    if (was == '2') {
        CHECK(!set('x'));
    }
}
