#include "cluster/lease.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* SET with a condition, NX or XX. False when the condition did not hold, or the server is away. */
static bool set(struct cluster *cluster, const char *key, const char *value, const char *life,
                const char *condition, int64_t deadline_ms)
{
    const char *const words[] = {"SET", key, value, condition, "PX", life};
    struct redisReply *reply = cluster_command(cluster, 6, words, deadline_ms);
    bool done = reply != NULL && reply->type == REDIS_REPLY_STATUS;

    cluster_reply_free(cluster, reply);
    return done;
}

/* "ID NAME" into the name; true when the id is ours. */
static bool read_holder(struct cluster *cluster, const char *key, const char *id, int64_t deadline_ms,
                        char holder_r[LEASE_NAME_SIZE])
{
    const char *const words[] = {"GET", key};
    struct redisReply *reply = cluster_command(cluster, 2, words, deadline_ms);
    size_t length = strlen(id);
    bool ours = false;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {
        const char *blank = strchr(reply->str, ' ');
        snprintf(holder_r, LEASE_NAME_SIZE, "%s", blank != NULL ? blank + 1 : "");
        ours = strncmp(reply->str, id, length) == 0 && reply->str[length] == ' ';
    }
    cluster_reply_free(cluster, reply);
    return ours;
}

bool lease_renew(struct cluster *cluster, const struct config_cluster *config, const struct lease *lease,
                 int64_t deadline_ms, char holder_r[LEASE_NAME_SIZE])
{
    char key[96], value[LEASE_NAME_SIZE + 48], life[24];

    *holder_r = '\0';
    snprintf(key, sizeof key, "{%.60s}:lease:%.20s", config->name, lease->what);
    snprintf(value, sizeof value, "%.40s %.63s", lease->id, lease->name);
    snprintf(life, sizeof life, "%" PRId64, lease->life_ms);
    if (!set(cluster, key, value, life, "NX", deadline_ms) &&
        (!read_holder(cluster, key, lease->id, deadline_ms, holder_r) ||
         !set(cluster, key, value, life, "XX", deadline_ms)))
        return false;
    snprintf(holder_r, LEASE_NAME_SIZE, "%s", lease->name);
    return true;
}
