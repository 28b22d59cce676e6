//! A dkms.conf that is none, one that misbehaves while it is read, and one whose values lead
//! where they must not.

use super::Case;

/// The file that errors must name.
const CONF: &str = "/usr/src/foo-1.0/dkms.conf";

/// The registration of the module, once it was added.
const ADDED: &[&str] = &["/var/lib/dkms/foo"];

/// No text, no file, no end.
pub(crate) fn unreadable() -> Vec<Case> {
    let conf = |name: &str, line: &str| Case::new(name).sh(&format!("conf={CONF}; rm $conf\n{line}"));
    let large = "mkdir /srv/big; yes '# a comment' | head -c 100M >/srv/big/dkms.conf";
    vec![
        conf("a program", "cp /bin/true $conf").fails(8, &[CONF, "NUL"]),
        conf("random bytes", "printf 'PACKAGE_NAME=foo\\n\\000\\377\\376' >$conf")
            .fails(8, &[CONF, "line 2"]),
        conf("empty", ": >$conf").fails(8, &[CONF, "PACKAGE_NAME"]),
        conf("zeroes for ever, by a link", "ln -s /dev/zero $conf").fails(8, &[CONF]),
        conf("a device", "mknod $conf c 1 5").fails(8, &[CONF]),
        conf("a terminal that nobody types at", "ln -s /dev/ptmx $conf").fails(8, &[CONF]),
        conf("a FIFO", "mkfifo $conf").fails(8, &[CONF]),
        conf("a folder", "mkdir $conf").fails(8, &[CONF]),
        conf("a link to itself", "ln -s dkms.conf $conf").fails(8, &[CONF]),
        conf("a link to nothing", "ln -s gone $conf").fails(4, &[CONF]),
        conf("not there", "").fails(4, &[CONF]),
        Case::new("100 MB, of a folder")
            .sh(large)
            .dkms("add /srv/big")
            .fails(8, &["/srv/big/dkms.conf", "longer"]),
        Case::new("100 MB, by `-c`")
            .sh(large)
            .dkms("add foo/1.0 -c /srv/big/dkms.conf")
            .fails(8, &["/srv/big/dkms.conf", "longer"]),
        Case::new("a FIFO, by `-c`")
            .sh("mkfifo /srv/conf")
            .dkms("add foo/1.0 -c /srv/conf")
            .fails(8, &["/srv/conf"]),
        Case::new("not there, by `-c`").dkms("add foo/1.0 -c /srv/gone").fails(4, &["/srv/gone"]),
        Case::new("a FIFO, of a folder")
            .sh("mkdir /srv/new; mkfifo /srv/new/dkms.conf")
            .dkms("add ./srv/new/")
            .fails(2, &["./srv/new/"]),
    ]
}

/// Code that must not harm who reads it.
pub(crate) fn misbehaving() -> Vec<Case> {
    let fails = |name: &str, lines: &str| Case::new(name).conf_with(lines);
    let works = |name: &str, lines: &str| Case::new(name).conf_with(lines).changes(ADDED);
    let deep = |open: &str, close: &str, times: usize| {
        format!("HELPER=\"{}{}\"", open.repeat(times), close.repeat(times))
    };
    // Each line ten times the one before.
    let doubling = format!("x=aaaaaaaaaa\n{}", "x=$x$x$x$x$x$x$x$x$x$x\n".repeat(20));
    vec![
        fails("exit 1", "exit 1").fails(8, &[CONF, "exit"]),
        fails("exit 0", "exit 0").fails(8, &[CONF, "exit"]),
        fails("exit in a function", "f() { exit 3; }; f").fails(8, &[CONF, "exit"]),
        fails("set -e", "set -e; false").fails(8, &[CONF]),
        fails("exec", "exec true").fails(8, &[CONF]),
        fails("kills its shell", "kill -9 $BASHPID").fails(8, &[CONF]),
        fails("kills its process group", "kill -9 0").fails(8, &[CONF]),
        fails("loops for ever", "while :; do :; done").fails(8, &[CONF, "10 seconds"]).waits(),
        fails("sleeps", "sleep 1000").fails(8, &[CONF, "10 seconds"]).waits(),
        fails("ignores signals", "trap '' TERM INT HUP; while :; do sleep 1; done")
            .fails(8, &[CONF, "10 seconds"])
            .waits(),
        fails("a value that loops", "MAKE='$(while :; do :; done)'").fails(8, &[CONF, "10 seconds"]).waits(),
        fails("prints for ever", "while :; do echo GARBAGE; done").fails(8, &[CONF, "10 seconds"]).waits(),
        fails("recurses for ever", "f() { f; }; f").fails(8, &[CONF]).waits(),
        fails("`if` without its end", "if true").fails(8, &[CONF, "line"]),
        fails("a quote without its end", "MAKE=\"true").fails(8, &[CONF, "line"]),
        fails("a parenthesis too many", "MAKE=(a))").fails(8, &[CONF, "line"]),
        fails("an index beyond all numbers", "BUILT_MODULE_NAME[99999999999999999999]=x").fails(8, &[CONF]),
        fails("an index of a million", "BUILT_MODULE_NAME[1000000]=x").fails(8, &[CONF, "BUILT_MODULE_NAME"]),
        fails("a value that is no yes and no no", "AUTOINSTALL=maybe").fails(8, &[CONF, "AUTOINSTALL"]),
        fails("a value that can't be expanded", "MAKE='${'").fails(8, &[CONF, "MAKE"]),
        fails("a rule that is no expression", "BUILD_EXCLUSIVE_KERNEL='['").changes(ADDED),
        fails("values that grow", &format!("{doubling}MAKE=$x")).fails(8, &[CONF]).waits(),
        fails("values that grow in bash", &format!("f() {{ :; }}\n{doubling}MAKE=$x"))
            .fails(8, &[CONF])
            .waits(),
        fails("parameters in parameters", &deep("${x:-", "}", 100_000)).fails(8, &[CONF]).waits(),
        fails("commands in commands", &deep("$(", ")", 100_000)).fails(8, &[CONF]).waits(),
        fails("sums in sums", &format!("HELPER=$(({}1{}))", "(".repeat(100_000), ")".repeat(100_000)))
            .fails(8, &[CONF])
            .waits(),
        works("sets PATH", "PATH=/nowhere; export PATH; f() { :; }"),
        works("sets IFS", "IFS=/; f() { :; }"),
        works("sets a locale", "LC_ALL=tr_TR.UTF-8; export LC_ALL; f() { :; }"),
        works("sets options", "set -fu; shopt -s nullglob; set -o posix"),
        works("an index below zero", "BUILT_MODULE_NAME[-5]=x"),
        works("sets traps", "trap 'echo GARBAGE' EXIT ERR DEBUG RETURN"),
        fails("exits in a trap", "trap 'exit 5' EXIT ERR DEBUG RETURN").fails(8, &[CONF, "exit"]),
        works(
            "has functions of our programs",
            "printf() { :; }; declare() { :; }; builtin() { :; }; test() { :; }",
        ),
        works("prints", "echo GARBAGE; echo GARBAGE >&2"),
        works("prints to what is open", "for fd in 3 4 5 6 7 8 9; do echo GARBAGE; done 2>/dev/null >&$fd"),
        fails(
            "values that grow by replacing",
            &format!("x={}\ny=${{x//a/$x$x$x}}\nz=${{y//a/$y$y}}\nMAKE=${{z//a/$z}}", "a".repeat(100_000)),
        )
        .fails(8, &[CONF])
        .waits(),
        works("closes what it knows", "exec 0<&- 1>&- 2>&-"),
        works("reads", "read -r x; x=$(cat)"),
        works("leaves a child", "sleep 1000 &"),
        works("changes its folder", "cd /; x=$(pwd)"),
    ]
}

