"""A certificate authority for one test run: server certificates for loopback, and the hashed directory that trusts it."""
from pathlib import Path

from support import run


class CertificateAuthority:
    def __init__(self, directory, name="Test CA"):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.key, self.certificate = self.directory / "ca.key", self.directory / "ca.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate,
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.hashed = self.directory / "hashed"  # what tls-ca-path names
        self.hashed.mkdir()
        self.hashed.chmod(0o755)
        (self.hashed / "ca.pem").write_bytes(self.certificate.read_bytes())
        run("openssl", "rehash", self.hashed)

    def issue(self, name, alternatives=("DNS:localhost", "IP:127.0.0.1", "IP:::1"), expired=False, only_cn=False):
        """(certificate with the CA's behind it, key) as paths; valid for name as DNS name and for the alternatives. only_cn: as
        they were made long ago, with the name in the subject alone."""
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text("basicConstraints=CA:FALSE\n" if only_cn else "subjectAltName=" + ",".join([f"DNS:{name}", *alternatives]) + "\n")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
            "-days", "-1" if expired else "30", "-extfile", extensions, "-out", certificate)
        with certificate.open("ab") as out:
            out.write(self.certificate.read_bytes())
        return certificate, key
