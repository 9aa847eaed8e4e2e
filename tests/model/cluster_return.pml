/*
 * cluster_return: the lanes of a cluster after the server was lost. Two hosts share one lane; the server may be replaced at any moment by one
 * that has forgotten the last writes, or all of them. What each host was given it has noted, and brings, before it is given more. In a host
 * several processes share the note and the epoch.
 *
 * What is claimed: no slot is given twice, as long as the hosts report: between two admissions there are at least INTERVAL ticks, whatever
 * the server forgets, whichever process notes last, and although any process may die between two steps.
 *
 * -DNO_EPOCH leaves out that a slot counts only in the epoch in which it was noted; -DANY_EPOCH brings a note that was read in an
 * earlier epoch; -DANY_BRINGER lets one that was overtaken have the last word; -DNO_COLLECT gives slots out without waiting for the other host. Spin has to refute each.
 */

#ifndef ROUNDS
#define ROUNDS 1         /* of the first process; the second one has one more */
#endif
#define HOSTS 2
#define INTERVAL 2
#define TICKS 3
#define NEVER 0

byte now = 1;            /* ticks; nobody's clock steps here: tests/unit/cluster/test_limits.lua moves clocks */

/* the server */
byte word = NEVER;       /* when the lane is free again */
byte epoch = 1;
bool brought[HOSTS];     /* which host has brought its note in this epoch */
byte losses;

/* each host */
byte note[HOSTS];        /* when it believes the lane to be free again */
short host_epoch[HOSTS]; /* in which it has brought what it knows; below 0: it is about to, for that epoch */

bool admitted[TICKS + 2]; /* at each tick */

/* Admissions count when they are certain, which is not the order in which they were given. INTERVAL is two ticks: neighbours collide. */
inline admit(tick)
{
    assert(!admitted[tick - 1] && !admitted[tick] && !admitted[tick + 1]);
    admitted[tick] = true
}

inline open_to(h)
{
#ifdef NO_COLLECT
    allowed = brought[h]
#else
    allowed = brought[0] && brought[1]   /* the second and a half of collecting, and agents that tend every half second */
#endif
}

proctype process(byte h; bool coarse; byte rounds)
{
    byte given, given_epoch, left;
    bool allowed, granted;

    do
    :: coarse ->
        /* the other host, each of its steps at once: what may happen between them is tried in the first one */
        atomic {
            open_to(h);
            if
            :: host_epoch[h] != epoch ->
                host_epoch[h] = epoch;
                brought[h] = true;
                word = (word < note[h] -> note[h] : word)
            :: host_epoch[h] == epoch && allowed && word <= now ->
                admit(now);
                word = now + INTERVAL;
                note[h] = word
            :: now == TICKS -> break
            fi
        }
    :: !coarse && rounds == 0 -> break
    :: !coarse && rounds > 0 ->
        rounds--;
        atomic {                          /* take: one script */
            open_to(h);
            if
            :: host_epoch[h] == epoch && allowed && word <= now ->
                granted = true;
                word = now + INTERVAL;
                given = now;
                given_epoch = epoch
            :: else
            fi
        };
        if
        :: granted ->
            atomic {                      /* note it, in memory that the processes share */
                if
                :: note[h] < given + INTERVAL -> note[h] = given + INTERVAL
                :: else
                fi
            };
            if
            :: true
            :: break                      /* dies with it: a slot that nobody used */
            fi;
            atomic {                      /* it counts only in the epoch in which it was given */
                if
#ifdef NO_EPOCH
                :: true ->
#else
                :: host_epoch[h] == given_epoch ->
#endif
                    admit(given)
                :: else
                fi
            }
        :: else ->
            given_epoch = epoch;          /* the answer said so */
            if
            :: host_epoch[h] != given_epoch ->
                /* bring: first this, then read the note, then tell the server, for that epoch alone */
                host_epoch[h] = -given_epoch;
                left = note[h];
                atomic {
#ifdef ANY_EPOCH
                    given_epoch = epoch;
#endif
                    if
                    :: epoch == given_epoch ->
                        if
                        :: word < left -> word = left
                        :: else
                        fi;
                        brought[h] = true
                    :: else -> given_epoch = 0
                    fi
                };
                if
#ifdef ANY_BRINGER
                :: given_epoch != 0 -> host_epoch[h] = given_epoch
                :: else
#else
                /* compare and swap: nobody has begun another epoch meanwhile */
                :: atomic { given_epoch != 0 && host_epoch[h] == -given_epoch -> host_epoch[h] = given_epoch }
                :: else
#endif
                fi
            :: else
            fi;
            left = 0
        fi;
        atomic { given = 0; given_epoch = 0; allowed = false; granted = false }
    od
}

active proctype clock()
{
    do
    :: now < TICKS -> now++
    :: now == TICKS -> break
    od
}

/* Another server that knows nothing: the worst of all, for what is brought is merged with what is there, and the later time counts. */
active proctype loss()
{
    do
    :: losses < 2 ->
        atomic {
            losses++;
            epoch++;
            brought[0] = false;
            brought[1] = false;
            word = NEVER
        }
    :: break
    od
}

init {
    atomic {
        run process(0, false, ROUNDS);
        run process(0, false, ROUNDS + 1);
        run process(1, true, 0)
    }
}
