/*
 * SGDT, SIDT, SMSW, SLDT and STR in user mode where UMIP forbids them: Linux does them all the same, with values that tell nothing. Without
 * UMIP in the CPU they show what is there, which nobody can foresee: then there is nothing to test.
 */
#include <asm/prctl.h>
#include <cpuid.h>
#include <setjmp.h>
#include <sys/syscall.h>

#include "abi.h"

#define GDT_BASE 0xfffffffffffe0000ul
#define IDT_BASE 0xffffffffffff0000ul
#define CR0      0x80050033ul
#define PAGE     4096

static bool has_umip(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 4) != 0;
}

/* Ten bytes for an instruction to write, and one on either side that it must leave alone. */
static uint8_t table[12];
#define OPERAND (table + 1)

static void clear_table(void)
{
    memset(table, 0x5a, sizeof(table));
}

static void check_table(uint64_t want)
{
    uint16_t limit;
    uint64_t base;

    memcpy(&limit, OPERAND, sizeof(limit));
    memcpy(&base, OPERAND + sizeof(limit), sizeof(base));
    CHECK_EQ(limit, 0);
    CHECK_EQ(base, want);
    CHECK(table[0] == 0x5a && table[11] == 0x5a);
    clear_table();
}

ABI_TEST(umip, tables_are_at_the_top_of_the_address_space)
{
    if (!has_umip()) {
        return;
    }
    clear_table();
    __asm__ volatile("sgdt (%0)" : : "r"(OPERAND) : "memory");
    check_table(GDT_BASE);
    __asm__ volatile("sidt (%0)" : : "r"(OPERAND) : "memory");
    check_table(IDT_BASE);
    CHECK_EQ(WTERMSIG(IN_CHILD(__asm__ volatile("lgdt (%0)" : : "r"(OPERAND)))), SIGSEGV);
}

#define AT(insn, operand)                                                                          \
    do {                                                                                           \
        __asm__ volatile(insn " " operand                                                          \
                         :                                                                         \
                         : "a"(table), "b"(OPERAND), "c"(1ul), "S"(OPERAND - 16),                  \
                           "D"(OPERAND + 0x1000)                                                   \
                         : "memory");                                                              \
        check_table(GDT_BASE);                                                                     \
    } while (0)

ABI_TEST(umip, operands_of_every_form)
{
    unsigned long gs = (unsigned long)OPERAND - 32;
    register uint8_t *r13 __asm__("r13") = OPERAND;
    register unsigned long r12 __asm__("r12") = 4;

    if (!has_umip()) {
        return;
    }
    clear_table();
    AT("sgdt", "(%%rbx)");
    AT("sgdt", "1(%%rax)");
    AT("sgdt", "-0x1000(%%rdi)");
    AT("sgdt", "(%%rax,%%rcx)");
    AT("sgdt", "(%%rax,%%rcx,1)");
    AT("sgdt", "-8(%%rbx,%%rcx,8)");
    AT("sgdt", "8(%%rsi,%%rcx,8)");
    AT("sgdt", "table+1(%%rip)");
    AT("data16 sgdt", "(%%rbx)");
    AT("addr32 sgdt", "table+1");
    __asm__ volatile("sgdt 0(%0)" : : "r"(r13) : "memory");
    check_table(GDT_BASE);
    __asm__ volatile("sgdt -16(%0,%1,4)" : : "r"(r13), "r"(r12) : "memory");
    check_table(GDT_BASE);
    __asm__ volatile("sgdt -1(,%0,1)" : : "r"(r13 + 1) : "memory");
    check_table(GDT_BASE);
    __asm__ volatile("xchg %%rsp, %0; sgdt (%%rsp); xchg %%rsp, %0" : : "r"(r13) : "memory");
    check_table(GDT_BASE);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, gs), 0);
    __asm__ volatile("sgdt %%gs:32" : : : "memory");
    check_table(GDT_BASE);
    __asm__ volatile("sgdt %%gs:28(%0)" : : "r"(r12) : "memory");
    check_table(GDT_BASE);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), 0);
}

ABI_TEST(umip, words_go_to_memory_and_registers)
{
    unsigned long r8 = 0, rbx = ~0ul;
    uint16_t words[3] = {7, 7, 7};

    if (!has_umip()) {
        return;
    }
    __asm__ volatile("smsw %0" : "=m"(words[1]));
    CHECK(words[0] == 7 && words[1] == (CR0 & 0xffff) && words[2] == 7);
    __asm__ volatile("str %0" : "=m"(words[1]));
    CHECK(words[0] == 7 && words[1] == 0x40 && words[2] == 7);
    __asm__ volatile("sldt %0" : "=m"(words[1]));
    CHECK(words[0] == 7 && words[1] == 0 && words[2] == 7);
    __asm__ volatile("smswq %0" : "+b"(rbx)); /* a register that calls preserve */
    CHECK_EQ(rbx, CR0);
    rbx = ~0ul;
    __asm__ volatile("sldtw %w0" : "+b"(rbx));
    CHECK_EQ(rbx, ~0xfffful);
    rbx = ~0ul;
    __asm__ volatile("strw %w0" : "+b"(rbx));
    CHECK_EQ(rbx, ~0xfffful | 0x40);
    __asm__ volatile("mov $-1, %%r8; smswl %%r8d; mov %%r8, %0" : "=r"(r8) : : "r8");
    CHECK_EQ((uint32_t)r8, CR0);
    __asm__ volatile("mov $-1, %%r15; smsww %%r15w; mov %%r15, %0" : "=r"(r8) : : "r15");
    CHECK_EQ(r8, ~0xfffful | (CR0 & 0xffff));
}

static sigjmp_buf jump;
static siginfo_t seen;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    seen = *info;
    siglongjmp(jump, signo);
}

ABI_TEST(umip, places_that_cannot_be_written_are_page_faults)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!has_umip()) {
        return;
    }
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    if (sigsetjmp(jump, 1) == 0) {
        __asm__ volatile("sidt 5(%0)" : : "r"(page) : "memory");
        CHECK(false);
    }
    CHECK_EQ(seen.si_signo, SIGSEGV);
    CHECK_EQ(seen.si_code, SEGV_MAPERR);
    CHECK(seen.si_addr == page + 5);
    if (sigsetjmp(jump, 1) == 0) {
        __asm__ volatile("sidt (%0)" : : "r"(1ul << 60) : "memory");
        CHECK(false);
    }
    CHECK(seen.si_addr == (void *)(1ul << 60));
}
