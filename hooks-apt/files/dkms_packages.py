#!/usr/bin/python3
"""Files a crash report for a module that could not be built (Ubuntu's apport).

Called by dkms as: dkms_packages.py -m MODULE -v VERSION -k KERNEL
"""

import argparse
import os
import subprocess
import sys


def owner(path):
    """The package that a file belongs to, or None."""
    found = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True, check=False)
    return found.stdout.split(":")[0] if found.returncode == 0 else None


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
        print(f"no package has {conf}: there is nobody to report to")
        return 0
    report = apport.Report("Package")
    report.add_package_info(package)
    report["Title"] = f"{package}: {asked.module} {asked.version} can't be built for kernel {asked.kernel}"
    report["ErrorMessage"] = report["Title"]
    report["DKMSKernelVersion"] = asked.kernel
    report["DKMSModuleVersion"] = asked.version
    log = f"/var/lib/dkms/{asked.module}/{asked.version}/build/make.log"
    if os.path.exists(log):
        report["DKMSBuildLog"] = (log,)
    path = make_report_path(report)
    if os.path.exists(path):
        return 0
    with open(path, "wb") as out:
        os.chmod(path, 0o640)
        report.write(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
