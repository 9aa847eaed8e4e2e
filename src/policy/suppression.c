#include "policy/suppression.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/punycode.h"
#include "policy/from_header.h"

static const char *const reasons[SUPPRESSION_REASONS] = {
    [SUPPRESSION_MANUAL] = "manual",
    [SUPPRESSION_UNSUBSCRIBE] = "unsubscribe",
    [SUPPRESSION_HARD_BOUNCE] = "hard bounce",
    [SUPPRESSION_SPAM_COMPLAINT] = "spam complaint",
};

const char *suppression_reason_name(enum suppression_reason reason)
{
    return (unsigned)reason < SUPPRESSION_REASONS ? reasons[reason] : reasons[SUPPRESSION_MANUAL];
}

static bool same_reason(const char *name, const char *reason)
{
    while (*name != '\0' &&
           (tolower((unsigned char)*name) == *reason || (*reason == ' ' && (*name == '-' || *name == '_')))) {
        name++;
        reason++;
    }
    return *name == '\0' && *reason == '\0';
}

bool suppression_reason_by_name(const char *name, enum suppression_reason *reason_r)
{
    for (unsigned i = 0; i < SUPPRESSION_REASONS; i++)
        if (same_reason(name, reasons[i])) {
            *reason_r = (enum suppression_reason)i;
            return true;
        }
    return false;
}

/* --- normal form ------------------------------------------------------------------------------------ */

