/* A meeting place of its own for each test, in which no socket may be left. */
#ifndef TESTS_UNIT_SUPERVISOR_MEETING_PLACE_H
#define TESTS_UNIT_SUPERVISOR_MEETING_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

extern char meeting_places[]; /* the directory above it */
extern int meeting_place;

void meeting_place_make(void);
void meeting_place_remove(void);

/* How many names are there of which it is true. */
unsigned meeting_place_count(bool (*of)(const char *name));

/* Of a supervisor that waits. */
bool meeting_place_is_socket(const char *name);

/* Of a child, when it has ended. */
int exit_status(pid_t child);

#endif
