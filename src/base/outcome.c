#include "base/outcome.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t outcome_enhanced_length(const char *text, size_t text_length)
{
    /* status-code = class "." subject "." detail; class is 2, 4 or 5, the others are 1 to 3 digits */
    size_t at = 0;

    if (text_length < 5 || strchr("245", text[0]) == NULL || text[1] != '.')
        return 0;
    at = 2;
    for (int part = 0; part < 2; part++) {
        size_t digits = 0;
        while (at < text_length && digits < 4 && isdigit((unsigned char)text[at])) {
            at++;
            digits++;
        }
        if (digits < 1 || digits > 3)
            return 0;
        if (part == 0) {
            if (at >= text_length || text[at] != '.')
                return 0;
            at++;
        }
    }
    if (at < text_length && !isspace((unsigned char)text[at]))
        return 0;
    return at;
}

static char class_digit(enum outcome_class class)
{
    return class == OUTCOME_DELIVERED ? '2' : class == OUTCOME_DEFERRED ? '4' : '5';
}

static void clean_text(char *text)
{
    char *end = text;

    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = ' ';
        if (*text != ' ')
            end = text + 1;
    }
    *end = '\0'; /* the line end of a reply, for one */
}

static void set_enhanced(struct outcome *outcome, const char *enhanced)
{
    size_t length = enhanced ? outcome_enhanced_length(enhanced, strlen(enhanced)) : 0;

    if (length > 0 && enhanced[length] == '\0')
        memcpy(outcome->enhanced, enhanced, length + 1);
    else
        memcpy(outcome->enhanced, "0.0.0", 6);
    outcome->enhanced[0] = class_digit(outcome->class);
}

__attribute__((format(printf, 6, 0))) static void set(struct outcome *outcome_r, enum outcome_class class,
                                                      enum outcome_cause cause, int smtp_code,
                                                      const char *enhanced, const char *format,
                                                      va_list arguments)
{
    /* the arguments may point into the outcome that is being replaced */
    struct outcome fresh = {.class = class, .cause = cause, .smtp_code = smtp_code};

    vsnprintf(fresh.text, sizeof fresh.text, format, arguments);
    clean_text(fresh.text);
    set_enhanced(&fresh, enhanced);
    *outcome_r = fresh;
}

void outcome_set(struct outcome *outcome_r, enum outcome_class class, enum outcome_cause cause, int smtp_code,
                 const char *enhanced, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set(outcome_r, class, cause, smtp_code, enhanced, format, arguments);
    va_end(arguments);
}

bool outcome_of_tpsp(const struct outcome *outcome)
{
    return outcome->cause == CAUSE_UNREACHABLE || outcome->cause == CAUSE_ACCOUNT ||
           outcome->cause == CAUSE_HOST || outcome->cause == CAUSE_SESSION;
}

void outcome_local(struct outcome *outcome_r, const char *enhanced, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set(outcome_r, OUTCOME_DEFERRED, CAUSE_OURS, 0, enhanced, format, arguments);
    va_end(arguments);
}

void outcome_from_reply(struct outcome *outcome_r, enum outcome_cause cause, int smtp_code, const char *text,
                        size_t text_length)
{
    char enhanced[OUTCOME_ENHANCED_SIZE] = "";
    enum outcome_class class;
    size_t length = outcome_enhanced_length(text, text_length);

    switch (smtp_code / 100) {
    case 2:
        class = OUTCOME_DELIVERED;
        break;
    case 5:
        class = OUTCOME_DROPPED;
        break;
    default:
        class = OUTCOME_DEFERRED;
    }
    if (length > 0 && length < sizeof enhanced && text[0] == class_digit(class)) {
        memcpy(enhanced, text, length);
        enhanced[length] = '\0';
    }
    outcome_set(outcome_r, class, cause, smtp_code, enhanced, "%.*s",
                (int)(text_length < OUTCOME_TEXT_SIZE ? text_length : OUTCOME_TEXT_SIZE - 1), text);
}
