/*
 * provider_category: the 27 mailbox-provider categories that SendPost counts by. The first twelve are known
 * by recipient domain; the hosted ones only by the MX host of the recipient domain; "default" is every other.
 */
#ifndef SENDPOST_BASE_PROVIDER_CATEGORY_H
#define SENDPOST_BASE_PROVIDER_CATEGORY_H

#include <stdbool.h>

enum provider_category {
    PROVIDER_GMAIL,
    PROVIDER_YAHOO,
    PROVIDER_AOL,
    PROVIDER_MICROSOFT,
    PROVIDER_COMCAST,
    PROVIDER_YANDEX,
    PROVIDER_GMX,
    PROVIDER_MAILRU,
    PROVIDER_ICLOUD,
    PROVIDER_ZOHO,
    PROVIDER_QQ,
    PROVIDER_ATT,
    PROVIDER_OFFICE365,
    PROVIDER_GOOGLEWORKSPACE,
    PROVIDER_PROOFPOINT,
    PROVIDER_MIMECAST,
    PROVIDER_BARRACUDA,
    PROVIDER_CISCOIRONPORT,
    PROVIDER_RACKSPACE,
    PROVIDER_ZOHOBUSINESS,
    PROVIDER_AMAZONWORKMAIL,
    PROVIDER_SYMANTEC,
    PROVIDER_FORTINET,
    PROVIDER_SOPHOS,
    PROVIDER_TRENDMICRO,
    PROVIDER_CHECKPOINT,
    PROVIDER_DEFAULT,
    PROVIDER_COUNT
};

const char *provider_category_name(enum provider_category category);
bool provider_category_by_name(const char *name, enum provider_category *category_r) __attribute__((nonnull));

#endif
