/*
 * The parser of boot.conf, one line at a time. It never looks beyond the text it was given and
 * keeps no state outside struct parser.
 */
#include "loader/core/bootconf.h"

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"

#define DEFAULT_TIMEOUT_S 3
#define DEFAULT_NAME      "linnet"

/* A piece of the text: not terminated. */
struct span {
    const char *at;
    size_t len;
};

struct parser {
    struct bootconf *conf;
    struct bootconf_entry common; /* keys before the first entry */
    struct span default_name;
    unsigned default_line;
    unsigned line;
    char *reason;
    size_t reason_size;
};

static int complain(struct parser *parser, const char *what, struct span word)
{
    /* A word of a hostile file may be anything: show the start of it, and only printable ASCII. */
    char shown[40];
    size_t n = MIN(word.len, sizeof(shown) - 1);

    for (size_t i = 0; i < n; i++) {
        shown[i] = word.at[i] >= ' ' && word.at[i] < 0x7f ? word.at[i] : '?';
    }
    shown[n] = '\0';
    (void)ksnprintf(parser->reason, parser->reason_size, "line %u: %s%s%s%s", parser->line, what,
                    n == 0 ? "" : " \"", shown, n == 0 ? "" : "\"");
    return -EINVAL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span span_trim(struct span span)
{
    while (span.len > 0 && is_blank(span.at[0])) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && is_blank(span.at[span.len - 1])) {
        span.len--;
    }
    return span;
}

static bool span_is(struct span span, const char *word)
{
    return strlen(word) == span.len && memcmp(span.at, word, span.len) == 0;
}

static int span_store(struct parser *parser, struct span value, char *dst, size_t size)
{
    if (value.len >= size) {
        return complain(parser, "text too long", value);
    }
    memcpy(dst, value.at, value.len);
    dst[value.len] = '\0';
    return 0;
}

static int store_path(struct parser *parser, struct span value, char *dst)
{
    int err;

    if (value.len == 0 || (value.at[0] != '\\' && value.at[0] != '/')) {
        return complain(parser, "a path must start with \\, unlike", value);
    }
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.at[i] >= 0x80) {
            return complain(parser, "a path must be ASCII, unlike", value);
        }
    }
    err = span_store(parser, value, dst, BOOTCONF_PATH_SIZE);
    for (size_t i = 0; err == 0 && dst[i] != '\0'; i++) {
        if (dst[i] == '/') {
            dst[i] = '\\';
        }
    }
    return err;
}

static int store_timeout(struct parser *parser, struct span value)
{
    unsigned seconds = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return complain(parser, "timeout is not a number of seconds:", value);
        }
        seconds = seconds * 10 + (unsigned)(value.at[i] - '0');
        if (seconds > BOOTCONF_MAX_TIMEOUT_S) {
            return complain(parser, "timeout is more than an hour:", value);
        }
    }
    if (value.len == 0) {
        return complain(parser, "timeout has no value", (struct span){0});
    }
    parser->conf->timeout_s = seconds;
    return 0;
}

static int parse_section(struct parser *parser, struct span line)
{
    struct bootconf *conf = parser->conf;
    struct bootconf_entry *entry;
    struct span name;

    if (line.at[line.len - 1] != ']') {
        return complain(parser, "no ] after the entry's name", line);
    }
    name = span_trim((struct span){line.at + 1, line.len - 2});
    if (name.len == 0) {
        return complain(parser, "an entry needs a name", (struct span){0});
    }
    for (unsigned i = 0; i < conf->nentries; i++) {
        if (span_is(name, conf->entries[i].name)) {
            return complain(parser, "a second entry of the name", name);
        }
    }
    if (conf->nentries == BOOTCONF_MAX_ENTRIES) {
        return complain(parser, "too many entries: no room for", name);
    }
    entry = &conf->entries[conf->nentries++];
    *entry = parser->common;
    return span_store(parser, name, entry->name, sizeof(entry->name));
}