static void fold_case(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

/* Lower case, without a final dot. */
static void normalise_domain(char *domain)
{
    size_t length = strlen(domain);

    while (length > 1 && domain[length - 1] == '.')
        domain[--length] = '\0';
    fold_case(domain);
}

/* A domain beyond ASCII, which has to be in this buffer, in lower case and composed: the other form of the
 * one that DNS knows. One that is none stays as it is. */
static bool fold_domain(char *domain, size_t size)
{
    char ascii[FROM_DOMAIN_SIZE], folded[ADDRESS_SIZE];
    enum from_domain form = from_header_normalise(domain, strlen(domain), ascii);

    if (form == FROM_DOMAIN_FOUND) {
        const char *normal = punycode_other_form(ascii, folded, sizeof folded) ? folded : ascii;
        if (strlen(normal) < size)
            memcpy(domain, normal, strlen(normal) + 1);
    }
    return form != FROM_DOMAIN_UNKNOWN;
}

bool suppression_other_form(const char *address, char other_r[ADDRESS_SIZE])
{
    const char *at = strrchr(address, '@');
    size_t length = at != NULL ? (size_t)(at + 1 - address) : 0;

    if (at == NULL || length >= ADDRESS_SIZE)
        return false;
    memcpy(other_r, address, length);
    return punycode_other_form(at + 1, other_r + length, ADDRESS_SIZE - length);
}

unsigned suppression_match(const struct config *config)
{
    return (config->suppression.sub_address ? SUPPRESSION_SUB_ADDRESS : 0u) |
           (config->suppression.case_sensitive ? SUPPRESSION_CASE_SENSITIVE : 0u);
}

bool suppression_normalise(const char *text, unsigned match, char address_r[ADDRESS_SIZE], const char **why_r)
{
    bool whole_domain = *text == '@' || strchr(text, '@') == NULL;
    const char *domain = *text == '@' ? text + 1 : text;
    int length = whole_domain ? snprintf(address_r, ADDRESS_SIZE, "x@%s", domain)
                              : snprintf(address_r, ADDRESS_SIZE, "%s", text);

    if (length < 0 || length >= ADDRESS_SIZE) {
        *why_r = "it is too long";
        return false;
    }
    if (!address_valid(address_r, why_r))
        return false;
    char *at = strrchr(address_r, '@');
    normalise_domain(at + 1);
    if (!address_is_ascii(at))
        fold_domain(at + 1, (size_t)(address_r + ADDRESS_SIZE - at - 1)); /* or else as it is written */
    if ((match & SUPPRESSION_CASE_SENSITIVE) == 0)
        fold_case(address_r);
    if (whole_domain && strchr(address_r, '.') == NULL) {
        *why_r = "it is neither an address nor a domain";
        return false;
    }
    if (whole_domain)
        memmove(address_r, address_r + 1, strlen(address_r));
    return true;
}

/* --- look up ---------------------------------------------------------------------------------------- */

static int look_up(struct store *store, const char *address, unsigned match, struct suppression *found_r,
                   struct outcome *error_r)
{
    sqlite3_stmt *statement = store_statement(
        store,
        (match & SUPPRESSION_CASE_SENSITIVE) != 0
            ? "SELECT address, reason, since_ms FROM suppression WHERE address = ?"
            : "SELECT address, reason, since_ms FROM suppression WHERE address COLLATE NOCASE = ? LIMIT 1",
        error_r);
    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, address, -1, SQLITE_STATIC);
    int step = store_step(store, statement, error_r);

    if (step > 0) {
        snprintf(found_r->address, sizeof found_r->address, "%s",
                 (const char *)sqlite3_column_text(statement, 0));
        found_r->reason = (enum suppression_reason)sqlite3_column_int(statement, 1);
        found_r->since_ms = sqlite3_column_int64(statement, 2);
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return step;
}

/* Of itself, without its sub-address, of its domain; the domain is in normal form. */
static int find_form(struct store *store, const char *address, unsigned match, struct suppression *found_r,
                     struct outcome *error_r)
{
    char base[ADDRESS_SIZE];
    const char *at = strrchr(address, '@');

    snprintf(base, sizeof base, "%s", address);
    char *plus = strchr(base, '+');
    if ((match & SUPPRESSION_SUB_ADDRESS) != 0 && plus != NULL && plus > base && plus < base + (at - address))
        memmove(plus, base + (at - address), strlen(at) + 1);

    /* the most specific one first; "address IN (…)" would make a table of them and sort at each call */
    const char *const sought[] = {address, base, at};
    int found = 0;
    for (size_t i = 0; i < sizeof sought / sizeof *sought && found == 0; i++)
        if (i == 0 || strcmp(sought[i], sought[i - 1]) != 0)
            found = look_up(store, sought[i], match, found_r, error_r);
    return found;
}

/* An internationalised domain may be on the list in its other form, and written in capital letters here. */
static int find_other_form(struct store *store, const char *address, unsigned match,
                           struct suppression *found_r, struct outcome *error_r)
{
    char folded[ADDRESS_SIZE], other[ADDRESS_SIZE];
    int found = 0;

    memcpy(folded, address, strlen(address) + 1);
    char *at = strrchr(folded, '@');
    if (!address_is_ascii(at) && !fold_domain(at + 1, (size_t)(folded + sizeof folded - at - 1))) {
        outcome_local(
            error_r, "4.3.0",
            "nobody can tell now whether the recipient is suppressed: the internationalised domain %s"
            " cannot be turned into the form that DNS knows; the log says why",
            at + 1);
        return -1;
    }
    if (strcmp(folded, address) != 0)
        found = find_form(store, folded, match, found_r, error_r);
    if (found == 0 && suppression_other_form(folded, other))
        found = find_form(store, other, match, found_r, error_r);
    return found;
}

int suppression_find(struct store *store, const char *recipient, unsigned match, struct suppression *found_r,
                     struct outcome *error_r)
{
    char address[ADDRESS_SIZE];

    *found_r = (struct suppression){.address = ""};
    snprintf(address, sizeof address, "%s", recipient);
    char *at = strrchr(address, '@');
    if (at == NULL)
        return 0;
    normalise_domain(at + 1);
    int found = find_form(store, address, match, found_r, error_r);
    if (found == 0 && (!address_is_ascii(at) || strstr(at, "xn--") != NULL))
        found = find_other_form(store, address, match, found_r, error_r);
    return found;
}

bool suppression_pass(struct store *store, const struct config *config, const char *recipient,
                      struct outcome *outcome_r)
{
    struct suppression found;
    char since[CLOCK_RFC3339_SIZE];
    int result = config->suppression.enabled
                     ? suppression_find(store, recipient, suppression_match(config), &found, outcome_r)
                     : 0;

    if (result > 0)
        outcome_set(outcome_r, OUTCOME_DROPPED, CAUSE_POLICY, 0, "5.7.1",
                    "recipient is suppressed (%s since %.10s%s%s)", suppression_reason_name(found.reason),
                    clock_rfc3339(found.since_ms, since), *found.address == '@' ? ", the whole domain " : "",
                    *found.address == '@' ? found.address + 1 : "");
    return result == 0;
}

/* --- change ----------------------------------------------------------------------------------------- */

static bool insert(struct store *store, sqlite3_stmt *statement, const struct suppression *entry,
                   struct outcome *error_r)
{
    if (statement == NULL)
        return false;
    sqlite3_bind_text(statement, 1, entry->address, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 2, (int)entry->reason);
    sqlite3_bind_int64(statement, 3, entry->since_ms);
    return store_run(store, statement, error_r);
}

/* What is there is left alone by the statement: 1 when it was not, 0, or -1 with *error_r set. */
static int changed(struct store *store, sqlite3_stmt *statement, const struct suppression *entry,
                   struct outcome *error_r)
{
    return insert(store, statement, entry, error_r) ? sqlite3_changes(store_handle(store)) > 0 : -1;
}

bool suppression_add(struct store *store, const struct suppression *entry, struct outcome *error_r)
{
    return insert(
        store,
        store_statement(store,
                        "INSERT OR REPLACE INTO suppression (address, reason, since_ms) VALUES (?, ?, ?)",
                        error_r),
        entry, error_r);
}

int suppression_after_hard_bounce(struct store *store, const struct config *config, const char *recipient,
                                  int64_t now_ms, struct outcome *error_r)
{
    struct suppression entry = {.reason = SUPPRESSION_HARD_BOUNCE, .since_ms = now_ms};
    const char *why;

    if (!config->suppression.on_hard_bounce ||
        !suppression_normalise(recipient, suppression_match(config), entry.address, &why))
        return 0;
    /* no "OR IGNORE": it would hold for the journal that the trigger writes, too, and leave the removal there
     */
    return changed(store,
                   store_statement(store,
                                   "INSERT INTO suppression (address, reason, since_ms) SELECT ?1, ?2, ?3"
                                   " WHERE NOT EXISTS (SELECT 1 FROM suppression WHERE address = ?1)",
                                   error_r),
                   &entry, error_r);
}

int suppression_after_complaint(struct store *store, const struct config *config, const char *recipient,
                                int64_t now_ms, struct outcome *error_r)
{
    struct suppression entry = {.reason = SUPPRESSION_SPAM_COMPLAINT, .since_ms = now_ms};
    const char *why;

    if (!suppression_normalise(recipient, suppression_match(config), entry.address, &why))
        return 0;
    return changed(store,
                   store_statement(store,
                                   "INSERT OR REPLACE INTO suppression (address, reason, since_ms)"
                                   " SELECT ?1, ?2, ?3 WHERE NOT EXISTS"
                                   " (SELECT 1 FROM suppression WHERE address = ?1 AND reason = ?2)",
                                   error_r),
                   &entry, error_r);
}

int suppression_remove(struct store *store, const char *address, unsigned match, struct outcome *error_r)
{
    sqlite3_stmt *statement =
        store_statement(store,
                        (match & SUPPRESSION_CASE_SENSITIVE) != 0
                            ? "DELETE FROM suppression WHERE address = ?"
                            : "DELETE FROM suppression WHERE address COLLATE NOCASE = ?",
                        error_r);

    if (statement == NULL)
        return -1;
    sqlite3_bind_text(statement, 1, address, -1, SQLITE_STATIC);
    return store_run(store, statement, error_r) ? sqlite3_changes(store_handle(store)) > 0 : -1;
}
