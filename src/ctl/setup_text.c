#include "ctl/setup_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "ctl/setup_edit.h"

/* A JSON string is a YAML double-quoted one. */
static char *quoted(const char *value)
{
    struct json_object *json = json_object_new_string(value);
    char *text = xstrdup(
        json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

    json_object_put(json);
    return text;
}

static void write_quoted(FILE *stream, const char *key, const char *value)
{
    AUTO_FREE char *text = quoted(value);

    fprintf(stream, "%s: %s\n", key, text);
}

/* The keys of a TPSP, a line each. */
static char *tpsp_lines(const struct setup *setup, const struct setup_secrets *files)
{
    char *const *answers = setup->answers;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream == NULL)
        return NULL;
    write_quoted(stream, "name", answers[SETUP_NAME]);
    if (*answers[SETUP_TPSP_ID] != '\0')
        fprintf(stream, "id: %s\n", answers[SETUP_TPSP_ID]);
    write_quoted(stream, "host", answers[SETUP_HOST]);
    fprintf(stream, "port: %s\nsecurity: %s\n", answers[SETUP_PORT], answers[SETUP_SECURITY]);
    if (*answers[SETUP_USERNAME] != '\0')
        write_quoted(stream, "username", answers[SETUP_USERNAME]);
    if (files->password != NULL)
        write_quoted(stream, "password-file", files->password);
    if (setup_uses_oauth(setup)) {
        AUTO_FREE char *section = setup_oauth_section(setup, files->client_secret, files->refresh_token);
        fprintf(stream, "oauth: %s\n", section);
    }
    if (setup->helo_name != NULL)
        write_quoted(stream, "helo-name", setup->helo_name);
    fprintf(stream, "max-rate-per-hour: %s\n", answers[SETUP_MAX_RATE]);
    fclose(stream);
    return text;
}

static char *new_text(const struct setup *setup, const struct setup_secrets *files)
{
    char *const *answers = setup->answers;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    AUTO_FREE char *lines = tpsp_lines(setup, files);

    if (stream == NULL || lines == NULL)
        return NULL;
    fprintf(stream,
            "# Written by sendpostctl setup; postfix-sendpost.yaml(5) explains every key.\n"
            "account-id: %s\nsubaccount-id: %s\n",
            answers[SETUP_ACCOUNT_ID], answers[SETUP_SUBACCOUNT_ID]);
    write_quoted(stream, "state-dir", answers[SETUP_STATE_DIR]);
    write_quoted(stream, "endpoint", answers[SETUP_ENDPOINT]);
    if (files->api_key != NULL)
        write_quoted(stream, "api-key-file", files->api_key);
    write_quoted(stream, "uuid-key-file", files->uuid_key);
    if (setup->log_path != NULL)
        write_quoted(stream, "log-path", setup->log_path);
    fputs("tpsps:\n  -\n", stream);
    fclose(stream);
    char *mark = strstr(text, "  -\n"); /* where the item goes */
    *mark = '\0';
    char *whole = xstrdup(text);
    free(text);
    for (const char *line = lines; *line != '\0'; line += strcspn(line, "\n") + 1) {
        char *longer =
            xasprintf("%s%s%.*s\n", whole, line == lines ? "  - " : "    ", (int)strcspn(line, "\n"), line);
        free(whole);
        whole = longer;
    }
    return whole;
}

/* --- changes ------------------------------------------------------------------------------------------- */

static bool differs(const struct setup *setup, enum setup_question which)
{
    return setup->before[which] == NULL || strcmp(setup->before[which], setup->answers[which]) != 0;
}

static bool change_top(const struct setup *setup, char **text, enum setup_question which, const char *key,
                       bool quote)
{
    AUTO_FREE char *value = quote ? quoted(setup->answers[which]) : xstrdup(setup->answers[which]);

    return !differs(setup, which) || setup_edit_top(text, key, value);
}

