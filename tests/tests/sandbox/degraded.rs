//! Places where not every isolation layer is available: the others stand, the log names it, and a strict
//! sandbox refuses.

use dkms_tests::root::{Root, User};

use super::attempt::{SECRET, root, write_evil};

/// Runs a command with system calls that fail with EPERM: those that make namespaces of the kinds in `$1`
/// (flags of clone(2)).
const WITHOUT: &str = r#"#!/usr/bin/perl
# Calls that make namespaces fail where one of the flags is asked for; clone3 doesn't exist.
my ($flags, @command) = @ARGV;
my $stay = 0x7fff0000; my $no = 0x00050001; my $none = 0x00050026;
my @program = (
    [0x20, 0, 0, 0],
    [0x15, 4, 0, 272], [0x15, 3, 0, 56], [0x15, 1, 0, 435],
    [0x06, 0, 0, $stay], [0x06, 0, 0, $none],
    [0x20, 0, 0, 16], [0x45, 0, 1, oct($flags)], [0x06, 0, 0, $no], [0x06, 0, 0, $stay]);
my $text = join '', map { pack 'SCCL', @$_ } @program;
my $filter = pack 'Sx6P', scalar(@program), $text;
syscall(157, 38, 1, 0, 0, 0);
syscall(157, 22, 2, $filter) == 0 or die "no filter: $!";
exec @command or die;
"#;

const USER_NAMESPACES: &str = "0x10000000";
const ALL_NAMESPACES: &str = "0x7e020080";

/// A way to run a command in which the system isolates less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything can be had.
    Whole,
    /// No user namespaces.
    NoUsers,
    /// No namespaces at all.
    NoNamespaces,
    /// A plain chroot.
    Chroot,
}

impl Mode {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Whole, Self::NoUsers, Self::NoNamespaces, Self::Chroot];

    /// What stands in front of a command. Its root is [prepared](prepare_modes).
    pub(crate) fn front(self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::NoUsers => format!("without {USER_NAMESPACES}"),
            Self::NoNamespaces => format!("without {ALL_NAMESPACES}"),
            Self::Chroot => "chroot /plain".to_owned(),
        }
    }
}

/// Makes a root ready for every [`Mode`].
pub(crate) fn prepare_modes(root: &Root) {
    root.write("/usr/local/bin/without", WITHOUT, 0o755).unwrap();
    root.must(PLAIN).unwrap();
}

fn with_helper() -> Root {
    let root = root();
    root.write("/usr/local/bin/without", WITHOUT, 0o755).unwrap();
    write_evil(
        &root,
        "echo \"$1 is $(id -un)\"; cat /home/u/secret /etc/my-own.key /root/secret; setsid sleep 5150 >/dev/null 2>&1 &
         { echo x >/etc/x; echo x >/usr/src/x; echo x >/var/lib/dkms/x; echo x >/home/x; } 2>/dev/null
         { exec 3<>/dev/tcp/127.0.0.1/22; } 2>&1 | sed 's/.*: //'; grep -E 'NoNewPrivs|CapBnd' /proc/self/status; true",
    );
    root.must("$DKMS add evil/1.0").unwrap();
    root
}

/// Builds with this in front of the command; the log.
fn log_of(root: &Root, front: &str) -> String {
    let output = root.shell(&format!("{front} \"$DKMS\" unbuild evil/1.0 --all >/dev/null 2>&1; {front} \"$DKMS\" build evil/1.0 -k $K"), User::Root, "/").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    root.must("cat /var/lib/dkms/evil/1.0/$K/x86_64/log/make.log").unwrap()
}

/// What holds wherever it runs.
fn stands(root: &Root, log: &str, missing: &[&str]) {
    for stage in ["pre-build", "make", "post-build"] {
        assert!(log.contains(&format!("{stage} is nobody")), "{log}");
    }
    assert!(log.contains("NoNewPrivs:\t1") && log.contains("CapBnd:\t0000000000000000"), "{log}");
    for path in ["/etc/x", "/usr/src/x", "/var/lib/dkms/x", "/home/x"] {
        assert!(root.open(path).unwrap().is_none(), "{path}");
    }
    assert_eq!(root.must("pgrep -f '[s]leep 5150' || true").unwrap(), "");
    let notes: Vec<&str> = log.lines().filter(|line| line.contains("degraded")).collect();
    assert_eq!(notes.len(), 1, "{log}");
    missing.iter().for_each(|wall| assert!(notes[0].contains(wall), "{wall}: {notes:?}"));
}

