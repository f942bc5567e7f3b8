/*
 * The kernel command line, split once into words.
 *
 * A word ends at white space outside double quotes; the quotes are dropped, wherever in the word they stand. Words before "--" are
 * parameters. Each remembers whether somebody knows it, so that the others can be handed to init.
 *
 * Everything is written during boot on one CPU and only read afterwards, but for `known`, which is set without a lock to the
 * one value it can change to.
 */
#include "kernel/core/param.h"

#include "kernel/base/string.h"

#define LINE_MAX  4096
#define WORDS_MAX 256

struct word {
    const char *text;  /* the whole word, for init */
    const char *value; /* behind the '=', NULL for a bare word */
    bool known;
    bool for_init; /* stood after "--" */
};

static char line[LINE_MAX];    /* as given */
static char storage[LINE_MAX]; /* the words, each with a NUL */
static struct word words[WORDS_MAX];
static unsigned nwords;

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copy the next word to `out` with its quotes dropped and a NUL; returns the input behind it, NULL when there is none. */
static const char *next_word(const char *in, char **out)
{
    bool quoted = false;

    while (is_space(*in)) {
        in++;
    }
    if (*in == '\0') {
        return NULL;
    }
    for (; *in != '\0' && (quoted || !is_space(*in)); in++) {
        if (*in == '"') {
            quoted = !quoted;
        } else {
            *(*out)++ = *in;
        }
    }
    *(*out)++ = '\0';
    return in;
}

/* Whether the word's name, up to its '=', is `name`; '-' and '_' are the same. */
static bool name_is(const struct word *word, const char *name)
{
    const char *text = word->text;

    for (; *name != '\0'; text++, name++) {
        char a = *text == '-' ? '_' : *text;
        char b = *name == '-' ? '_' : *name;
        if (a != b) {
            return false;
        }
    }
    return *text == (word->value == NULL ? '\0' : '=');
}

static void split_line(void)
{
    const char *in = line;
    char *out = storage;
    bool for_init = false;

    nwords = 0;
    while (nwords < WORDS_MAX) {
        const char *text = out;
        in = next_word(in, &out);
        if (in == NULL) {
            break;
        }
        if (!for_init && strcmp(text, "--") == 0) {
            for_init = true;
            continue;
        }
        const char *equals = strchr(text, '=');
        words[nwords++] = (struct word){
            .text = text, .value = equals == NULL ? NULL : equals + 1, .for_init = for_init};
    }
}

void param_init(const char *cmdline)
{
    (void)str_copy(line, cmdline, sizeof(line));
    split_line();
    linkset_foreach (params, struct param_handler, handler) {
        const char *value = param_string(handler->name);
        if (value != NULL) {
            handler->set(value);
        }
    }
}

const char *param_string(const char *name)
{
    const char *value = NULL;

    for (unsigned i = 0; i < nwords; i++) {
        struct word *word = &words[i];
        if (!word->for_init && name_is(word, name)) {
            word->known = true;
            value = word->value == NULL ? "" : word->value;
        }
    }
    return value;
}

uint64_t param_u64(const char *name, uint64_t default_value)
{
    const char *text = param_string(name);
    uint64_t value;

    return text != NULL && str_to_size(text, &value) == 0 ? value : default_value;
}

bool param_bool(const char *name, bool default_value)
{
    static const char *const yes[] = {"", "1", "y", "yes", "on", "true"};
    static const char *const no[] = {"0", "n", "no", "off", "false"};
    const char *text = param_string(name);

    if (text == NULL) {
        return default_value;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            return true;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(no); i++) {
        if (strcmp(text, no[i]) == 0) {
            return false;
        }
    }
    return default_value;
}

bool param_list_has(const char *list, const char *word)
{
    size_t len = strlen(word);

    if (strcmp(list, "all") == 0) {
        return true;
    }
    while (list != NULL) {
        if (strncmp(list, word, len) == 0 && (list[len] == '\0' || list[len] == ',')) {
            return true;
        }
        list = strchr(list, ',');
        list = list == NULL ? NULL : list + 1;
    }
    return false;
}

const char *param_cmdline(void)
{
    return line;
}

/* Not for the kernel, and not meant for a module either: those names have a dot. */
static bool is_unknown(const struct word *word)
{
    const char *dot = strchr(word->text, '.');

    return !word->for_init && !word->known &&
           (dot == NULL || (word->value != NULL && dot >= word->value));
}

unsigned param_init_args(const char **argv, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nwords && n < max; i++) {
        if (words[i].for_init || (words[i].value == NULL && is_unknown(&words[i]))) {
            argv[n++] = words[i].text;
        }
    }
    return n;
}

unsigned param_init_env(const char **envp, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < nwords && n < max; i++) {
        if (words[i].value != NULL && is_unknown(&words[i])) {
            envp[n++] = words[i].text;
        }
    }
    return n;
}
