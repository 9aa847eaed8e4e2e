/* top_frame: the screen of `sendpostctl top`, as lines of text. */
#ifndef SENDPOST_CTL_TOP_FRAME_H
#define SENDPOST_CTL_TOP_FRAME_H

#include <stdio.h>

#include "ctl/top_facts.h"

struct top_frame {
    FILE *out;
    size_t width, height; /* of the terminal; 0: no bound, everything is shown */
    bool by_name;         /* providers and reasons, instead of the busiest first */
    const char *line_end; /* "\n", or what a terminal in our hands needs besides */
    const char *note;     /* the last line; NULL: none */
};

void top_frame_draw(const struct top_frame *frame, const struct top_facts *facts) __attribute__((nonnull));

#endif