static int parse_key(struct parser *parser, struct span key, struct span value)
{
    struct bootconf *conf = parser->conf;
    bool global = conf->nentries == 0;
    struct bootconf_entry *entry = global ? &parser->common : &conf->entries[conf->nentries - 1];

    if (span_is(key, "kernel")) {
        return store_path(parser, value, entry->kernel);
    }
    if (span_is(key, "initramfs")) {
        if (value.len == 0) { /* an entry without the common one */
            entry->initramfs[0] = '\0';
            return 0;
        }
        return store_path(parser, value, entry->initramfs);
    }
    if (span_is(key, "parameters")) {
        return span_store(parser, value, entry->parameters, sizeof(entry->parameters));
    }
    if (!span_is(key, "default") && !span_is(key, "timeout")) {
        return complain(parser, "unknown key", key);
    }
    if (!global) {
        return complain(parser, "must stand before the first entry:", key);
    }
    if (span_is(key, "timeout")) {
        return store_timeout(parser, value);
    }
    parser->default_name = value;
    parser->default_line = parser->line;
    return 0;
}

static int parse_line(struct parser *parser, struct span line)
{
    const char *equals;

    for (size_t i = 0; i < line.len; i++) {
        if ((unsigned char)line.at[i] < ' ' && !is_blank(line.at[i])) {
            return complain(parser, "not text: a control character", (struct span){0});
        }
    }
    line = span_trim(line);
    if (line.len == 0 || line.at[0] == '#') {
        return 0;
    }
    if (line.at[0] == '[') {
        return parse_section(parser, line);
    }
    equals = memchr(line.at, '=', line.len);
    if (equals == NULL) {
        return complain(parser, "neither [entry] nor key = value:", line);
    }
    return parse_key(
        parser, span_trim((struct span){line.at, (size_t)(equals - line.at)}),
        span_trim((struct span){equals + 1, (size_t)(line.at + line.len - equals) - 1}));
}

/* What can only be judged at the end of the file. */
static int finish(struct parser *parser)
{
    struct bootconf *conf = parser->conf;

    if (conf->nentries == 0) {
        conf->entries[0] = parser->common;
        (void)str_copy(conf->entries[0].name, DEFAULT_NAME, BOOTCONF_NAME_SIZE);
        conf->nentries = 1;
    }
    for (unsigned i = 0; i < conf->nentries; i++) {
        if (conf->entries[i].kernel[0] == '\0') {
            (void)ksnprintf(parser->reason, parser->reason_size, "entry \"%s\" names no kernel",
                            conf->entries[i].name);
            return -EINVAL;
        }
    }
    if (parser->default_name.len == 0) {
        return 0;
    }
    for (unsigned i = 0; i < conf->nentries; i++) {
        if (span_is(parser->default_name, conf->entries[i].name)) {
            conf->default_entry = i;
            return 0;
        }
    }
    parser->line = parser->default_line;
    return complain(parser, "there is no entry", parser->default_name);
}

int bootconf_parse(const char *text, size_t size_bytes, struct bootconf *ret_conf, char *reason,
                   size_t reason_size)
{
    struct parser parser = {.conf = ret_conf, .reason = reason, .reason_size = reason_size};
    struct span rest = {text, size_bytes};
    int err;

    ret_conf->nentries = 0;
    ret_conf->default_entry = 0;
    ret_conf->timeout_s = DEFAULT_TIMEOUT_S;
    if (rest.len >= 3 && memcmp(rest.at, "\xef\xbb\xbf", 3) == 0) { /* UTF-8 byte order mark */
        rest.at += 3;
        rest.len -= 3;
    }
    while (rest.len > 0) {
        const char *newline = memchr(rest.at, '\n', rest.len);
        size_t len = newline == NULL ? rest.len : (size_t)(newline - rest.at);
        size_t step = newline == NULL ? len : len + 1;

        parser.line++;
        err = parse_line(&parser, (struct span){rest.at, len});
        if (err < 0) {
            return err;
        }
        rest.at += step;
        rest.len -= step;
    }
    return finish(&parser);
}