static bool change_tpsp(const struct setup *setup, char **text, enum setup_question which, const char *key,
                        bool quote)
{
    const char *answer = setup->answers[which];
    AUTO_FREE char *value = *answer == '\0' ? NULL : quote ? quoted(answer) : xstrdup(answer);

    return !differs(setup, which) || setup_edit_tpsp(text, setup->answers[SETUP_NAME], key, value);
}

/* With a password, or without a login, no tokens are wanted any more. */
static bool change_oauth(const struct setup *setup, char **text, const struct setup_secrets *files)
{
    const char *name = setup->answers[SETUP_NAME];

    if (setup->adds || (setup_uses_oauth(setup) && !setup_oauth_differs(setup)))
        return true;
    if (!setup_uses_oauth(setup))
        return setup_oauth_before(setup) == NULL || setup_edit_tpsp(text, name, "oauth", NULL);
    AUTO_FREE char *section = setup_oauth_section(setup, files->client_secret, files->refresh_token);
    return setup_edit_tpsp(text, name, "oauth-token", NULL) &&
           setup_edit_tpsp(text, name, "oauth-token-file", NULL) &&
           setup_edit_tpsp(text, name, "oauth", section);
}

static bool change_secrets(const struct setup *setup, char **text, const struct setup_secrets *files)
{
    const char *name = setup->answers[SETUP_NAME];
    AUTO_FREE char *password = files->password != NULL ? quoted(files->password) : NULL;
    AUTO_FREE char *api_key = files->api_key != NULL ? quoted(files->api_key) : NULL;
    AUTO_FREE char *uuid_key = files->uuid_key != NULL ? quoted(files->uuid_key) : NULL;
    bool forgets = *setup->answers[SETUP_USERNAME] == '\0' || setup_uses_oauth(setup);

    if ((password != NULL || forgets) && !setup->adds &&
        (!setup_edit_tpsp(text, name, "password", NULL) ||
         !setup_edit_tpsp(text, name, "password-file", password)))
        return false;
    if (api_key != NULL &&
        (!setup_edit_top(text, "api-key", NULL) || !setup_edit_top(text, "api-key-file", api_key)))
        return false;
    if (!change_oauth(setup, text, files))
        return false;
    return uuid_key == NULL || setup->old->uuid_keys.count > 0 ||
           setup_edit_top(text, "uuid-key-file", uuid_key);
}

static char *changed_text(const struct setup *setup, const struct setup_secrets *files)
{
    char *text = xstrdup(setup->old_text);
    AUTO_FREE char *lines = tpsp_lines(setup, files);
    bool ok = change_top(setup, &text, SETUP_ACCOUNT_ID, "account-id", false) &&
              change_top(setup, &text, SETUP_SUBACCOUNT_ID, "subaccount-id", false) &&
              change_top(setup, &text, SETUP_ENDPOINT, "endpoint", true) &&
              change_top(setup, &text, SETUP_STATE_DIR, "state-dir", true);

    if (ok && setup->adds)
        ok = lines != NULL && setup_edit_add_tpsp(&text, lines);
    else if (ok)
        ok = change_tpsp(setup, &text, SETUP_TPSP_ID, "id", false) &&
             change_tpsp(setup, &text, SETUP_HOST, "host", true) &&
             change_tpsp(setup, &text, SETUP_PORT, "port", false) &&
             change_tpsp(setup, &text, SETUP_SECURITY, "security", false) &&
             change_tpsp(setup, &text, SETUP_USERNAME, "username", true) &&
             change_tpsp(setup, &text, SETUP_MAX_RATE, "max-rate-per-hour", false);
    if (ok && change_secrets(setup, &text, files))
        return text;
    free(text);
    return NULL;
}

char *setup_text(const struct setup *setup, const struct setup_secrets *files)
{
    return setup->old != NULL ? changed_text(setup, files) : new_text(setup, files);
}
