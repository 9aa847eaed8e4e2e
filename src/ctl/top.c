/*
 * sendpostctl top: a screen that shows what goes, what waits and why, and is drawn anew every few seconds. It
 * only looks. The terminal is given back however it ends; without one it prints a single frame.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/xalloc.h"
#include "ctl/agent_health.h"
#include "ctl/ctl.h"
#include "ctl/follow.h"
#include "ctl/people.h"
#include "ctl/queue_json.h"
#include "ctl/status_shared.h"
#include "ctl/top_frame.h"

#define EVERY_MS 2000
#define EVERY_LEAST_MS 500
#define EVERY_MOST_MS 60000
#define QUEUE_EVERY_MS 10000
#define QUEUE_SHARE 20 /* of the time at most one in so many goes to the listing of a long queue */

/* the alternate screen, no cursor: xterm's, and what all others took over */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"
#define HOME "\033[H"
#define LINE_END "\033[K\n"
#define CLEAR_BELOW "\033[J"

struct top {
    struct ctl *ctl;
    struct top_watch *watch;
    const struct top_facts *facts;
    int64_t every_ms;
    int64_t queue_due_ms; /* clock_monotonic_ms() */
    bool by_name, paused;
};

/* --- the terminal ------------------------------------------------------------------------------------- */

static struct termios before;
static bool entered;

/* Also where the program ends by exit(). */
static void leave(void)
{
    if (!entered)
        return;
    entered = false;
    fputs(LEAVE, stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

static bool enter(void)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* signals stay keys of the terminal */
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) != 0)
        return false;
    entered = true;
    fputs(ENTER, stdout);
    return true;
}

static void measure(size_t *width_r, size_t *height_r)
{
    struct winsize size;

    *width_r = 80;
    *height_r = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        *width_r = size.ws_col;
        *height_r = size.ws_row;
    }
}

/* --- frames ------------------------------------------------------------------------------------------- */

static void look_at_cluster(struct top *top)
{
    const struct config *config = top->ctl->config;
    char *why = NULL;
    bool ok;

    if (config->cluster.server_count == 0)
        return;
    struct json_object *agent = agent_health(config, &why);
    AUTO_FREE char *words = status_cluster_words(config, agent, &ok);
    top_watch_cluster(top->watch, words, ok);
    json_object_put(agent);
    free(why);
}

/* The listing of a long queue takes seconds: it comes as often as it is cheap. */
static void look_at_queue(struct top *top)
{
    int64_t begun_ms = clock_monotonic_ms();

    if (begun_ms < top->queue_due_ms)
        return;
    if (top->queue_due_ms > 0) /* the first was asked with the rights that we came with */
        ctl_ask_queue(top->ctl);
    const struct run *queue = top->ctl->queue;
    bool known = queue != NULL && (queue->status == 0 || *queue->out != '\0');
    top_watch_queue(top->watch, known ? queue->out : NULL, known && queue->status == 0);
    look_at_cluster(top);
    int64_t took_ms = clock_monotonic_ms() - begun_ms;
    top->queue_due_ms =
        begun_ms + (took_ms * QUEUE_SHARE > QUEUE_EVERY_MS ? took_ms * QUEUE_SHARE : QUEUE_EVERY_MS);
}

static void look(struct top *top)
{
    top->facts = top_watch_look(top->watch);
    look_at_queue(top);
}

static void draw_screen(const struct top *top)
{
    AUTO_FREE char *note = xasprintf("q quit  space look now  p %s  s sort by %s  + - every %.1f s",
                                     top->paused ? "go on (paused)" : "pause", top->by_name ? "rate" : "name",
                                     (double)top->every_ms / 1000);
    struct top_frame frame = {.out = stdout, .by_name = top->by_name, .line_end = LINE_END, .note = note};

    measure(&frame.width, &frame.height);
    frame.height--; /* the last line ends with a line end, too */
    fputs(HOME, stdout);
    top_frame_draw(&frame, top->facts);
    fputs(CLEAR_BELOW, stdout);
    fflush(stdout);
}

/* --- keys --------------------------------------------------------------------------------------------- */

enum deed { GO_ON, LOOK_NOW, QUIT };

static enum deed obey(struct top *top, char key)
{
    switch (key) {
    case 'q':
    case 'Q':
    case 4: /* control-D */
        return QUIT;
    case 'p':
        top->paused = !top->paused;
        return top->paused ? GO_ON : LOOK_NOW;
    case 's':
        top->by_name = !top->by_name;
        return GO_ON;
    case '+':
        if (top->every_ms < EVERY_MOST_MS)
            top->every_ms *= 2;
        return GO_ON;
    case '-':
        if (top->every_ms > EVERY_LEAST_MS)
            top->every_ms /= 2;
        return GO_ON;
    case ' ':
    case 12: /* control-L */
        return LOOK_NOW;
    default:
        return GO_ON;
    }
}

static enum deed read_keys(struct top *top)
{
    enum deed deed = GO_ON;
    char keys[64];
    ssize_t count = read(STDIN_FILENO, keys, sizeof keys);

    if (count <= 0)
        return QUIT;
    for (ssize_t i = 0; i < count && deed != QUIT && keys[i] != '\033';
         i++) { /* arrows and the like are nothing */
        enum deed next = obey(top, keys[i]);
        deed = next != GO_ON ? next : deed;
    }
    return deed;
}

static bool come_back(void)
{
    leave();
    follow_stop();
    return enter();
}

