#include "base/provider_category.h"

#include <string.h>

static const char *const names[PROVIDER_COUNT] = {
    [PROVIDER_GMAIL] = "gmail",
    [PROVIDER_YAHOO] = "yahoo",
    [PROVIDER_AOL] = "aol",
    [PROVIDER_MICROSOFT] = "microsoft",
    [PROVIDER_COMCAST] = "comcast",
    [PROVIDER_YANDEX] = "yandex",
    [PROVIDER_GMX] = "gmx",
    [PROVIDER_MAILRU] = "mailru",
    [PROVIDER_ICLOUD] = "icloud",
    [PROVIDER_ZOHO] = "zoho",
    [PROVIDER_QQ] = "qq",
    [PROVIDER_ATT] = "att",
    [PROVIDER_OFFICE365] = "office365",
    [PROVIDER_GOOGLEWORKSPACE] = "googleworkspace",
    [PROVIDER_PROOFPOINT] = "proofpoint",
    [PROVIDER_MIMECAST] = "mimecast",
    [PROVIDER_BARRACUDA] = "barracuda",
    [PROVIDER_CISCOIRONPORT] = "ciscoironport",
    [PROVIDER_RACKSPACE] = "rackspace",
    [PROVIDER_ZOHOBUSINESS] = "zohobusiness",
    [PROVIDER_AMAZONWORKMAIL] = "amazonworkmail",
    [PROVIDER_SYMANTEC] = "symantec",
    [PROVIDER_FORTINET] = "fortinet",
    [PROVIDER_SOPHOS] = "sophos",
    [PROVIDER_TRENDMICRO] = "trendmicro",
    [PROVIDER_CHECKPOINT] = "checkpoint",
    [PROVIDER_DEFAULT] = "default",
};

const char *provider_category_name(enum provider_category category)
{
    return (unsigned)category < PROVIDER_COUNT ? names[category] : names[PROVIDER_DEFAULT];
}

bool provider_category_by_name(const char *name, enum provider_category *category_r)
{
    for (unsigned i = 0; i < PROVIDER_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *category_r = (enum provider_category)i;
            return true;
        }
    return false;
}
