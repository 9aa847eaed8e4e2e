/*
 * rate_lanes: the lanes of src/policy/rate_limit.h with processes that race for them, and die. Two limits are taken together or not
 * at all, by compare-and-swap of one word at a time; what was taken is put back when the other limit refuses, or the TPSP was never
 * reached.
 *
 * What is claimed: no window of WINDOW ticks has more than LIMIT admissions, of either limit, whatever the interleaving, and
 * although any process may be killed between any two of its instructions.
 *
 * -DBLIND_PUT_BACK stores what was there before without comparing, which spin has to refute.
 */

#define WINDOW 3
#define TICKS 6          /* so long the clock runs */
#define LIMIT 2
#define LANES 2          /* of each limit: lane 0 is paced, lane 1 is the burst */
#define PACE 3           /* ceil(WINDOW / (LIMIT - LANES + 1)) */
#define PROCESSES 2
#define TRIES 2

byte now = 1;
byte word[4];            /* the words of limit 0, then those of limit 1 */
byte admitted[TICKS];    /* at each tick: both limits are taken by every delivery, so one count serves both */
byte done;

#define FREE(limit, lane) (word[(limit) * LANES + (lane)] <= time)

inline find(limit, lane, value)
{
    lane = 0;
    value = word[limit * LANES];
    if
    :: value > time ->
        lane = 1;
        value = word[limit * LANES + 1];
        if
        :: value > time -> lane = LANES
        :: else
        fi
    :: else
    fi
}

inline swap(limit, lane, before, took)
{
    atomic {
        if
        :: word[limit * LANES + lane] == before -> word[limit * LANES + lane] = time + (lane == 0 -> PACE : WINDOW); took = true
        :: else -> took = false
        fi
    }
}

inline put_back(limit, lane, before)
{
    atomic {
#ifdef BLIND_PUT_BACK
        word[limit * LANES + lane] = before
#else
        if
        :: word[limit * LANES + lane] == time + (lane == 0 -> PACE : WINDOW) -> word[limit * LANES + lane] = before
        :: else
        fi
#endif
    }
}

proctype sender()
{
    byte time, lane0, lane1, before0, before1, tries;
    bool took0, took1;

    do
    :: tries < TRIES ->
        tries++;
        time = now;
        find(0, lane0, before0);
        if
        :: lane0 == LANES -> goto refused
        :: else
        fi;
        find(1, lane1, before1);
        if
        :: lane1 == LANES -> goto refused
        :: else
        fi;
        swap(0, lane0, before0, took0);
        if
        :: !took0 -> goto refused
        :: true
        :: goto killed              /* with one limit taken and the other not */
        fi;
        swap(1, lane1, before1, took1);
        if
        :: !took1 -> put_back(0, lane0, before0); goto refused
        :: else
        fi;
        if
        :: admitted[time]++         /* sent */
        :: put_back(0, lane0, before0);
            put_back(1, lane1, before1)   /* the TPSP was never reached */
        :: goto killed
        fi;
refused:
        skip
    :: tries == TRIES -> break
    od;
killed:
    done++
}

active proctype clock()
{
    do
    :: now < TICKS - 1 -> now++
    :: now == TICKS - 1 -> break
    od
}

init
{
    byte start, at, sum;

    atomic {
        byte i;
        for (i : 1 .. PROCESSES) {
            run sender()
        }
    }
    done == PROCESSES;
    d_step {
        for (start : 0 .. TICKS - WINDOW) {
            sum = 0;
            for (at : start .. start + WINDOW - 1) {
                sum = sum + admitted[at]
            }
            assert(sum <= LIMIT)
        }
    }
}
