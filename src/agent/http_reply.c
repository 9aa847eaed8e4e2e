#include "agent/http_reply.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

static const char *const fields[][2] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
     "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
     "trusted-types 'none'"},
    {"Cache-Control", "no-store"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
    {"Referrer-Policy", "no-referrer"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
};

enum MHD_Result http_reply_with(struct MHD_Connection *connection, unsigned status, const char *type,
                                struct MHD_Response *response)
{
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        MHD_add_response_header(response, fields[i][0], fields[i][1]);
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result http_reply(struct MHD_Connection *connection, unsigned status, const char *type, char *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(body), body, MHD_RESPMEM_MUST_FREE);

    if (response == NULL)
        free(body);
    return http_reply_with(connection, status, type, response);
}

enum MHD_Result http_reply_file(struct MHD_Connection *connection, const char *type, const char *bytes)
{
    return http_reply_with(
        connection, MHD_HTTP_OK, type,
        MHD_create_response_from_buffer(strlen(bytes), (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT));
}

enum MHD_Result http_reply_error(struct MHD_Connection *connection, unsigned status, const char *text)
{
    return http_reply(connection, status, "application/json", xasprintf("{\"error\":\"%s\"}\n", text));
}