/// A strict sandbox refuses, and says what is missing.
fn strict_refuses(root: &Root, front: &str, missing: &str) {
    let conf = root.read("/etc/dkms/framework.conf").unwrap();
    root.write("/etc/dkms/framework.conf", &format!("{conf}sandbox=strict\n"), 0o644).unwrap();
    root.must("sed -i '/^said=/d' /usr/src/evil-1.0/dkms.conf").unwrap();
    let output = root.shell(&format!("{front} \"$DKMS\" unbuild evil/1.0 --all >/dev/null 2>&1; {front} \"$DKMS\" build evil/1.0 -k $K"), User::Root, "/").unwrap();
    assert_ne!(output.code, 0);
    // A container has one stream.
    let said = output.stdout + &output.stderr;
    assert!(said.contains("`sandbox=strict`") && said.contains(missing), "{said}");
    root.write("/etc/dkms/framework.conf", &conf, 0o644).unwrap();
}

#[test]
fn without_user_namespaces() {
    let root = with_helper();
    let front = format!("without {USER_NAMESPACES}");
    let log = log_of(&root, &front);
    stands(&root, &log, &["no user namespace (Operation not permitted)"]);
    assert!(!log.contains(SECRET), "{log}");
    strict_refuses(&root, &front, "no user namespace");
}

