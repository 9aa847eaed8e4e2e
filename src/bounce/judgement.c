#include "bounce/judgement.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/xalloc.h"

#define DEPTH_MAX 4
#define WORDS_MAX 200          /* of a reason, a rule, or why there is no event */
#define DATE_MAX 4102444800000 /* 2100 */

/* The longest that JSON makes of it: two bytes for one, and the keys. */
#define RECIPIENT_MAX (2 * (2 * ADDRESS_SIZE + EVENT_DESCRIPTION_SIZE + 2 * WORDS_MAX) + 256)
_Static_assert((JUDGEMENT_RECIPIENTS_MAX + 1) * RECIPIENT_MAX < JUDGEMENT_SIZE_MAX,
               "whatever the judge says has room");
_Static_assert(ADDRESS_SIZE >= EVENT_DESCRIPTION_SIZE, "text_of() has room for any text");

/* --- the judge's side ------------------------------------------------------------------------- */

/* What the recorder has no room for is cut, or left out: a judgement that it refuses keeps the report in the
 * queue until it expires. */
static void add_text(struct json_object *object, const char *key, const char *text, size_t size)
{
    char clean[EVENT_DESCRIPTION_SIZE];
    size_t length = utf8_clean(clean, size < sizeof clean ? size : sizeof clean, text, strlen(text));

    json_object_object_add(object, key, json_object_new_string_len(clean, (int)length));
}

/* One with a control character beyond ASCII (C1), which address_valid() lets pass, is none. */
static void add_address(struct json_object *object, const char *key, const char *address)
{
    char clean[ADDRESS_SIZE];
    size_t length = utf8_clean(clean, sizeof clean, address, strlen(address));

    if (strcmp(clean, address) != 0)
        length = 0;
    json_object_object_add(object, key, json_object_new_string_len(clean, (int)length));
}

char *judgement_encode(const struct dsn *report)
{
    struct json_object *object = json_object_new_object(), *recipients = json_object_new_array();

    if (report->why_none != NULL)
        add_text(object, "why_none", report->why_none, WORDS_MAX);
    if (report->complaint)
        json_object_object_add(object, "complaint", json_object_new_boolean(true));
    if (report->reached)
        json_object_object_add(object, "reached", json_object_new_boolean(true));
    add_text(object, "message_id", report->message_id, sizeof report->message_id);
    json_object_object_add(object, "date_ms",
                           json_object_new_int64(report->date_ms > DATE_MAX ? 0 : report->date_ms));
    for (size_t i = 0; i < report->count && i < JUDGEMENT_RECIPIENTS_MAX; i++) {
        const struct dsn_recipient *from = &report->recipients[i];
        struct json_object *recipient = json_object_new_object();
        add_address(recipient, "address", from->address);
        add_address(recipient, "final", from->final);
        json_object_object_add(recipient, "hard", json_object_new_boolean(from->hard));
        json_object_object_add(recipient, "delayed", json_object_new_boolean(from->delayed));
        json_object_object_add(recipient, "smtp_code", json_object_new_int(from->smtp_code));
        add_text(recipient, "status", from->status, sizeof from->status);
        add_text(recipient, "text", from->text, sizeof from->text);
        add_text(recipient, "reason", from->reason, WORDS_MAX);
        add_text(recipient, "rule", from->rule, WORDS_MAX);
        json_object_array_add(recipients, recipient);
    }
    json_object_object_add(object, "recipients", recipients);
    char *line = xasprintf("%s\n", json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));
    json_object_put(object);
    return line;
}

/* --- the recorder's --------------------------------------------------------------------------- */

/* The one text of that name, clean and shorter than size; NULL when there is none, or it is anything else. */
static const char *text_of(struct json_object *object, const char *key, size_t size)
{
    struct json_object *value;
    char clean[ADDRESS_SIZE];

    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
        return NULL;
    const char *text = json_object_get_string(value);
    size_t length = (size_t)json_object_get_string_len(value);
    if (length >= size || length >= sizeof clean || strlen(text) != length ||
        utf8_clean(clean, sizeof clean, text, length) != length || memcmp(clean, text, length) != 0)
        return NULL;
    return text;
}

static bool take_text(struct json_object *object, const char *key, char *text_r, size_t size)
{
    const char *text = text_of(object, key, size);

    if (text == NULL)
        return false;
    memcpy(text_r, text, strlen(text) + 1);
    return true;
}

static bool take_flag(struct json_object *object, const char *key, bool *flag_r)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_boolean))
        return false;
    *flag_r = json_object_get_boolean(value) != 0;
    return true;
}

static bool take_number(struct json_object *object, const char *key, int64_t least, int64_t most,
                        int64_t *number_r)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int))
        return false;
    *number_r = json_object_get_int64(value);
    return *number_r >= least && *number_r <= most;
}