/// Values that would leave the tree.
pub(crate) fn leading_elsewhere() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = "n".repeat(300);
    for (what, value) in [
        ("a slash", "a/b"),
        ("`..`", ".."),
        ("a way out", "../../../t/out"),
        ("a leading dash", "-rf"),
        ("a blank", "a b"),
        ("a newline", "$'a\\nb'"),
        ("nothing", ""),
        ("300 letters", &long),
    ] {
        for directive in ["PACKAGE_NAME", "PACKAGE_VERSION"] {
            let value = if value.starts_with('$') { value.to_owned() } else { format!("\"{value}\"") };
            let line = format!("{directive}={value}");
            cases.push(
                Case::new(format!("{directive} has {what}")).conf_with(&line).fails(8, &[CONF, directive]),
            );
        }
    }
    for (line, says) in [
        ("BUILT_MODULE_NAME[0]=../../foo", "BUILT_MODULE_NAME"),
        ("BUILT_MODULE_NAME[0]=a/b", "BUILT_MODULE_NAME"),
        ("BUILT_MODULE_NAME[0]=-rf", "BUILT_MODULE_NAME"),
        ("BUILT_MODULE_NAME[0]='a b'", "BUILT_MODULE_NAME"),
        ("BUILT_MODULE_NAME[0]=foo.ko", "BUILT_MODULE_NAME"),
        ("DEST_MODULE_NAME[0]=../../../../t/foo", "DEST_MODULE_NAME"),
        ("BUILT_MODULE_LOCATION[0]=/etc", "BUILT_MODULE_LOCATION"),
        ("BUILT_MODULE_LOCATION[0]=../../..", "BUILT_MODULE_LOCATION"),
        ("DEST_MODULE_LOCATION[0]=/etc", "DEST_MODULE_LOCATION"),
        ("DEST_MODULE_LOCATION[0]=/kernel/../../../../t", "DEST_MODULE_LOCATION"),
        ("DEST_MODULE_LOCATION[0]=", "DEST_MODULE_LOCATION"),
    ] {
        cases.push(Case::new(line).conf_with(line).fails(8, &[CONF, says]));
    }
    let long = format!("BUILT_MODULE_NAME[0]={}", "n".repeat(300));
    cases.push(
        Case::new("a very long BUILT_MODULE_NAME").conf_with(&long).fails(8, &[CONF, "BUILT_MODULE_NAME"]),
    );
    for patch in ["../../../etc/passwd", "/etc/passwd", "gone.patch", "-rf", "a\nb"] {
        let case = Case::new(format!("PATCH {patch:?}")).conf_with(&format!("PATCH[0]='{patch}'"));
        let first = patch.split('\n').next().unwrap_or_default();
        cases.push(case.dkms("build foo/1.0 -k $K").fails(5, &["foo/1.0", first]).changes(ADDED));
    }
    cases
}
