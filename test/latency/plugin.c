/*
 * A plugin for QEMU's translator that counts the instructions of each CPU, and tells the guest their number where it asks for it: the word
 * that the instruction behind a MARK_COUNT stores (kernel/abi/mark.h) becomes the CPU's count.
 *
 *     -object memory-backend-file,id=ram,size=SIZE,mem-path=FILE,share=on -machine memory-backend=ram -m SIZE
 *     -plugin plugin.so,ram=FILE
 *
 * QEMU gives a plugin no way to write to the guest's memory, so it maps FILE, the same memory, itself; SIZE is below 2 GiB, where a
 * guest's physical address is the offset in it. A translated block adds all its instructions when it is entered: a count is off by one block at
 * most. Each CPU has its own word, so that any number of them may run at once.
 */
#include "test/bench/qemu_plugin.h"

#include "kernel/abi/mark.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CPUS       256
#define MARKS_MAX  1024
#define MARK_BYTES 7 /* of the whole instruction */

QEMU_PLUGIN_EXPORT extern int qemu_plugin_version;
QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                           char **argv);

static struct {
    uint64_t count;
    char pad[56];
} cpus[CPUS];
static char *ram;
static uint64_t ram_bytes;
static uint64_t stores
    [MARKS_MAX]; /* where the instructions behind marks are: a block may end at the mark. Translation is serial */
static unsigned nstores;

static void on_block(unsigned cpu, void *data)
{
    cpus[cpu % CPUS].count += (uintptr_t)data;
}

static void on_store(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data)
{
    const struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, address);
    uint64_t offset = where == NULL ? ram_bytes : qemu_plugin_hwaddr_phys_addr(where);

    (void)data;
    if (offset <= ram_bytes - sizeof(uint64_t)) {
        memcpy(ram + offset, &cpus[cpu % CPUS].count, sizeof(uint64_t));
    }
}

static int is_count_mark(const struct qemu_plugin_insn *insn)
{
    static const uint8_t opcode[3] = {0x0f, 0x1f, 0x80};
    const uint32_t wanted = MARK_DISPLACEMENT(MARK_COUNT);

    if (qemu_plugin_insn_size(insn) != MARK_BYTES) {
        return 0;
    }
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    return memcmp(bytes, opcode, sizeof(opcode)) == 0 && memcmp(bytes + 3, &wanted, 4) == 0;
}

static int is_behind_mark(uint64_t address)
{
    for (unsigned i = 0; i < nstores; i++) {
        if (stores[i] == address) {
            return 1;
        }
    }
    return 0;
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t n = qemu_plugin_tb_n_insns(tb);

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, (void *)n);
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t address = qemu_plugin_insn_vaddr(insn);

        if (is_count_mark(insn) && !is_behind_mark(address + MARK_BYTES)) {
            if (nstores == MARKS_MAX) {
                fprintf(stderr, "plugin: too many marks\n");
                abort();
            }
            stores[nstores++] = address + MARK_BYTES;
        }
        if (nstores > 0 && is_behind_mark(address)) {
            qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS,
                                             QEMU_PLUGIN_MEM_W, NULL);
        }
    }
}

static int map_ram(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDWR);

    if (fd < 0 || fstat(fd, &stat) < 0) {
        return -1;
    }
    ram_bytes = (uint64_t)stat.st_size;
    ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return ram == MAP_FAILED ? -1 : 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "ram=", 4) != 0 || map_ram(argv[0] + 4) < 0) {
        fprintf(stderr, "plugin: ram=FILE is needed, the guest's memory\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
    return 0;
}