/* Draws, and waits until it is time for the next look. False: it is to end. */
static bool stay(struct top *top, int64_t until_ms)
{
    for (;;) {
        draw_screen(top);
        int64_t left_ms = until_ms - clock_monotonic_ms();
        switch (follow_wait(top->paused ? EVERY_MOST_MS : left_ms < 0 ? 0 : left_ms, true)) {
        case FOLLOW_END:
            return false;
        case FOLLOW_TIME:
            if (top->paused)
                continue;
            return true;
        case FOLLOW_SUSPEND:
            if (!come_back())
                return false;
            continue;
        case FOLLOW_KEY:
            switch (read_keys(top)) {
            case QUIT:
                return false;
            case LOOK_NOW:
                return true;
            default:
                continue;
            }
        default:
            continue;
        }
    }
}

static enum ctl_status run_screen(struct top *top)
{
    follow_begin();
    atexit(leave);
    if (!enter())
        return ctl_fail(top->ctl, "cannot use the terminal; --once prints a frame");
    do
        look(top);
    while (stay(top, clock_monotonic_ms() + top->every_ms));
    leave();
    follow_end();
    return CTL_OK;
}

/* --- one frame ---------------------------------------------------------------------------------------- */

static const char *const outcomes[TOP_OUTCOMES] = {[TOP_DELIVERED] = "delivered",
                                                   [TOP_DEFERRED] = "deferred",
                                                   [TOP_OVER_RATE] = "over_rate",
                                                   [TOP_DROPPED] = "dropped"};

static struct json_object *tpsps_json(const struct top_facts *facts)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < facts->tpsp_count; i++) {
        struct json_object *row = json_object_new_object(), *day = json_object_new_object();
        for (size_t k = 0; k < TOP_OUTCOMES; k++)
            if (k != TOP_OVER_RATE) /* that is no event, and hence in no tally of hours */
                json_add_number(day, outcomes[k], (int64_t)facts->tpsps[i].day[k]);
        json_add_text(row, "tpsp", facts->tpsps[i].name);
        json_add_text(row, "text", facts->tpsps[i].state);
        json_object_object_add(row, "last_day", facts->store_known ? day : NULL);
        if (!facts->store_known)
            json_object_put(day);
        json_object_array_add(list, row);
    }
    return list;
}

static struct json_object *providers_json(const struct top_lines *lines)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < lines->count; i++) {
        const struct top_line *line = &lines->lines[i];
        struct json_object *row = json_object_new_object();
        size_t slash = strcspn(line->name, "/"); /* no name has one */
        AUTO_FREE char *tpsp = xstrndup(line->name, slash);
        json_add_text(row, "tpsp", strcmp(tpsp, "-") == 0 ? NULL : tpsp);
        json_add_text(row, "provider", strcmp(line->name + slash, "/-") == 0 ? NULL : line->name + slash + 1);
        for (size_t k = 0; k < TOP_OUTCOMES; k++)
            json_add_number(row, outcomes[k], (int64_t)line->counts[k]);
        json_object_array_add(list, row);
    }
    return list;
}

static struct json_object *reasons_json(const struct top_lines *lines)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; i < lines->count; i++) {
        struct json_object *row = json_object_new_object();
        json_add_text(row, "text", lines->lines[i].name);
        json_add_number(row, "count", (int64_t)lines->lines[i].counts[0]);
        json_object_array_add(list, row);
    }
    return list;
}

static void print_json(const struct top_facts *facts)
{
    struct json_object *object = json_object_new_object();

    json_object_object_add(object, "queue", queue_json(facts->queue_known ? &facts->queue : NULL, NULL));
    json_object_object_add(object, "tpsps", tpsps_json(facts));
    json_object_object_add(object, "providers", providers_json(&facts->providers));
    json_object_object_add(object, "reasons", reasons_json(&facts->reasons));
    ctl_print_json(object);
}

static enum ctl_status run(struct ctl *ctl)
{
    bool once = ctl_option(ctl, "once") != NULL;
    const char *terminal = getenv("TERM"), *every = ctl_option(ctl, "every");
    struct top top = {.ctl = ctl, .every_ms = every != NULL ? people_duration_ms(every) : EVERY_MS};
    enum ctl_status status = CTL_OK;

    if (ctl->operand_count > 0)
        return ctl_usage(ctl, "takes no operand: \"%s\"", ctl->operands[0]);
    if (top.every_ms < EVERY_LEAST_MS || top.every_ms > EVERY_MOST_MS)
        return ctl_usage(ctl, "--every \"%s\" is no duration from 1s to 60s", every);
    if (ctl_config(ctl) == NULL)
        return CTL_TROUBLE;
    top.watch = top_watch_new(ctl->config);
    if (!once && !ctl->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
        (terminal == NULL || strcmp(terminal, "dumb") != 0)) {
        status = run_screen(&top);
    } else {
        struct top_frame frame = {.out = stdout, .line_end = "\n"};
        look(&top);
        if (isatty(STDOUT_FILENO))
            measure(&frame.width, &(size_t){0});
        if (ctl->json && !top.facts->store_known)
            status = ctl_fail(ctl, "the store in %s cannot be read now: sendpostctl status says why",
                              ctl->config->state_dir);
        else if (ctl->json)
            print_json(top.facts);
        else
            top_frame_draw(&frame, top.facts);
    }
    top_watch_free(top.watch);
    return status;
}

static const struct ctl_option options[] = {
    {"once", '1', NULL, "print one frame; so it does without a terminal"},
    {"every", 0, "DURATION", "look so often: 1s to 60s (2s)"},
    {.name = NULL},
};

const struct ctl_command ctl_top = {
    .name = "top",
    .synopsis = "[--once] [--every DURATION]",
    .summary = "Watch what goes and what waits: by TPSP and provider, with rates and reasons",
    .examples = "  sendpostctl top                  # q quits, s sorts, p pauses\n"
                "  sendpostctl top --once\n",
    .options = options,
    .asks_queue = true,
    .run = run,
};
