//! Links that lead nowhere, or to themselves.

use super::Case;

/// The registration of the module, once it was added.
const ADDED: &[&str] = &["/var/lib/dkms/foo"];

const INSTALLED: &str = "dkms install foo/1.0 -k $K >/dev/null";

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, target) in [("dangling", "/gone"), ("looping", "source")] {
        let link = format!("dkms add foo/1.0 >/dev/null; ln -sfn {target} /var/lib/dkms/foo/1.0/source");
        for words in [
            "build foo/1.0 -k $K",
            "install foo/1.0 -k $K",
            "uninstall foo/1.0 -k $K",
            "unbuild foo/1.0 -k $K",
        ] {
            let case = Case::new(format!("a {kind} source link: {words}")).sh(&link).dkms(words);
            cases.push(case.fails(4, &["foo/1.0", "broken"]));
        }
    }
    for (kind, target) in [("dangling", "/gone"), ("looping", "foo-1.0")] {
        let link = format!("rm -r /usr/src/foo-1.0; ln -s {target} /usr/src/foo-1.0");
        let case = |words: &str| Case::new(format!("a {kind} source folder: {words}")).sh(&link).dkms(words);
        cases.push(case("add foo/1.0").fails(2, &["foo/1.0", "/usr/src/foo-1.0"]));
        cases.push(case("install foo/1.0 -k $K").fails(3, &["foo/1.0"]));
    }
    for (kind, target) in [("dangling", "/gone"), ("looping", "build"), ("odd", "/etc/passwd")] {
        let link = format!("ln -sfn {target} /lib/modules/$K/build");
        for words in ["build foo/1.0 -k $K", "install foo/1.0 -k $K"] {
            let case = Case::new(format!("a {kind} link to the headers: {words}")).sh(&link).dkms(words);
            cases.push(case.fails(21, &["foo/1.0", "$K", "/lib/modules/$K/build"]).changes(ADDED));
        }
    }
    for (kind, target) in [("dangling", "/gone"), ("looping", "kernel-$K-x86_64"), ("odd", "..")] {
        let link = format!("{INSTALLED}; ln -sfn {target} /var/lib/dkms/foo/kernel-$K-x86_64");
        let case = Case::new(format!("a {kind} link of what is installed: uninstall")).sh(&link);
        // Not installed, then: said, and nothing to do.
        cases.push(case.dkms("uninstall foo/1.0 -k $K"));
    }
    let through = |name: &str, line: &str| {
        Case::new(name).sh(line).dkms("install foo/1.0 -k $K").changes(&["/var/lib/dkms/foo", "/lib/modules"])
    };
    cases.extend([
        through("a source that holds itself", "ln -s . /usr/src/foo-1.0/self; ln -s .. /usr/src/foo-1.0/up"),
        through(
            "a source with links to nothing",
            "ln -s /gone /usr/src/foo-1.0/gone; ln -s loop /usr/src/foo-1.0/loop",
        ),
        through(
            "a source with a FIFO and a device",
            "mkfifo /usr/src/foo-1.0/fifo; mknod /usr/src/foo-1.0/zero c 1 5",
        ),
        Case::new("a file where the module's folder is")
            .sh(": >/var/lib/dkms/foo")
            .fails(1, &["/var/lib/dkms/foo"]),
        Case::new("a file where the version's folder is")
            .sh("mkdir /var/lib/dkms/foo; : >/var/lib/dkms/foo/1.0")
            .fails(1, &["/var/lib/dkms/foo/1.0"]),
        Case::new("a looping link where the module's folder is")
            .sh("ln -s foo /var/lib/dkms/foo")
            .fails(1, &["/var/lib/dkms/foo"]),
        Case::new("a file where the modules go")
            .sh(": >/lib/modules/$K/updates")
            .dkms("install foo/1.0 -k $K")
            .fails(6, &["foo/1.0", "/lib/modules/$K/updates"])
            .changes(ADDED),
        Case::new("a folder where the module goes")
            .sh("mkdir -p /lib/modules/$K/updates/dkms/foo.ko")
            .dkms("install foo/1.0 -k $K")
            .fails(6, &["foo/1.0", "/lib/modules/$K/updates/dkms/foo.ko"])
            .changes(ADDED),
    ]);
    cases
}
