/*
 * cluster_breaker: the breaker that hosts share (src/policy/breaker_share.h, told.h). The server has one text with a version; each host has
 * its own copy, which its processes share and change by compare-and-swap, and tells what has changed if it knows the newest version;
 * else it hears that first. One host's own way to the TPSP is broken, or none's.
 *
 * What is claimed:
 *   - one message tries in the whole cluster, as long as who tries is done within the time that he has for it;
 *   - a host whose own way is broken opens it for nobody else;
 *   - who dies while he tries, or before he could say that he does, blocks the next try no longer than that time.
 *
 * -DNO_CLAIM tries without having told the others; -DOWN_CLAIM keeps a claim that nobody has been told over one that was;
 * -DANY_CLAIM does not look whether what was told is the claim; -DOWN_WAY opens for all what fails on a host's own way;
 * -DNO_EXPIRY lets a claim stand until it is given back. Spin has to refute each.
 */

#define HOSTS 2
#define NOBODY HOSTS
#define PAUSE 1          /* ticks that it stays open, which is also how long who tried lets others go first */
#ifdef NO_EXPIRY
#define TRY 100
#else
#define TRY 2
#endif
#define TICKS 3
#ifdef ANY_CLAIM
#define IS_MINE true
#else
#define IS_MINE (here[h].open && here[h].tries == h && here[h].until == mine)
#endif

typedef breaker {
    bool open;
    byte until;          /* when it may be tried */
    byte tries;          /* who tries, or tried last */
    byte suspect;        /* whose own breaker has opened */
    byte changed         /* the later one is the later change, whoever made it */
}

byte now, changes;

/* the server */
breaker told;
byte version = 1;

/* each host */
breaker here[HOSTS];
byte known[HOSTS];       /* the version */
bool unsaid[HOSTS];      /* something is here that is not known to be told: the mark of told.h */

byte broken = NOBODY;    /* the host whose own way is */
bool was_open;           /* for all, at the beginning */
byte trying;             /* messages under way to a TPSP that is left alone */

inline copy(from, to)
{
    to.open = from.open;
    to.until = from.until;
    to.tries = from.tries;
    to.suspect = from.suspect;
    to.changed = from.changed
}

inline change(h)
{
    changes++;
    here[h].changed = changes;
    unsaid[h] = true
}

/* take_in(): what was not told yet is kept where it is the later; but of two who try it is who told so. */
inline hear(h, claimed)
{
    if
    :: known[h] == version && !claimed
    :: else ->
        if
#ifdef OWN_CLAIM
        :: unsaid[h] && !claimed && told.changed < here[h].changed ->
#else
        :: unsaid[h] && !claimed && told.changed < here[h].changed &&
           !(told.open && told.until > now && here[h].open && here[h].until > now) ->
#endif
            skip
        :: else ->
            copy(told, here[h]);
            unsaid[h] = false
        fi;
        known[h] = version
    fi
}

/* tell(): heard where others were faster, and told then */
inline tell(h)
{
    if
    :: unsaid[h] ->
        hear(h, false);
        if
        :: unsaid[h] ->
            copy(here[h], told);
            version++;
            known[h] = version;
            unsaid[h] = false;
            assert(was_open || !told.open)   /* nothing is wrong with the TPSP */
        :: else
        fi
    :: else
    fi
}

/* What becomes of a message, and what is said of it. */
inline report(h, tries_it)
{
    if
    :: h != broken ->
        if
        :: here[h].open || here[h].suspect != NOBODY ->
            here[h].open = false;
            here[h].until = 0;
            here[h].tries = NOBODY;
            here[h].suspect = NOBODY;
            change(h)
        :: else
        fi
    :: h == broken && tries_it && here[h].open && here[h].tries == h ->
        here[h].until = now + PAUSE;
        change(h)
    :: h == broken && !here[h].open ->
#ifdef OWN_WAY
        here[h].open = true;
        here[h].until = now + PAUSE;
        change(h)
#else
        if
        :: here[h].suspect == NOBODY ->
            here[h].suspect = h;
            change(h)
        :: here[h].suspect != NOBODY && here[h].suspect != h ->
            here[h].open = true;
            here[h].until = now + PAUSE;
            here[h].suspect = NOBODY;
            change(h)
        :: else
        fi
#endif
    :: else
    fi
}

proctype sender(byte h; byte rounds)
{
    byte until, mine;
    bool claims;

    do
    :: rounds == 0 -> break
    :: rounds > 0 ->
        rounds--;
        atomic {                              /* ask; who may go on at once reports at once */
            claims = false;
            until = here[h].until;
            if
            :: !here[h].open -> report(h, false)
            :: here[h].open && until <= now && (here[h].tries != h || until + PAUSE <= now) -> claims = true
            :: else
            fi
        };
        if
        :: claims ->
            atomic {                          /* compare and swap */
                if
                :: here[h].open && here[h].until == until ->
                    mine = now + TRY;
                    here[h].until = mine;
                    here[h].tries = h;
                    change(h)
                :: else -> claims = false
                fi
            };
            if
            :: true
            :: break                          /* dies before it is told */
            fi
        :: else
        fi;
        if
        :: claims ->
#ifndef NO_CLAIM
            atomic {                          /* told_claim(): in one script, if this host knows the newest */
                if
                :: !IS_MINE -> claims = false
                :: IS_MINE && !unsaid[h]
                :: IS_MINE && unsaid[h] && known[h] == version ->
                    copy(here[h], told);
                    version++;
                    known[h] = version;
                    unsaid[h] = false
                :: IS_MINE && unsaid[h] && known[h] != version ->
                    hear(h, true);
                    claims = false
                fi
            }
#endif
        :: else
        fi;
        if
        :: claims ->
            atomic {
                /* the moment between the claim and this counts to the time that he has */
                if
                :: mine > now -> trying++; assert(trying == 1)
                :: else -> claims = false
                fi
            };
            if
            :: atomic { claims -> trying--; report(h, true) }
            :: atomic { claims -> trying--; break }   /* dies with it */
            :: atomic { !claims }
            fi
        :: else
        fi;
        atomic { tell(h) };
        atomic { until = 0; mine = 0; claims = false }
    od
}

/* Other processes of a host: they hear what there is, with each decision about rates, and tell. */
proctype hearer(byte h; byte rounds)
{
    do
    :: rounds > 0 -> atomic { rounds--; hear(h, false) }
    :: rounds > 0 -> atomic { rounds--; tell(h) }
    :: rounds == 0 -> break
    od
}

/* Who tries is done before another may. */
proctype clock()
{
    do
    :: atomic { now < TICKS && trying == 0 -> now++ }
    :: now == TICKS -> break
    :: atomic { _nr_pr <= 2 -> break }
    od
}

init {
    atomic {
        if
        :: broken = NOBODY
        :: broken = 0
        :: broken = 1
        fi;
        if
        :: was_open = true
        :: was_open = false
        fi;
        told.tries = NOBODY;
        told.suspect = NOBODY;
        told.open = was_open;
        copy(told, here[0]);
        copy(told, here[1]);
        known[0] = version;
        known[1] = version;
        run sender(0, 2);
        run hearer(0, 2);
        run sender(1, 2);
        run clock()
    };
    _nr_pr == 1;
    /* All are gone, some of them dead. What is told is what a host that comes hears, and when the longest try is over it may try. */
    assert(!told.open || told.until <= now + 2);
    assert(!here[0].open || here[0].until <= now + 2);
    assert(!here[1].open || here[1].until <= now + 2)
}
