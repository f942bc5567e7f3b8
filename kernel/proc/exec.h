/*
 * The parts of execve, private to kernel/proc.
 */
#pragma once

#include "kernel/proc/elf.h"
#include "kernel/proc/internal.h"
#include "kernel/proc/script.h"

/* ---- exec_args.c: argument and environment strings, one after the other in one buffer ---- */
struct exec_args {
    char *buf;         /* argv strings, then envp strings, each with its NUL */
    size_t size, used; /* bytes of the buffer; bytes filled */
    size_t arg_bytes;  /* of `used`, what belongs to argv */
    size_t limit;      /* most bytes, with the pointers to be made (execve(2), "Limits on size") */
    unsigned argc, envc;
};
int exec_args_init(struct exec_args *args);
void exec_args_fini(struct exec_args *args);
/* -E2BIG, -EFAULT, -ENOMEM. argv first, once; then envp. */
int exec_args_add_user(struct exec_args *args, const char __user *const __user *strings, bool env);
int exec_args_add_kernel(struct exec_args *args, const char *const *strings, bool env);
/* A script: argv[0] gives way to interpreter, arg (may be NULL) and the script's name. */
int exec_args_prepend_script(struct exec_args *args, const char *interpreter, const char *arg,
                             const char *name);

/* ---- exec_load.c: the new address space ---- */
struct exec_image {
    struct vmspace *vm;
    uint64_t bias;        /* of the program */
    uint64_t interp_base; /* of its interpreter, 0: none */
    uint64_t entry;       /* where user mode starts */
};
int exec_load(struct exec_image *image, struct file *file, const struct elf_program *program,
              struct file *interp_file, const struct elf_program *interp, bool randomize);

/* ---- exec_stack.c ---- */
struct exec_identity {
    struct cred *cred; /* what the program runs with; a reference */
    bool secure;       /* AT_SECURE: it has more rights than its caller */
    bool other;        /* it acts as another than its caller: cred_acts_as_other() */
};
/* Map the stack of image->vm and write arguments, environment and auxiliary vector. *ret_sp: what the program starts with. */
int exec_stack_build(struct exec_image *image, const struct elf_program *program,
                     const struct exec_args *args, const char *filename,
                     const struct exec_identity *identity, bool randomize, uint64_t *ret_sp);

/* ---- exec_cred.c ---- */
/* The credentials after executing `file` (capabilities(7), "Transformation of capabilities during execve()"). -ENOMEM. */
int exec_identity_make(struct file *file, struct exec_identity *ret_identity);
/* The execve fails. */
void exec_identity_drop(struct exec_identity *identity);
/* It has the privileges that it was to get. Tree lock held. */
void exec_raise_end_locked(void);
