/*
 * delivery: one message, one recipient, and everything that has a say in what becomes of it: Postfix with its pipe(8), the
 * deliverers that it starts, the store, the TPSP, the event API and the agent; with a crash, a power cut, a full disk or a lost
 * reply at any step. doc/protocol.md says the same in words.
 *
 * What is claimed (the assertions):
 *   whole        no copy that was cut short is ever accepted by the TPSP
 *   no loss      Postfix lets go of the message only after the TPSP has it whole, or the TPSP refused it for good
 *   one copy     the TPSP has at most one copy more than there were answers that nobody could read or put on record
 *   one fate     what is on record as dropped is sent no more
 *   events       when Postfix lets go, the event is at the API or durably in the store; at the end it is at the API, once;
 *                and so it is where the message never comes back (somebody deletes it from the queue), unless it was in doubt
 *
 * -DOLD is the protocol of version 0.1.0, which looked at the writer once, kept no intent and no mark, and accepted any copy for
 * any other; spin has to refute it. -DNO_MARK leaves out the mark alone, which a full disk has to refute. -DFORGET_DROP looks for
 * acceptances alone, so that what is on record as dropped is sent after all.
 */

#ifndef VISITS
#define VISITS 3
#endif
#ifndef FAULTS
#define FAULTS 2
#endif

mtype = { NONE, BEGUN, DOT, ACCEPTED };             /* the mark */
mtype = { PENDING, REPORTED };                      /* the event row, else NONE */
mtype = { QUEUED, GONE_DELIVERED, GONE_DROPPED };   /* what Postfix holds */

mtype queue = QUEUED;

/* The store: what processes see, and what would be left after a power cut. */
bool intent, intent_synced;
mtype row = NONE, row_synced = NONE;
/* The mark lies in memory that is mapped from a file whose blocks exist: it needs no space, and survives a kill. */
mtype mark = NONE;

bool disk_full;
bool claim;             /* the lock of this delivery: its holder's death frees it */

byte copies;            /* accepted by the TPSP, whole */
byte cut_copies;        /* accepted by the TPSP, cut short */
bool refused;           /* the TPSP has refused it for good */
bool dropped;           /* and the row, if there is one, says so */
byte doubts;            /* answers to a dot that nobody could read, or whose record a crash took away */
bool open_dot;          /* a dot whose answer is not read and marked yet */
byte at_api;            /* deliveries of the event: one id, so that more than one is one */
bool api_up = true;

byte faults;            /* that have been used up */
byte visits;
byte running;           /* deliverers */
byte powercuts;         /* so many there were: a process of before is gone */

/* A power cut takes what is not on disk, and of a mark what chance wants; one that is not ACCEPTED says nothing after a boot. What
 * had been accepted and is known no more is in doubt. */
inline power_cut()
{
    atomic {
        faults++;
        powercuts++;
        if
        :: open_dot -> doubts++; open_dot = false
        :: else
        fi;
        if
        :: mark == ACCEPTED
        :: (row != NONE || mark == ACCEPTED) && row_synced == NONE && copies > 0 -> doubts++; mark = NONE
        :: mark != ACCEPTED && (row == NONE || row_synced != NONE || copies == 0) -> mark = NONE
        fi;
        intent = intent_synced; row = row_synced;
        claim = false;
    }
}

inline sync_store() { intent_synced = intent; row_synced = row }

/* A process that a power cut has ended does nothing more: the first word of every step. */
#define STEP if :: born != powercuts -> goto dead :: else fi

/* Anything may happen between two steps: nothing, the death of this process, the death of all of them. */
inline fate()
{
    if
    :: true
    :: faults < FAULTS -> faults++; goto dead
    :: faults < FAULTS -> power_cut(); goto dead
    fi
}

