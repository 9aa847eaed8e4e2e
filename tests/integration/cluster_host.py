"""A host of a cluster: a state directory of its own, with a way to the cluster's server that can be cut."""
from cuttable_proxy import CuttableProxy
from sendpost import Sendpost


class ClusterHost:
    def __init__(self, valkey, tpsp, cluster, **settings):
        self.site, self.way = Sendpost(), CuttableProxy(valkey.port)
        log = self.site.top / "mail.log"  # for an agent
        log.touch()
        self.site.configure([tpsp], log_path=str(log), **settings, cluster={
            "servers": [self.way.address], "tls": False, **{key.replace("_", "-"): value for key, value in cluster.items()}})

    def begin(self):
        """Before a test goes on with it."""

    def ctl(self, *words):
        return self.site.run(*words, program=self.site.libexec / "sendpostctl")

    def end(self):
        self.way.close()
        self.site.__exit__()
