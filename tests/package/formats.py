"""The two package formats, each with the same verbs: install, verify, upgrade, remove, in a tree."""
from support import run


class Deb:
    name = "deb"

    def __init__(self, builds, tree):
        self.builds, self.tree = builds, tree

    def dpkg(self, *arguments):
        return self.tree.run("dpkg", *arguments)

    def put(self, deb):
        copy = self.tree.path("/tmp/package.deb")
        copy.write_bytes(deb.read_bytes())
        return self.dpkg("-i", "/tmp/package.deb")

    def install(self):
        return self.put(self.builds.deb)

    def verify(self):
        """What differs from the package."""
        return self.dpkg("--verify", "postfix-sendpost")

    def upgrade(self):
        return self.put(self.builds.next_deb)

    def remove(self):
        return self.dpkg("-r", "postfix-sendpost")


class Rpm:
    """rpm of this machine works on the tree from outside; what the package requires has other names in the tree."""
    name = "rpm"

    def __init__(self, builds, tree):
        self.builds, self.tree = builds, tree

    def rpm(self, *arguments):
        return run("rpm", "--root", self.tree.top, "--dbpath", "/var/lib/rpm", "--nodeps", *arguments)

    def install(self):
        return self.rpm("-i", self.builds.rpm_file)

    def verify(self):
        return self.rpm("-V", "postfix-sendpost").stdout

    def upgrade(self):
        return self.rpm("-U", self.builds.next_rpm)

    def remove(self):
        return self.rpm("-e", "postfix-sendpost")
