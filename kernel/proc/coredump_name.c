/*
 * The name of a core dump, from /proc/sys/kernel/core_pattern (core(5), "Naming of core dump files").
 *
 * What specifiers put in comes from hostile hands (a program may call itself "../../etc"): slashes become '!', and so does a component that
 * would be empty, "." or ".." at its beginning.
 */
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/proc/coredump.h"

struct name_buf {
    char *text;
    size_t len, size;
    int err;
};

static void name_put(struct name_buf *name, const char *text, size_t len)
{
    if (len >= name->size - name->len) {
        name->err = -ENAMETOOLONG;
        return;
    }
    memcpy(name->text + name->len, text, len);
    name->len += len;
    name->text[name->len] = '\0';
}

static void name_put_number(struct name_buf *name, int64_t value)
{
    char text[24];

    name_put(name, text, (size_t)kscnprintf(text, sizeof(text), "%lld", (long long)value));
}

/* Text that is to stay inside one component of the path. */
static void name_put_text(struct name_buf *name, const char *text)
{
    size_t start = name->len;

    name_put(name, text, strlen(text));
    if (name->err < 0) {
        return;
    }
    char *put = name->text + start;
    size_t len = name->len - start;
    bool dots = (len == 1 && put[0] == '.') || (len == 2 && put[0] == '.' && put[1] == '.');
    if (len == 0) {
        name_put(name, "!", 1);
    } else if (dots) {
        put[0] = '!';
    }
    for (size_t i = start; i < name->len; i++) {
        if (name->text[i] == '/') {
            name->text[i] = '!';
        }
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static void put_specifier(struct name_buf *name, char letter, const struct coredump_facts *facts)
{
    switch (letter) {
    case '%':
        name_put(name, "%", 1);
        break;
    case 'p':
    case 'P':
        name_put_number(name, facts->pid);
        break;
    case 'i':
    case 'I':
        name_put_number(name, facts->tid);
        break;
    case 'u':
        name_put_number(name, facts->uid);
        break;
    case 'g':
        name_put_number(name, facts->gid);
        break;
    case 'd':
        name_put_number(name, facts->dumpable);
        break;
    case 's':
        name_put_number(name, facts->signal);
        break;
    case 't':
        name_put_number(name, facts->time_s);
        break;
    case 'c':
        name_put_number(name, (int64_t)facts->limit); /* unlimited is -1 */
        break;
    case 'C':
        name_put_number(name, facts->cpu);
        break;
    case 'h':
        name_put_text(name, facts->host);
        break;
    case 'e':
        name_put_text(name, facts->comm);
        break;
    case 'f':
        name_put_text(name, base_name(facts->exe[0] != '\0' ? facts->exe : facts->comm));
        break;
    case 'E':
        name_put_text(name, facts->exe[0] != '\0' ? facts->exe : facts->comm);
        break;
    default:
        break; /* unknown ones vanish */
    }
}

int coredump_name(const char *pattern, bool uses_pid, const struct coredump_facts *facts,
                  char *text, size_t size)
{
    struct name_buf name = {.text = text, .size = size};
    bool has_pid = false;

    text[0] = '\0';
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at != '%') {
            name_put(&name, at, 1);
            continue;
        }
        if (*++at == '\0') {
            break; /* a lone '%' at the end */
        }
        has_pid = has_pid || *at == 'p';
        put_specifier(&name, *at, facts);
    }
    if (!has_pid && uses_pid) {
        name_put(&name, ".", 1);
        name_put_number(&name, facts->pid);
    }
    return name.err;
}
