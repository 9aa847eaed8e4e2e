"""What large providers refuse, when, and in which words, as far as they publish it; where a figure is theirs alone, one of ours
stands in for it and is marked so. Each rule names its source.

Stages are those of tests/integration/scripted_tpsp.py; "hang up" closes the connection without a word.
"""
from dataclasses import dataclass, field, replace

HANG_UP = "hang up"
SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86400


@dataclass(frozen=True)
class Rate:
    """At most limit accepted in any window of so many seconds; what is refused is refused at stage. blocks: for so many
    seconds everything after it, too. by: "sender" (all), or "recipient"."""
    limit: int
    window: int
    reply: str
    stage: str = "mail"
    blocks: int = 0
    by: str = "sender"
    published: bool = True


@dataclass(frozen=True)
class Provider:
    rates: list = field(default_factory=list)
    connections: int = 0  # at a time; 0: any number
    connections_reply: str = ""
    connections_stage: str = "connect"
    session: int = 0  # messages in one connection; 0: any number
    session_reply: str = HANG_UP
    sources: tuple = ()

    def with_limits(self, rate=None, connections=None, session=None):
        """rate: (limit, window) in place of the first one's."""
        rates = list(self.rates)
        if rate is not None:
            rates[0] = replace(rates[0], limit=rate[0], window=rate[1])
        return replace(self, rates=rates, connections=self.connections if connections is None else connections,
                       session=self.session if session is None else session)


PROVIDERS = {
    "ses": Provider(  # the figures of an account in production; new ones have 1 a second and 200 a day
        rates=[Rate(14, SECOND, "454 Throttling failure: Maximum sending rate exceeded.", "dot", published=False),
               Rate(50000, DAY, "454 Throttling failure: Daily message quota exceeded.", "dot", published=False)],
        sources=("https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html",)),
    "office365": Provider(
        rates=[Rate(10000, DAY, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message "
                    "due to a permanent exception", "dot")],
        connections=3, connections_stage="mail", connections_reply="432 4.3.2 Concurrent connections limit exceeded. "
        "Visit https://aka.ms/concurrent_sending for more information.",
        sources=("https://learn.microsoft.com/en-us/exchange/troubleshoot/send-emails/smtp-submission-improvements",)),
    "gmail": Provider(
        rates=[Rate(100, MINUTE, "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP "
                    "address. To protect our users from spam, mail sent from your IP address has been temporarily rate limited. - gsmtp",
                    "dot", published=False),
               Rate(20, MINUTE, "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional "
                    "messages from being delivered. Please resend your message at a later time. - gsmtp", "rcpt", by="recipient",
                    published=False)],
        sources=("https://support.google.com/a/answer/3221692", "https://support.google.com/mail/?p=UnsolicitedRateLimitError")),
    "yahoo": Provider(
        rates=[Rate(200, MINUTE, "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user "
                    "complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", "mail", blocks=10, published=False)],
        session=20,
        sources=("https://help.yahoo.com/kb/SLN3433.html", "https://senders.yahooinc.com/smtp-error-codes/")),
    "microsoft": Provider(
        rates=[Rate(200, MINUTE, "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For "
                    "e-mail delivery information, see https://aka.ms/postmaster (S775)", "mail", blocks=10, published=False)],
        connections=10, connections_reply="421 RP-003 The mail server IP connecting to Outlook.com server has exceeded the connection "
        "limit allowed.",
        sources=("https://sendersupport.olc.protection.outlook.com/pm/troubleshooting.aspx",)),
    "qq": Provider(  # over the limit of a minute: refused for minutes, of an hour: for hours, of a day: for the day
        rates=[Rate(60, MINUTE, "550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000725",
                    "mail", blocks=2 * MINUTE, published=False),
               Rate(1000, HOUR, "550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000725",
                    "mail", blocks=2 * HOUR, published=False)],
        sources=("https://service.mail.qq.com/detail/122/168",)),
}
