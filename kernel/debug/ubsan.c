/*
 * Undefined behaviour: the functions that code compiled with -fsanitize=undefined calls when a check of its own fails.
 *
 * Their names and arguments are the compiler's (clang, lib/CodeGen: EmitCheck and its callers; the structures are documented with
 * compiler-rt's ubsan_handlers.h). Each call brings a static description of the place, with types, and the values as words: integers
 * of up to 64 bits in the word itself, wider ones behind it.
 *
 * A place is told once: the sign bit of its column, which no source needs, notes that. Every time counts (kernel/core/defect.h).
 */
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"

#define COLUMN_TOLD 0x80000000u

struct source_location {
    const char *file;
    uint32_t line;
    uint32_t column; /* [a] with COLUMN_TOLD */
};

enum type_kind { TYPE_INTEGER = 0, TYPE_FLOAT = 1, TYPE_UNKNOWN = 0xffff };

struct type_descriptor {
    uint16_t kind; /* enum type_kind */
    uint16_t info; /* integers: log2 of the width in bits << 1 | signed */
    char name[];   /* as in the source, in quotes */
};

struct type_mismatch_data {
    struct source_location location;
    const struct type_descriptor *type;
    uint8_t log_alignment;
    uint8_t access; /* index of access_names */
};

struct alignment_assumption_data {
    struct source_location location;
    struct source_location assumed_at;
    const struct type_descriptor *type;
};

struct overflow_data { /* also invalid values and lengths of arrays */
    struct source_location location;
    const struct type_descriptor *type;
};

struct shift_data {
    struct source_location location;
    const struct type_descriptor *left;
    const struct type_descriptor *right;
};

struct bounds_data {
    struct source_location location;
    const struct type_descriptor *array;
    const struct type_descriptor *index;
};

struct nonnull_data {
    struct source_location location;
    struct source_location attribute_at;
    int argument; /* from 1; only in calls */
};

struct builtin_data {
    struct source_location location;
    uint8_t kind; /* 0: ctz of zero, 1: clz of zero */
};

struct location_data { /* unreachable places, pointer arithmetic */
    struct source_location location;
};

static const char *const access_names[] = {
    "load of",
    "store to",
    "reference binding to",
    "member access within",
    "member call on",
    "constructor call on",
    "downcast of",
    "downcast of",
    "upcast of",
    "cast to virtual base of",
    "nonnull binding to",
    "dynamic operation on",
};

/* ---- saying it ---- */

/* Count it; true when this place is told now, up to ubsan_end(). */
static bool ubsan_begin(struct source_location *location)
{
    uint32_t before = __atomic_fetch_or(&location->column, COLUMN_TOLD, __ATOMIC_RELAXED);

    if ((before & COLUMN_TOLD) != 0) {
        defect_count_only(DEFECT_UNDEFINED);
        return false;
    }
    return defect_begin(DEFECT_UNDEFINED);
}

/* The compiler names files as seen from the build folder. */
static const char *source_name(const char *file)
{
    while (str_has_prefix(file, "../")) {
        file += 3;
    }
    return file;
}

static void __printf(2, 3) ubsan_end(const struct source_location *location, const char *fmt, ...)
{
    char text[160];
    va_list args;

    va_start(args, fmt);
    (void)kvsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    log_write(DEFECT_LEVEL, "ubsan: %s:%u:%u: %s", source_name(location->file), location->line,
              location->column & ~COLUMN_TOLD, text);
    defect_end();
}

/* The number that `word` stands for, in decimal where it fits 64 bits. */
static const char *number(char buf[40], const struct type_descriptor *type, uintptr_t word)
{
    unsigned bits = 1u << (type->info >> 1);
    bool is_signed = (type->info & 1) != 0;

    if (type->kind != TYPE_INTEGER) {
        (void)kscnprintf(buf, 40, "(unknown)");
    } else if (bits > 64) {
        const uint64_t *wide = (const uint64_t *)word;
        (void)kscnprintf(buf, 40, "0x%016llx%016llx", (unsigned long long)wide[1],
                         (unsigned long long)wide[0]);
    } else if (is_signed) {
        int64_t value = (int64_t)((uint64_t)word << (64 - bits)) >> (64 - bits);
        (void)kscnprintf(buf, 40, "%lld", (long long)value);
    } else {
        (void)kscnprintf(buf, 40, "%llu",
                         (unsigned long long)((uint64_t)word << (64 - bits) >> (64 - bits)));
    }
    return buf;
}

static bool is_negative(const struct type_descriptor *type, uintptr_t word)
{
    unsigned bits = 1u << (type->info >> 1);

    return type->kind == TYPE_INTEGER && (type->info & 1) != 0 && bits <= 64 &&
           (word >> (bits - 1) & 1) != 0;
}

static void overflow(struct overflow_data *data, const char *operator, uintptr_t left,
                     uintptr_t right)
{
    char a[40], b[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "integer overflow: %s %s %s does not fit %s",
                  number(a, data->type, left), operator, number(b, data->type, right),
                  data->type->name);
    }
}

/* ---- what the compiler calls ---- */

void __ubsan_handle_type_mismatch_v1(struct type_mismatch_data *data, uintptr_t pointer);
void __ubsan_handle_alignment_assumption(struct alignment_assumption_data *data, uintptr_t pointer,
                                         uintptr_t alignment, uintptr_t offset);
