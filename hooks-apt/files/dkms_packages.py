#!/usr/bin/python3
"""Files a crash report for a module that could not be built (Ubuntu's apport).

Called by dkms as: dkms_packages.py -m MODULE -v VERSION -k KERNEL
"""

import argparse
import os
import stat
import subprocess
import sys


def owner(path):
    """The package that a file belongs to, or None."""
    found = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True, check=False)
    return found.stdout.split(":")[0] if found.returncode == 0 else None


def text_of(path):
    """What is in a log of a build, read through no link and to a limit; or None. The code of a package wrote it."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(number, "rb") as log:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return None
        log.seek(max(0, os.fstat(number).st_size - 1000000))
        return log.read(1000000).decode("utf-8", "replace")


def main():
    """Files the report; without apport there is nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--module", required=True)
    parser.add_argument("-v", "--version", required=True)
    parser.add_argument("-k", "--kernel", required=True)
    asked = parser.parse_args()
    try:
        import apport
        from apport.fileutils import make_report_path
    except ImportError:
        return 0
    conf = f"/usr/src/{asked.module}-{asked.version}/dkms.conf"
    package = owner(conf)
    if package is None:
        print(f"no package has {conf}: there is no maintainer to report to")
        return 0
    report = apport.Report("Package")
    report.add_package_info(package)
    report["Title"] = f"{package}: {asked.module} {asked.version} can't be built for kernel {asked.kernel}"
    report["ErrorMessage"] = report["Title"]
    report["DKMSKernelVersion"] = asked.kernel
    report["DKMSModuleVersion"] = asked.version
    log = text_of(f"/var/lib/dkms/{asked.module}/{asked.version}/build/make.log")
    if log is not None:
        report["DKMSBuildLog"] = log
    path = make_report_path(report)
    if os.path.exists(path):
        return 0
    # All users may write to /var/crash: nothing that is there is followed or taken.
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with os.fdopen(number, "wb") as out:
        report.write(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