static bool take_address(struct json_object *object, const char *key, char address_r[ADDRESS_SIZE])
{
    const char *why;

    return take_text(object, key, address_r, ADDRESS_SIZE) &&
           (*address_r == '\0' || address_valid(address_r, &why));
}

/* The name of the field that is wrong; NULL: none. */
static const char *take_recipient(struct json_object *object, struct dsn_recipient *recipient_r)
{
    int64_t code;

    if (!json_object_is_type(object, json_type_object))
        return "recipients";
    if (!take_address(object, "address", recipient_r->address))
        return "address";
    if (!take_address(object, "final", recipient_r->final))
        return "final";
    if (!take_flag(object, "hard", &recipient_r->hard))
        return "hard";
    if (!take_flag(object, "delayed", &recipient_r->delayed) || (recipient_r->delayed && recipient_r->hard))
        return "delayed";
    if (!take_number(object, "smtp_code", 0, 599, &code))
        return "smtp_code";
    recipient_r->smtp_code = (int)code;
    if (!take_text(object, "status", recipient_r->status, sizeof recipient_r->status) ||
        outcome_enhanced_length(recipient_r->status, strlen(recipient_r->status)) !=
            strlen(recipient_r->status))
        return "status";
    if (!take_text(object, "text", recipient_r->text, sizeof recipient_r->text))
        return "text";
    if ((recipient_r->reason = text_of(object, "reason", WORDS_MAX)) == NULL)
        return "reason";
    return (recipient_r->rule = text_of(object, "rule", WORDS_MAX)) == NULL ? "rule" : NULL;
}

static const char *take_recipients(struct json_object *object, struct dsn *report_r)
{
    struct json_object *list;
    const char *wrong = NULL;

    if (!json_object_object_get_ex(object, "recipients", &list) ||
        !json_object_is_type(list, json_type_array) ||
        json_object_array_length(list) > JUDGEMENT_RECIPIENTS_MAX)
        return "recipients";
    size_t count = json_object_array_length(list);
    report_r->recipients = xcalloc(count + 1, sizeof *report_r->recipients);
    for (size_t i = 0; i < count && wrong == NULL; i++)
        wrong = take_recipient(json_object_array_get_idx(list, i), &report_r->recipients[i]);
    report_r->count = count;
    return wrong;
}

static const char *take_report(struct json_object *object, struct dsn *report_r)
{
    struct json_object *ignored;

    if (!json_object_is_type(object, json_type_object))
        return "whole";
    if (!take_text(object, "message_id", report_r->message_id, sizeof report_r->message_id) ||
        (*report_r->message_id != '\0' && !uuid_valid(report_r->message_id, UUID_SIZE - 1)))
        return "message_id";
    if (!take_number(object, "date_ms", INT64_MIN, DATE_MAX, &report_r->date_ms))
        return "date_ms";
    const char *wrong = take_recipients(object, report_r);
    if (wrong != NULL)
        return wrong;
    if (json_object_object_get_ex(object, "why_none", &ignored) &&
        (report_r->why_none = text_of(object, "why_none", WORDS_MAX)) == NULL)
        return "why_none";
    if (json_object_object_get_ex(object, "complaint", &ignored) &&
        (!take_flag(object, "complaint", &report_r->complaint) || report_r->count == 0))
        return "complaint";
    if (json_object_object_get_ex(object, "reached", &ignored) &&
        !take_flag(object, "reached", &report_r->reached))
        return "reached";
    return (report_r->count == 0) != (report_r->why_none != NULL) ? "why_none" : NULL;
}

bool judgement_decode(const char *text, size_t length, struct judgement *judgement_r, struct outcome *error_r)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    const char *wrong = "whole";

    memset(judgement_r, 0, sizeof *judgement_r);
    /* not JSON_TOKENER_STRICT, to which json-c 0.18 takes whatever is not ASCII for a control character: that
       nothing stands behind the object is asked here */
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (tokener == NULL || length > JUDGEMENT_SIZE_MAX) {
        outcome_local(error_r, "4.3.0", "the judge said more than a judgement holds");
    } else {
        json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
        judgement_r->holder = json_tokener_parse_ex(tokener, text, (int)length);
        if (json_tokener_get_error(tokener) == json_tokener_success && judgement_r->holder != NULL &&
            json_tokener_get_parse_end(tokener) == length)
            wrong = take_report(judgement_r->holder, &judgement_r->report);
        if (wrong != NULL)
            outcome_local(error_r, "4.3.0", "the judge said what is no judgement: see its %s", wrong);
    }
    json_tokener_free(tokener);
    return wrong == NULL;
}

void judgement_clear(struct judgement *judgement)
{
    free(judgement->report.recipients);
    judgement->report = (struct dsn){0};
    json_object_put(judgement->holder);
    judgement->holder = NULL;
}
