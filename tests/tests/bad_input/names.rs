//! Names from the command line, from a conf of a folder, and from an archive's entries.

use super::Case;

/// Module, version, kernel, architecture as a user types them.
pub(crate) fn on_the_command_line() -> Vec<Case> {
    let long = "n".repeat(5000);
    let mut cases = Vec::new();
    for (words, code, says) in [
        ("add -m ../../t -v 1.0", 8, ".."),
        ("add -m foo -v ../../t", 8, "../../t"),
        ("add -m foo -v ..", 8, ".."),
        ("add -m foo/1.0/x", 8, "1.0/x"),
        ("add -m /foo/1.0", 8, "module name"),
        ("add -m 'a b/1.0'", 8, "a b"),
        ("add -m \"$(printf 'foo\\nbar')\" -v 1.0", 8, "foo\\nbar"),
        ("add -m \"$(printf 'foo\\033[31m')\" -v 1.0", 8, "foo\\u{1b}"),
        ("add --module=-rf/1.0", 8, "-rf"),
        ("add --module=.hidden/1.0", 8, ".hidden"),
        ("add foo -v -rf", 8, "-rf"),
        ("add foo/original_module", 8, "original_module"),
        ("add foo/kernel-6.1", 8, "kernel-6.1"),
        ("add ../../t/1.0", 2, "../../t"),
        ("add foo/..", 8, ".."),
        ("build foo/1.0 -k ../../t", 8, ".."),
        ("build foo/1.0 -k /x86_64", 16, "kernel"),
        ("build foo/1.0 -k ''", 16, "kernel"),
        ("build foo/1.0 -k $K/", 16, "architecture"),
        ("build foo/1.0 -k $K -a ../x", 8, "../x"),
        ("build foo/1.0 -k \"$(printf 'a\\nb')\"", 8, "a\\nb"),
        ("build foo/1.0 -k 'a b'", 8, "a b"),
        ("build foo/1.0 -k '6.1;id'", 8, "6.1;id"),
        ("build foo/1.0 --kernelver=-rf", 8, "-rf"),
        ("match -k $K --templatekernel ../../t", 8, ".."),
        ("kernel_prerm -k ../..", 8, ".."),
        ("status -m ../..", 8, ".."),
        ("-Zf", 2, "-Z"),
        ("add \"$(printf 'foo\\377/1.0')\"", 2, ""),
        ("frobnicate", 2, "frobnicate"),
        ("plan instal foo/1.0", 2, "unknown action `instal`"),
        ("completions", 2, "no shell is named"),
        ("completions tcsh", 2, "`tcsh`"),
        ("ldtarball", 2, "no archive is named"),
        ("ldtarball nosuch", 2, "the archive `nosuch` does not exist"),
        ("ldtarball /srv/nosuch.tar.gz", 2, "the archive `/srv/nosuch.tar.gz` does not exist"),
        ("''", 2, "action"),
        ("", 2, "action"),
    ] {
        cases.push(Case::new(format!("dkms {words}")).dkms(words).fails(code, &[says]));
    }
    for words in
        [format!("add -m {long} -v 1.0"), format!("add -m foo -v {long}"), format!("build foo/1.0 -k {long}")]
    {
        cases.push(Case::new(&words[..30]).dkms(words.as_str()).fails(8, &["120 bytes"]));
    }
    cases.push(Case::new("a very long path").dkms(format!("add /{long}")).fails(1, &["does not exist"]));
    cases
}

/// A folder whose conf names the module: that name makes a path in `/usr/src`.
pub(crate) fn in_the_conf() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, version) in [
        ("../../t/out", "1.0"),
        ("..", "1.0"),
        ("a/b", "1.0"),
        ("-rf", "1.0"),
        ("a b", "1.0"),
        ("", "1.0"),
        ("foo", "../../t/out"),
        ("foo", "original_module"),
        ("foo", ""),
    ] {
        let conf = format!(
            "cp -a /usr/src/foo-1.0 /srv/new
             {{ echo 'PACKAGE_NAME=\"{name}\"'; echo 'PACKAGE_VERSION=\"{version}\"'; }} >>/srv/new/dkms.conf"
        );
        for words in ["add /srv/new", "install /srv/new/dkms.conf -k $K"] {
            let directive = if name == "foo" { "PACKAGE_VERSION" } else { "PACKAGE_NAME" };
            let case = Case::new(format!("dkms {words} with {name:?}, {version:?}")).sh(&conf).dkms(words);
            cases.push(case.fails(8, &["/srv/new/dkms.conf", directive]));
        }
    }
    cases
}

/// Archives whose entries would be written elsewhere.
pub(crate) fn in_archives() -> Vec<Case> {
    let tar = |name: &str, make: &str| {
        let lines = format!("mkdir -p /t /srv/a && cd /srv/a && cp -a /usr/src/foo-1.0 foo-1.0\n{make}");
        Case::new(format!("an archive with {name}")).sh(&lines).dkms("add /srv/a/x.tar.gz")
    };
    let pack = "tar -czPf x.tar.gz foo-1.0";
    let archive = "/srv/a/x.tar.gz";
    vec![
        tar("a way out", &format!("{pack} --transform 's,foo-1.0/foo.c,foo-1.0/../../../t/out,'"))
            .fails(7, &[archive, ".."]),
        tar("an absolute name", &format!("{pack} --transform 's,foo-1.0/foo.c,/t/out,'"))
            .fails(7, &[archive, "/t/out"]),
        tar(
            "a link out of it and a file behind",
            &format!("ln -s /t foo-1.0/aa; echo x >b; {pack} b --transform 's,^b$,foo-1.0/aa/out,'"),
        )
        .fails(7, &[archive]),
        tar("a newline in a name", &format!("echo x >\"foo-1.0/$(printf 'a\\nb')\"; {pack}"))
            .fails(7, &[archive]),
        tar("a device", &format!("mknod foo-1.0/zero c 1 5; {pack}")).fails(7, &[archive]),
        tar("no conf", "rm foo-1.0/dkms.conf; tar -czf x.tar.gz foo-1.0").fails(3, &[archive]),
        tar("a bad conf", &format!("echo 'exit 1' >>foo-1.0/dkms.conf; {pack}")).fails(7, &["dkms.conf"]),
        tar("nothing", "tar -czf x.tar.gz -T /dev/null").fails(3, &[archive]),
        tar(
            "its end cut off",
            &format!("head -c 9000 /srv/ready/foo.ko >foo-1.0/data; {pack}; truncate -s 3000 x.tar.gz"),
        )
        .fails(3, &[archive]),
        tar("no archive in it", "head -c 9000 /srv/ready/foo.ko >x.tar.gz").fails(3, &[archive]),
        tar("no bytes", ": >x.tar.gz").fails(3, &[archive]),
        Case::new("an archive that is not there")
            .dkms("add --archive /srv/gone.tar.gz")
            .fails(2, &["/srv/gone.tar.gz"]),
        Case::new("an archive that is a FIFO")
            .sh("mkfifo /srv/x.tar.gz")
            .dkms("add --archive /srv/x.tar.gz")
            .fails(1, &["/srv/x.tar.gz"]),
        Case::new("an archive that is a folder")
            .sh("mkdir /srv/x.tar.gz")
            .dkms("add --archive /srv/x.tar.gz")
            .fails(1, &["/srv/x.tar.gz"]),
    ]
}
