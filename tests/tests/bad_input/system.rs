//! A system that lacks what every system has: os-release, the kernel, a framework.conf that can be
//! read, the root itself.

use super::Case;

const ADDED: &[&str] = &["/var/lib/dkms/foo"];

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for words in
        ["add foo/1.0", "status", "install foo/1.0 -k $K", "autoinstall -k $K", "--version", "frobnicate"]
    {
        let case =
            Case::new(format!("no os-release: {words}")).sh("rm -f /etc/os-release /usr/lib/os-release");
        cases.push(case.dkms(words).fails(4, &["os-release"]));
    }
    for (name, line) in [
        ("a dangling link", "rm -f /etc/os-release /usr/lib/os-release; ln -s gone /etc/os-release"),
        ("a folder", "rm -f /etc/os-release /usr/lib/os-release; mkdir /etc/os-release"),
        ("a FIFO", "rm -f /etc/os-release /usr/lib/os-release; mkfifo /etc/os-release"),
        ("a device", "rm -f /etc/os-release /usr/lib/os-release; ln -s /dev/zero /etc/os-release"),
    ] {
        cases.push(Case::new(format!("os-release is {name}")).sh(line).fails(4, &["os-release"]));
    }
    cases.push(Case::new("an os-release of garbage").sh("cat /bin/true >/etc/os-release").changes(ADDED));

    let built = "dkms build foo/1.0 -k $K >/dev/null; rm -r /lib/modules/$K";
    cases.extend([
        Case::new("no such kernel: build")
            .dkms("build foo/1.0 -k 9.9.9")
            .fails(21, &["9.9.9", "foo/1.0"])
            .changes(ADDED),
        Case::new("no such kernel: install")
            .dkms("install foo/1.0 -k 9.9.9")
            .fails(21, &["9.9.9", "foo/1.0"])
            .changes(ADDED),
        Case::new("no such kernel: autoinstall")
            .sh("dkms add foo/1.0 >/dev/null")
            .dkms("autoinstall -k 9.9.9")
            .fails(21, &["9.9.9"])
            .sums_up(),
        Case::new("the kernel folder is gone: install")
            .sh(built)
            .dkms("install foo/1.0 -k $K")
            .fails(6, &["/lib/modules/$K", "foo/1.0"]),
        Case::new("the kernel folder is a file: install")
            .sh(&format!("{built}; : >/lib/modules/$K"))
            .dkms("install foo/1.0 -k $K")
            .fails(6, &["/lib/modules/$K", "foo/1.0"]),
        Case::new("headers that are no folder")
            .dkms("build foo/1.0 -k $K --kernelsourcedir /gone")
            .fails(21, &["/gone", "foo/1.0"])
            .changes(ADDED),
        Case::new("headers without an include folder")
            .dkms("build foo/1.0 -k $K --kernelsourcedir /t")
            .fails(21, &["/t", "foo/1.0"])
            .changes(ADDED),
        Case::new("a kernel config without end")
            .dkms("build foo/1.0 -k $K --config /dev/zero")
            .fails(1, &["/dev/zero"]),
        Case::new("a kernel config that nobody writes")
            .sh("mkfifo /srv/config")
            .dkms("build foo/1.0 -k $K --config /srv/config")
            .fails(1, &["/srv/config"]),
    ]);

    let file = "/etc/dkms/framework.conf";
    for (name, line) in [
        ("a syntax error", "echo 'if true' >>$f"),
        ("exit", "echo 'exit 1' >>$f"),
        ("bytes of a program", "cp /bin/true $f"),
        ("a folder", "rm $f; mkdir $f"),
        ("a FIFO", "rm $f; mkfifo $f"),
        ("no end", "rm $f; ln -s /dev/zero $f"),
        ("a loop", "rm $f; ln -s framework.conf $f"),
    ] {
        let case = |words: &str| {
            Case::new(format!("framework.conf has {name}: {words}"))
                .sh(&format!("f={file}; {line}"))
                .dkms(words)
        };
        // What only shows something goes on with the defaults.
        cases.push(case("add foo/1.0").fails(8, &[file]));
        cases.push(case("plan add foo/1.0").fails(8, &[file]));
        cases.push(case("status"));
    }
    let more = "mkdir /etc/dkms/framework.conf.d; echo 'f() {' >/etc/dkms/framework.conf.d/a.conf";
    cases.extend([
        Case::new("framework.conf loops")
            .sh(&format!("echo 'while :; do :; done' >>{file}"))
            .fails(8, &[file, "10 seconds"])
            .waits(),
        Case::new("framework.conf.d has a syntax error")
            .sh(more)
            .fails(8, &["/etc/dkms/framework.conf.d/a.conf"]),
        Case::new("framework.conf prints")
            .sh(&format!("echo 'echo GARBAGE; echo GARBAGE >&2' >>{file}"))
            .changes(ADDED),
        Case::new("--root to nothing").dkms("status --root /gone").fails(1, &["/gone"]),
        Case::new("--root to a file").dkms("status --root /etc/passwd").fails(1, &["/etc/passwd"]),
        Case::new("--root to a loop")
            .sh("ln -s loop /srv/loop")
            .dkms("status --root /srv/loop")
            .fails(1, &["/srv/loop"]),
        Case::new("--root to an empty folder")
            .sh("mkdir /srv/empty")
            .dkms("status --root /srv/empty")
            .fails(4, &["os-release"]),
        Case::new("--root by nobody").by_nobody().dkms("status --root /").fails(1, &["`/`"]),
    ]);
    cases
}