#[test]
fn without_any_namespace() {
    let root = with_helper();
    let front = format!("without {ALL_NAMESPACES}");
    let log = log_of(&root, &front);
    let missing = [
        "no user namespace",
        "no pid namespace",
        "no read-only view",
        "no network namespace",
        "no IPC namespace",
    ];
    stands(&root, &log, &missing);
    assert!(!log.contains(SECRET), "{log}");
    strict_refuses(&root, &front, "no network namespace");
    // A user who isn't root has even less, and builds anyway.
    root.must("mkdir -p /home/mine/tree; chown -R nobody:nogroup /home/mine").unwrap();
    let line = format!(
        "export HOME=/home/mine; \"$DKMS\" add evil/1.0 --dkmstree /home/mine/tree && \
         {front} \"$DKMS\" build evil/1.0 -k $K --dkmstree /home/mine/tree"
    );
    let output = root.shell(&line, User::Nobody, "/").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let log = root.must("cat /home/mine/tree/evil/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(!log.contains(SECRET) && log.contains("degraded"), "{log}");
}

/// The whole system a second time below a folder that is no mount point.
const PLAIN: &str = "mkdir /plain; cd /; for d in bin boot etc home lib lib32 lib64 opt root sbin srv usr var dev proc sys tmp run; do
    if [ -L $d ]; then cp -a $d /plain/; elif [ -d $d ]; then mkdir /plain/$d; mount --rbind /$d /plain/$d; fi; done";

#[test]
fn in_a_chroot() {
    let root = with_helper();
    root.must(PLAIN).unwrap();
    let log = log_of(&root, "chroot /plain");
    stands(&root, &log, &["no user namespace"]);
    assert!(!log.contains("no pid namespace") && !log.contains("no read-only view"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
    strict_refuses(&root, "chroot /plain", "no user namespace");
}

/// In front of a command: a container in which these calls fail (a filter of systemd-nspawn's).
fn contained(filter: &str) -> String {
    format!(
        "SYSTEMD_SECCOMP=1 systemd-nspawn --quiet --register=no --keep-unit --as-pid2 -D /plain {filter} \
         --resolv-conf=off --timezone=off --setenv=DKMS=\"$DKMS\" --"
    )
}

#[test]
fn in_a_container() {
    let root = with_helper();
    root.must("mkdir /plain; mount --rbind / /plain; umount -l /plain/proc /plain/sys /plain/dev /plain/tmp 2>/dev/null; true").unwrap();
    // As it is usual: everything can be had.
    let front = contained("");
    let log = log_of(&root, &front);
    assert!(log.contains("pre-build is nobody\n") && !log.contains(SECRET), "{log}");
    assert!(log.contains("NoNewPrivs:\t1") && !log.contains("degraded"), "{log}");
    for path in ["/etc/x", "/usr/src/x", "/var/lib/dkms/x", "/home/x"] {
        assert!(root.open(path).unwrap().is_none(), "{path}");
    }
    // As others are: nobody may mount or make namespaces. Bookworm's systemd-nspawn has no landlock either,
    // so that what everyone may read can be read.
    let front = contained("--system-call-filter='~@mount unshare'");
    let log = log_of(&root, &front);
    stands(&root, &log, &["no read-only view", "no network namespace"]);
    strict_refuses(&root, &front, "no network namespace");
}

/// Refuses system calls, each by its number, to a command.
pub(crate) const REFUSING: &str = r#"#!/usr/bin/perl
my ($calls, @command) = @ARGV;
my @calls = split /,/, $calls;
my @program = ([0x20, 0, 0, 0], (map { [0x15, 0, 1, $_], [0x06, 0, 0, 0x00050026] } @calls), [0x06, 0, 0, 0x7fff0000]);
my $text = join '', map { pack 'SCCL', @$_ } @program;
my $filter = pack 'Sx6P', scalar(@program), $text;
syscall(157, 38, 1, 0, 0, 0);
syscall(157, 22, 2, $filter) == 0 or die "no filter: $!";
exec @command or die;
"#;

#[test]
fn doctor_lists_the_layers_that_are_missing() {
    let root = with_helper();
    root.write("/usr/local/bin/refusing", REFUSING, 0o755).unwrap();
    // landlock_create_ruleset, seccomp.
    for (front, missing) in [
        (format!("without {USER_NAMESPACES}"), &["no user namespace"][..]),
        (
            format!("without {ALL_NAMESPACES}"),
            &[
                "no user namespace",
                "no pid namespace",
                "no read-only view",
                "no network namespace",
                "no IPC namespace",
            ],
        ),
        ("refusing 444".to_owned(), &["no landlock"]),
        ("refusing 317".to_owned(), &["no filter of system calls"]),
    ] {
        let listed = |setting: &str| -> Vec<(String, String)> {
            let line = format!("{setting} {front} \"$DKMS\" doctor --json");
            let output = root.shell(&line, User::Root, "/").unwrap();
            let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
            let findings = document["findings"].as_array().unwrap().clone();
            let layers = findings.iter().filter(|finding| finding["kind"] == "isolation-layer");
            let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap().to_owned();
            layers.map(|finding| (text(finding, "severity"), text(finding, "what"))).collect()
        };
        let found = listed("");
        for layer in missing {
            assert!(
                found.iter().any(|(severity, what)| severity == "hint" && what.contains(layer)),
                "{front}: {found:?}"
            );
        }
        let said = root.shell(&format!("{front} \"$DKMS\" doctor"), User::Root, "/").unwrap();
        assert!(said.stdout.contains(missing[0]) && said.stdout.contains("  why: "), "{said:?}");
    }
    let conf = root.read("/etc/dkms/framework.conf").unwrap();
    for (setting, problem) in [("sandbox=strict", true), ("sandbox=off", false)] {
        root.write("/etc/dkms/framework.conf", &format!("{conf}{setting}\n"), 0o644).unwrap();
        let said =
            root.shell(&format!("without {USER_NAMESPACES} \"$DKMS\" doctor"), User::Root, "/").unwrap();
        assert_eq!(
            said.stdout.contains("problem: nothing is built with `sandbox=strict`"),
            problem,
            "{said:?}"
        );
        assert!(!said.stdout.contains("hint: the sandbox"), "{said:?}");
    }
}

#[test]
fn limits_that_can_not_be_set_are_said() {
    let root = with_helper();
    root.write("/usr/local/bin/refusing", REFUSING, 0o755).unwrap();
    // Without the filter (seccomp is 317) the limits of the user namespace are what is left.
    let log = log_of(&root, "refusing 317");
    assert!(log.contains("no filter of system calls") && !log.contains("no limits of resources"), "{log}");
    root.must("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys").unwrap();
    let log = log_of(&root, "");
    assert!(!log.contains("no limits of resources"), "{log}");
    let log = log_of(&root, "refusing 317");
    // A kernel that shows parts of /proc read-only gives no user namespace a /proc of its own.
    assert!(log.contains("no user namespace") && log.contains("no filter of system calls"), "{log}");
    let said = root.shell("refusing 317 \"$DKMS\" doctor", User::Root, "/").unwrap();
    assert!(said.stdout.contains("no user namespace") && said.stdout.contains("no filter"), "{said:?}");
}
