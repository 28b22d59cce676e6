"""dnf 4 and DKMS: hands the transaction to a program, before anything is changed and afterwards; it has the last word."""

import atexit
import json
import logging
import subprocess

import dnf
import dnf.exceptions

PROGRAM = "/usr/libexec/dkms/hooks-dnf"


class Dkms(dnf.Plugin):
    name = "dkms"

    def resolved(self):
        # Otherwise nobody would ask: what is only downloaded or tested has no transaction.
        if self.base.conf.downloadonly or "test" in self.base.conf.tsflags:
            self.pre_transaction()

    def pre_transaction(self):
        if self._call("before") == 1:
            raise dnf.exceptions.Error("dkms: modules in use would not be there, and preflight=block is set")

    def transaction(self):
        code = self._call("after")
        atexit.register(self._call, "end")
        if code == 1:
            raise dnf.exceptions.Error("dkms: modules could not be built, and on_build_failure=fail is set")

    def _call(self, when):
        document = {"installroot": self.base.conf.installroot, "packages": self._packages(when)}
        try:
            return subprocess.run([PROGRAM, "dnf4", when], input=json.dumps(document).encode()).returncode
        except FileNotFoundError:
            return None  # its package has just been removed
        except OSError as error:
            logging.getLogger("dnf.plugin").warning("dkms: %s: %s", PROGRAM, error)
            return None

    def _packages(self, when):
        if when != "before":
            return []
        sets = [(self.base.transaction.install_set, True), (self.base.transaction.remove_set, False)]
        return [{"nevra": str(pkg), "name": pkg.name, "version": pkg.version, "release": pkg.release,
                 "arch": pkg.arch, "comes": comes, "file": pkg.localPkg() if comes else None}
                for pkgs, comes in sets for pkg in pkgs]
