#include "agent/mta_services.h"

#include <stdlib.h>
#include <string.h>

#include "suites.h"

#define OURS(attributes)                                                   \
    "smtp inet n - y - - smtpd\nsendpost unix - n n - 50 pipe " attributes \
    " user=sendpost argv=/usr/libexec/postfix-sendpost/sendpost-pipe -q ${queue_id} -- ${recipient}\n"
#define BOUNCES                                                                                              \
    "bounces unix - n n - 10 pipe flags=q user=sendpost argv=/usr/libexec/postfix-sendpost/sendpost-bounce " \
    "-- ${recipient}\n"

static char *domain = (char *)"example.org";
static const struct config rewriting = {.return_path = {.verify = VERIFY_STATIC,
                                                        .domains = {.items = &domain, .count = 1},
                                                        .rewrite = true,
                                                        .bounce_prefix = (char *)"sp-bounce"}};
static const struct config plain = {.return_path = {.verify = VERIFY_OFF}};

static const struct {
    const struct config *config;
    const char *services, *taken, *trouble; /* NULL: none */
} cases[] = {
    {&plain, OURS("flags=q"), "", NULL},
    {&plain, OURS(""), "", NULL},
    {&plain, OURS("flags=DRhu"), "", "transport sendpost: flags=DRhu changes mail"},
    {&plain, OURS("null_sender= flags=qh"), "", "transport sendpost: flags=qh changes mail"},
    {&plain, BOUNCES OURS("flags=qR"), "", "transport sendpost: flags=qR changes mail"},
    /* of others, or in what is passed to the program */
    {&plain, "uucp unix - n n - - pipe flags=Fqhu user=uucp argv=uux -r -n\n", "", NULL},
    {&plain, "other unix - n n - - pipe flags=R user=x argv=/bin/no-sendpost-pipe\n", "", NULL},
    {&plain, "sendpost unix - n n - 50 pipe user=x argv=/usr/libexec/sendpost-pipe -x flags=R\n", "", NULL},
    {&plain, "", "sp-bounce.example.org", NULL},
    {&rewriting, OURS("flags=q"), "example.org, sp-bounce.example.org",
     "mail for sp-bounce.example.org is taken"},
    {&rewriting, OURS("flags=q"), "SP-BOUNCE.Example.ORG", "mail for sp-bounce.example.org is taken"},
    {&rewriting, OURS("flags=q") BOUNCES, "sp-bounce.example.org", NULL},
    {&rewriting, OURS("flags=q"),
     "example.org hash:/etc/postfix/sp-bounce.example.org x.sp-bounce.example.org", NULL},
};

START_TEST(what_is_wrong_with_our_services_is_said)
{
    char *trouble = mta_services_trouble(cases[_i].config, cases[_i].services, cases[_i].taken);

    if (cases[_i].trouble == NULL)
        ck_assert_ptr_null(trouble);
    else
        ck_assert_msg(trouble != NULL && strstr(trouble, cases[_i].trouble) != NULL, "%s",
                      trouble != NULL ? trouble : "nothing");
    free(trouble);
}
END_TEST

UNIT_SUITE(mta_services_suite)
{
    Suite *suite = suite_create("mta_services");
    TCase *tcase = tcase_create("mta_services");

    tcase_add_loop_test(tcase, what_is_wrong_with_our_services_is_said, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    suite_add_tcase(suite, tcase);
    return suite;
}