void __ubsan_handle_add_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right);
void __ubsan_handle_sub_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right);
void __ubsan_handle_mul_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right);
void __ubsan_handle_negate_overflow(struct overflow_data *data, uintptr_t value);
void __ubsan_handle_divrem_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right);
void __ubsan_handle_shift_out_of_bounds(struct shift_data *data, uintptr_t left, uintptr_t right);
void __ubsan_handle_out_of_bounds(struct bounds_data *data, uintptr_t index);
void __ubsan_handle_vla_bound_not_positive(struct overflow_data *data, uintptr_t bound);
void __ubsan_handle_load_invalid_value(struct overflow_data *data, uintptr_t value);
void __ubsan_handle_invalid_builtin(struct builtin_data *data);
void __ubsan_handle_nonnull_arg(struct nonnull_data *data);
void __ubsan_handle_nonnull_return_v1(struct nonnull_data *data, struct source_location *at);
void __ubsan_handle_pointer_overflow(struct location_data *data, uintptr_t base, uintptr_t result);
void __ubsan_handle_builtin_unreachable(struct location_data *data) __noreturn;

void __ubsan_handle_type_mismatch_v1(struct type_mismatch_data *data, uintptr_t pointer)
{
    const char *access =
        data->access < ARRAY_SIZE(access_names) ? access_names[data->access] : "use of";
    uintptr_t alignment = (uintptr_t)1 << data->log_alignment;

    if (!ubsan_begin(&data->location)) {
        return;
    }
    if (pointer == 0) {
        ubsan_end(&data->location, "%s null pointer of type %s", access, data->type->name);
    } else if ((pointer & (alignment - 1)) != 0) {
        ubsan_end(&data->location, "%s misaligned address %#lx, type %s needs alignment %lu",
                  access, pointer, data->type->name, alignment);
    } else {
        ubsan_end(&data->location, "%s address %#lx, where no object of type %s has room", access,
                  pointer, data->type->name);
    }
}

void __ubsan_handle_alignment_assumption(struct alignment_assumption_data *data, uintptr_t pointer,
                                         uintptr_t alignment, uintptr_t offset)
{
    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "address %#lx (less %lu) is not aligned to %lu as promised",
                  pointer, offset, alignment);
    }
}

void __ubsan_handle_add_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right)
{
    overflow(data, "+", left, right);
}

void __ubsan_handle_sub_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right)
{
    overflow(data, "-", left, right);
}

void __ubsan_handle_mul_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right)
{
    overflow(data, "*", left, right);
}

void __ubsan_handle_negate_overflow(struct overflow_data *data, uintptr_t value)
{
    char a[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "integer overflow: -(%s) does not fit %s",
                  number(a, data->type, value), data->type->name);
    }
}

void __ubsan_handle_divrem_overflow(struct overflow_data *data, uintptr_t left, uintptr_t right)
{
    char a[40], b[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "division of %s by %s, type %s", number(a, data->type, left),
                  number(b, data->type, right), data->type->name);
    }
}

void __ubsan_handle_shift_out_of_bounds(struct shift_data *data, uintptr_t left, uintptr_t right)
{
    char a[40], b[40];

    if (!ubsan_begin(&data->location)) {
        return;
    }
    if (is_negative(data->left, left)) {
        ubsan_end(&data->location, "shift of negative value %s", number(a, data->left, left));
    } else {
        ubsan_end(&data->location, "shift of %s by %s, type %s", number(a, data->left, left),
                  number(b, data->right, right), data->left->name);
    }
}

void __ubsan_handle_out_of_bounds(struct bounds_data *data, uintptr_t index)
{
    char a[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "index %s out of bounds of type %s",
                  number(a, data->index, index), data->array->name);
    }
}

void __ubsan_handle_vla_bound_not_positive(struct overflow_data *data, uintptr_t bound)
{
    char a[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "array of %s elements", number(a, data->type, bound));
    }
}

void __ubsan_handle_load_invalid_value(struct overflow_data *data, uintptr_t value)
{
    char a[40];

    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "load of value %s, which type %s does not have",
                  number(a, data->type, value), data->type->name);
    }
}

void __ubsan_handle_invalid_builtin(struct builtin_data *data)
{
    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "zero passed to %s",
                  data->kind == 0 ? "__builtin_ctz()" : "__builtin_clz()");
    }
}

void __ubsan_handle_nonnull_arg(struct nonnull_data *data)
{
    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "null pointer passed as argument %d, declared never null",
                  data->argument);
    }
}

void __ubsan_handle_nonnull_return_v1(struct nonnull_data *data, struct source_location *at)
{
    (void)data;
    if (ubsan_begin(at)) {
        ubsan_end(at, "null pointer returned, declared never null");
    }
}

void __ubsan_handle_pointer_overflow(struct location_data *data, uintptr_t base, uintptr_t result)
{
    if (!ubsan_begin(&data->location)) {
        return;
    }
    if (base == 0 || result == 0) {
        ubsan_end(&data->location, "arithmetic on null pointer: %#lx became %#lx", base, result);
    } else {
        ubsan_end(&data->location, "pointer overflow: %#lx became %#lx", base, result);
    }
}

/* There is no code to go on with. */
void __ubsan_handle_builtin_unreachable(struct location_data *data)
{
    if (ubsan_begin(&data->location)) {
        ubsan_end(&data->location, "a place said to be unreachable was reached");
    }
    panic("ubsan: %s:%u: unreachable code was reached", source_name(data->location.file),
          data->location.line);
}
