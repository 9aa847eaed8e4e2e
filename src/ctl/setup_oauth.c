/* The first login at a provider of tokens, with a browser elsewhere (RFC 8628): within the dialogue of setup,
 * and as setup --oauth. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "ctl/setup.h"
#include "oauth/oauth.h"
#include "oauth/token_file.h"

static const struct config_tpsp *find(struct ctl *ctl, const struct config *config, const char *name)
{
    const struct config_tpsp *tpsp = config_tpsp_by_name(config, name);

    if (tpsp == NULL)
        ctl_usage(ctl, "there is no tpsp \"%s\" in %s", name, ctl->config_path);
    else if (tpsp->oauth.device_endpoint == NULL || tpsp->oauth.refresh_token_path == NULL)
        ctl_fail(ctl, "tpsp %s needs oauth: device-endpoint and refresh-token-file in %s", name,
                 ctl->config_path);
    else
        return tpsp;
    return NULL;
}

/* NULL: it was said why not. */
static char *wait_for_person(struct ctl *ctl, struct oauth *oauth, const struct config_oauth *settings,
                             struct oauth_device *device)
{
    int64_t until_ms = clock_monotonic_ms() + device->life_s * 1000;
    char *token = NULL;
    struct outcome error;

    while (clock_monotonic_ms() < until_ms) {
        struct timespec pause = {.tv_sec = device->interval_s};
        nanosleep(&pause, NULL);
        switch (oauth_device_ask(oauth, settings, device, &token, &error)) {
        case OAUTH_DEVICE_DONE:
            return token;
        case OAUTH_DEVICE_FAILED:
            ctl_fail(ctl, "%s", error.text);
            return NULL;
        case OAUTH_DEVICE_WAIT:
            break;
        }
    }
    ctl_fail(ctl, "nobody has entered the code in time; run this again");
    return NULL;
}

/* The refresh token, to be freed with secret_free(); NULL: it was said why there is none. */
static char *log_in(const struct setup *setup, const struct config *config, const struct config_tpsp *tpsp)
{
    struct oauth_device device;
    struct outcome error;
    /* nothing is to be opened in the state directory by root: no cache of TLS sessions */
    struct config without_state = *config;
    without_state.state_dir = NULL;
    struct oauth *oauth = oauth_open(&without_state, setup->ctl->verbose ? stderr : NULL);

    if (!oauth_device_begin(oauth, &tpsp->oauth, &device, &error)) {
        ctl_fail(setup->ctl, "%s", error.text);
        oauth_close(oauth);
        return NULL;
    }
    AUTO_FREE char *uri = ctl_text(device.uri), *code = ctl_text(device.user_code);
    printf("Open %s in a browser anywhere, log in as %s, and enter the code %s\n", uri, tpsp->username, code);
    fflush(stdout);
    char *token = wait_for_person(setup->ctl, oauth, &tpsp->oauth, &device);
    oauth_device_clear(&device);
    oauth_close(oauth);
    return token;
}

bool setup_log_in(struct setup *setup, const struct config *config)
{
    char *token = log_in(setup, config, config_tpsp_by_name(config, setup->answers[SETUP_NAME]));

    if (token == NULL)
        return false;
    printf("Logged in.\n");
    secret_free(&setup->answers[SETUP_REFRESH_TOKEN]);
    setup->answers[SETUP_REFRESH_TOKEN] = token;
    return true;
}

void setup_settle_login(const struct setup *setup)
{
    const char *name = setup->answers[SETUP_NAME];
    struct outcome ignored;
    struct config *config = config_load(setup->ctl->config_path, &ignored);

    setup_become_user(setup); /* nothing in the state directory may be root's */
    token_file_settle(setup->answers[SETUP_STATE_DIR], name,
                      config != NULL ? config_tpsp_by_name(config, name) : NULL);
    setup_become_root();
    config_free(config);
}

enum ctl_status setup_oauth(const struct setup *setup, const char *name)
{
    struct ctl *ctl = setup->ctl;
    /* not ctl_config(): with it root becomes the owner of the state directory, who may not write secrets */
    struct outcome error;
    struct config *config = config_load(ctl->config_path, &error);
    const struct config_tpsp *tpsp = config != NULL ? find(ctl, config, name) : NULL;

    if (config == NULL)
        return ctl_fail(ctl, "%s", error.text);
    if (tpsp == NULL) {
        config_free(config);
        return CTL_TROUBLE;
    }
    char *token = log_in(setup, config, tpsp);
    AUTO_FREE char *staged = xasprintf("%s.new", tpsp->oauth.refresh_token_path);
    setup_interrupt_removes(&staged, 1);
    bool ok = token != NULL && setup_write_secret(setup, staged, token) &&
              setup_replace(setup, staged, tpsp->oauth.refresh_token_path);
    secret_free(&token);
    setup_interrupt_removes(NULL, 0);
    if (ok)
        printf("Logged in: %s is written. sendpostctl check fetches the first token.\n",
               tpsp->oauth.refresh_token_path);
    config_free(config);
    return ok ? CTL_OK : CTL_TROUBLE;
}