proctype deliverer(bool whole; bool writer_lives_on)
{
    bool alive = true;      /* pipe(8) holds the other end of our stdout */
    byte born = powercuts;
    bool mine = false;      /* the claim */
    bool in_doubt = false, sent = false;

    /* standard input has come to its end: because the message has, or because its writer is gone */
    if
    :: !whole -> alive = false
    :: whole && !writer_lives_on -> alive = false
    :: else
    fi;

    fate();
#ifndef OLD
    if
    :: !alive -> goto dead           /* 75 to nobody */
    :: else
    fi;
#else
    skip;                            /* getppid() was asked after the parent may have been dead, and showed nothing */
#endif
    atomic { STEP; if
    :: !claim -> claim = true; mine = true
    :: else -> goto dead             /* "another process is delivering this message" */
    fi };
    fate();

    /* what is known of it */
    atomic { STEP; if
#ifdef FORGET_DROP
    :: row != NONE && !dropped -> mark = NONE; goto report
#else
    :: row != NONE -> mark = NONE; goto report    /* accepted or dropped before, by a copy of this size and hash */
#endif
#ifndef OLD
    :: row == NONE && mark == ACCEPTED ->
        /* the record that did not fit when it was accepted; no copy is sent for it */
        if
        :: disk_full -> goto again
        :: else -> row = PENDING; goto recorded
        fi
#endif
    :: else
    fi };
    fate();

#ifndef OLD
    /* the intent: where the store cannot take it, nobody is contacted */
    atomic { STEP; if
    :: disk_full -> goto again
    :: else -> intent = true
    fi };
    fate();
    atomic { STEP; mark = BEGUN };
    fate();
#endif

    /* MAIL, RCPT, DATA, content */
    fate();
    if
    :: alive && faults < FAULTS -> faults++; alive = false   /* postfix stop while the content goes out */
    :: true
    fi;
    fate();

    /* the dot */
#ifndef OLD
    if
    :: !alive && !whole -> goto again
    :: !alive && whole -> goto again  /* whole, but who says so? */
    :: else
    fi;
#ifndef NO_MARK
    atomic { STEP; mark = DOT };
    fate();
#endif
#endif
    atomic {
        STEP;
        sent = true;
        assert(row == NONE || !dropped);
        if
        :: whole -> copies++; open_dot = true
        :: !whole -> cut_copies++
        :: copies == 0 && cut_copies == 0 -> refused = true
        fi;
    };
    atomic { if
    :: refused && copies == 0 -> goto judged
    :: else
    fi };

    /* its answer: read, or lost on the way; a kill right here is the same as a lost answer */
    atomic { if
    :: born != powercuts -> goto dead
    :: else
    fi;
    if
    :: true
    :: faults < FAULTS -> faults++; doubts++; open_dot = false; goto unheard
    :: faults < FAULTS -> faults++; doubts++; open_dot = false; goto dead
    :: faults < FAULTS -> power_cut(); goto dead
    fi };
    atomic { STEP;
#ifndef OLD
#ifndef NO_MARK
    mark = ACCEPTED;
#endif
#endif
    open_dot = false };
    fate();
    /* on record: this may find the disk full */
    atomic {
        STEP;
        if
        :: disk_full -> goto again
        :: else -> row = PENDING
        fi
    };
    fate();
    goto recorded;

unheard:
    /* it may have been accepted: the mark stays as it is until the ladder has it on record */
    fate();
    atomic { STEP; if
    :: disk_full
    :: else -> intent = false; mark = NONE
    fi };
    goto again;

judged:
    /* a refusal is no copy: a crash before its record asks once more */
    atomic { STEP; mark = BEGUN };
    fate();
    atomic { STEP; if
    :: disk_full -> goto again
    :: else -> row = PENDING; dropped = true
    fi };
    fate();

recorded:
    /* the end of the intent was committed with the row */
    atomic { STEP; intent = false; mark = NONE };
    fate();

report:
    /* the API, else durably here; only then is Postfix told */
    atomic { STEP; if
    :: api_up -> at_api = 1
    :: !api_up ->
        if
        :: disk_full -> goto again    /* the synced commit fails */
        :: else -> sync_store(); goto tell
        fi
    fi };
    fate();
    atomic { STEP; if
    :: !disk_full -> row = REPORTED
    :: else                           /* stays pending, is reported again under its id */
    fi };
tell:
    fate();
    atomic { STEP; if
    :: alive && queue == QUEUED ->
        if
        :: refused && copies == 0 -> queue = GONE_DROPPED
        :: else -> queue = GONE_DELIVERED
        fi;
        assert(copies > 0 || queue == GONE_DROPPED);
        assert(cut_copies == 0);
        assert(at_api > 0 || row_synced != NONE)
    :: else
    fi };

again:
dead:
    atomic {
        if
        :: mine && born == powercuts -> claim = false
        :: else
        fi;
        assert(cut_copies == 0);
        assert(copies <= 1 + doubts);
        running--
    }
}

/* Postfix visits as long as it holds the message; it may be stopped in the middle of handing it over. */
active proctype postfix()
{
    do
    :: queue == QUEUED && visits < VISITS && (running == 0 || running == 1) ->
        atomic {
            visits++;
            running++;
            if
            :: run deliverer(true, true)
            :: faults < FAULTS -> faults++; run deliverer(false, false)   /* stopped in mid-message */
            :: faults < FAULTS -> faults++; run deliverer(true, false)    /* stopped right behind it */
            fi
        }
    :: queue != QUEUED -> break
    :: visits == VISITS && running == 0 -> break
    od;
    (running == 0);
    /* what is left when all trouble is over: the agent puts on record what is marked, and reports what is pending */
    atomic {
        if
        :: mark == ACCEPTED && row == NONE -> row = PENDING
        :: else
        fi;
        mark = NONE;
        if
        :: row == PENDING -> at_api = 1; row = REPORTED
        :: else
        fi;
        assert(queue == QUEUED || at_api == 1);
        assert(copies == 0 || doubts > 0 || at_api == 1);
        assert(queue == QUEUED || queue == GONE_DROPPED || copies > 0)
    }
}

active proctype disk()
{
    do
    :: faults < FAULTS && !disk_full -> atomic { faults++; disk_full = true }
    :: disk_full -> disk_full = false
    :: faults == FAULTS && !disk_full -> break
    :: queue != QUEUED && running == 0 && !disk_full -> break
    :: visits == VISITS && running == 0 && !disk_full -> break
    od
}

active proctype api()
{
    do
    :: api_up -> api_up = false
    :: !api_up -> api_up = true
    :: queue != QUEUED && running == 0 -> break
    :: visits == VISITS && running == 0 -> break
    od
}
