/*
 * Words are separated by white space; double quotes protect it, around the whole word or the value
 * alone, and are not part of it.
 */
#include "loader/core/bootparam.h"

#include "kernel/base/string.h"

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * Copies the next word without its quotes, cut to size; returns where the one after it may start,
 * NULL at the end.
 */
static const char *next_word(const char *line, char *word, size_t size)
{
    size_t len = 0;
    bool quoted = false;

    while (is_blank(*line)) {
        line++;
    }
    if (*line == '\0') {
        return NULL;
    }
    for (; *line != '\0' && (quoted || !is_blank(*line)); line++) {
        if (*line == '"') {
            quoted = !quoted;
        } else if (len + 1 < size) {
            word[len++] = *line;
        }
    }
    word[len] = '\0';
    return line;
}

bool bootparam_find(const char *line, const char *name, char *value, size_t size)
{
    size_t name_len = strlen(name);
    bool found = false;
    char word[256];

    while ((line = next_word(line, word, sizeof(word))) != NULL && strcmp(word, "--") != 0) {
        if (strncmp(word, name, name_len) != 0) {
            continue;
        }
        if (word[name_len] == '=') {
            (void)str_copy(value, word + name_len + 1, size);
            found = true;
        } else if (word[name_len] == '\0') {
            (void)str_copy(value, "", size);
            found = true;
        }
    }
    return found;
}
