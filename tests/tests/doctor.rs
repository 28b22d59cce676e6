//! `dkms doctor`: it finds nothing on a healthy tree, and each fault that it knows when one is made; what it
//! says fixes it, and `--fix` what is safe.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use dkms_tests::cache::Cache;
use dkms_tests::capture::capture;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready::Ready;
use dkms_tests::root::{Root, User};
use dkms_tests::tier::part;
use dkms_tests::tool::Tool;
use dkms_tests::verdict;
use serde_json::Value;

/// What becomes of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mended {
    /// `--fix` fixes it.
    Fixed,
    /// Its command does.
    Commanded,
    /// A person must; this is only reported.
    Told,
}

use Mended::{Commanded, Fixed, Told};

/// How a fault is made, what it is called, who fixes it.
const FAULTS: [(&str, &str, Mended); 30] = [
    ("rm /var/lib/dkms/foo/1.0/source", "broken", Fixed),
    ("rm /var/lib/dkms/foo/1.0/source", "broken", Commanded),
    ("rm -r /usr/src/foo-1.0", "broken", Commanded),
    ("mkdir -p /var/lib/dkms/foo/1.0/.tmp_4999999_0_x/y", "leftover", Fixed),
    ("touch /lib/modules/$K/updates/dkms/.tmp_4999999_0_foo.ko.new", "leftover", Fixed),
    ("touch /usr/src/.tmp_4999999_0_foo-1.0", "leftover", Commanded),
    (
        "mkdir -p /var/lib/dkms/.state/journal; cd /var/lib/dkms/.state/journal
         printf '{\"version\":1,\"pid\":4999999,\"started\":1,\"module\":\"foo\",\"module_version\":\"1.0\",' >4999999-1.0.foo
         printf '\"kernel\":\"%s\",\"arch\":\"x86_64\",\"depmod\":false}\\n' $K >>4999999-1.0.foo",
        "interrupted",
        Fixed,
    ),
    ("mkdir -p /var/lib/dkms/.state/owed; printf x86_64 >/var/lib/dkms/.state/owed/$K", "owed-depmod", Fixed),
    ("dkms install foo/1.0 -k $K3; rm -r /lib/modules/$K3", "orphan", Fixed),
    ("dkms install foo/1.0 -k $K3; rm -r /lib/modules/$K3", "orphan", Commanded),
    ("ln -s 9/6.0.1/x86_64 /var/lib/dkms/foo/kernel-6.0.1-x86_64", "dangling-link", Fixed),
    ("rm -r /var/lib/dkms/foo/1.0/$K", "installed-without-build", Commanded),
    ("echo >>/lib/modules/$K/updates/dkms/foo.ko", "drift", Commanded),
    ("rm /var/lib/dkms/foo/1.0/$K/x86_64/module/foo.ko", "build-incomplete", Commanded),
    ("dkms unbuild foo/1.0 -k $K2; rm /lib/modules/$K2/build", "no-headers", Told),
    ("dkms uninstall foo/1.0 -k $K2", "not-installed", Commanded),
    (
        "dkms unbuild foo/1.0 -k $K2; cp /srv/ready/foo.ko /srv/kept; rm /srv/ready/foo.ko
         dkms install foo/1.0 -k $K2 || cp /srv/kept /srv/ready/foo.ko",
        "not-installed",
        Told,
    ),
    ("echo CONFIG_MODULE_SIG_FORCE=y >>/lib/modules/$K/build/include/config/auto.conf", "unsigned", Told),
    (
        "mkdir -p /etc/depmod.d; echo search built-in updates >/etc/depmod.d/x.conf
         mkdir -p /lib/modules/$K/extra; cp /lib/modules/$K/updates/dkms/foo.ko /lib/modules/$K/extra",
        "shadowed",
        Commanded,
    ),
    ("sed -i /foo/d /lib/modules/$K/modules.dep", "stale-index", Fixed),
    ("echo parallel_jobs=many >>/etc/dkms/framework.conf", "wrong-setting", Told),
    ("echo sandobx=strict >>/etc/dkms/framework.conf", "wrong-setting", Told),
    ("mkdir -p /etc/dkms/framework.conf.d; echo lokc_timeout=5 >/etc/dkms/framework.conf.d/q.conf", "wrong-setting", Told),
    ("mkdir -p /etc/dkms/framework.conf.d; echo 'x=\"y' >/etc/dkms/framework.conf.d/q.conf", "wrong-setting", Told),
    ("chmod 666 /etc/dkms/framework.conf", "untrusted-setting", Commanded),
    ("mkdir -p /etc/dkms/framework.conf.d; cd /etc/dkms/framework.conf.d; >q.conf; chmod 666 q.conf", "untrusted-setting", Commanded),
    ("chmod 777 /var/lib/dkms", "untrusted-tree", Commanded),
    ("chown 12345 /var/lib/dkms", "untrusted-tree", Commanded),
    ("chmod 777 /lib/modules", "untrusted-tree", Commanded),
    ("echo '(' >>/usr/src/foo-1.0/dkms.conf", "invalid-conf", Told),
];

struct Clinic {
    cache: Cache,
    kernels: Kernels,
    ready: &'static Ready,
    ours: Tool,
}

impl Clinic {
    fn open() -> Self {
        let (cache, kernels) = (Cache::open().unwrap(), Kernels::find().unwrap());
        let ready = Ready::compile(&cache, &kernels).unwrap();
        let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
        Self { cache, kernels, ready, ours }
    }

    /// A root without modules, with the user that our packages make.
    fn empty(&self) -> Root {
        let root = Root::new(&self.cache, &self.kernels, &[&self.ours]).unwrap();
        root.must("grep -q ^_dkms: /etc/passwd || echo _dkms:x:970:970::/:/usr/sbin/nologin >>/etc/passwd")
            .unwrap();
        root
    }

    /// foo/1.0 on both kernels that count.
    fn healthy(&self) -> Root {
        let root = self.empty();
        self.ready.put_for_each_kernel(&root).unwrap();
        root.must("dkms add foo/1.0; dkms autoinstall -k $K; dkms autoinstall -k $K2").unwrap();
        root
    }
}

/// The kinds of what is found, and how it ended; nothing must have changed.
fn examined(root: &Root) -> (Vec<Value>, i32) {
    let before = capture(root).unwrap();
    let output = root.shell("exec \"$DKMS\" doctor --json", User::Nobody, "/").unwrap();
    assert_eq!(verdict::changes(&before, &capture(root).unwrap(), &[]), Vec::<String>::new());
    let document: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (document["findings"].as_array().unwrap().clone(), output.code)
}

fn kinds(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["kind"].as_str().unwrap()).collect()
}

#[test]
fn a_healthy_tree_has_nothing_wrong() {
    let clinic = Clinic::open();
    let root = clinic.healthy();
    assert_eq!(examined(&root), (Vec::new(), 0));
    // As root it sees which isolation layers this machine lacks; a container may lack some.
    let said = root.dkms("doctor").unwrap();
    let others =
        |line: &&str| !line.starts_with("hint: the sandbox of builds lacks") && !line.starts_with("  why: ");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.lines().filter(others).all(|line| line == "nothing is wrong"), "{said:?}");
    assert_eq!(root.dkms("doctor --fix").unwrap().code, 0);
    let empty = clinic.empty();
    assert_eq!(examined(&empty), (Vec::new(), 0));
    empty.must("rm -r /var/lib/dkms /lib/modules").unwrap();
    assert_eq!(examined(&empty), (Vec::new(), 0));
}

#[test]
fn each_fault_is_found_and_mended() {
    let clinic = Clinic::open();
    let mut wrong = Vec::new();
    for (fault, kind, mended) in part(FAULTS.to_vec(), 2) {
        let root = clinic.healthy();
        root.must(fault).unwrap();
        let (found, code) = examined(&root);
        if kinds(&found) != [kind] || code != 1 {
            wrong.push(format!("{fault}: {code} {found:?}"));
            continue;
        }
        let fixable = found[0]["fixable"] == true;
        let line = match mended {
            Fixed => "dkms doctor --fix".to_owned(),
            Commanded => found[0]["command"].as_str().unwrap().to_owned(),
            Told => continue,
        };
        let output = root.shell(&line, User::Root, "/").unwrap();
        if mended == Fixed && !fixable || output.code != 0 || examined(&root) != (Vec::new(), 0) {
            wrong.push(format!("{fault}: `{line}` gave {output:?}, then {:?}", examined(&root)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_login_is_closed_to_others_and_they_are_told() {
    let root = Clinic::open().healthy();
    root.must("echo prebuilt_proxy=http://u:p@localhost:9 >>/etc/dkms/framework.conf").unwrap();
    let (found, code) = examined(&root);
    assert_eq!((kinds(&found), code), (vec!["wrong-setting"], 1), "{found:?}");
    root.must(found[0]["command"].as_str().unwrap()).unwrap();
    let (found, code) = examined(&root);
    assert_eq!((kinds(&found), code), (vec!["closed-setting"], 0), "{found:?}");
    assert!(!root.dkms("doctor").unwrap().stdout.contains("framework.conf"));
    let seen = root.shell("exec \"$DKMS\" status", User::Nobody, "/").unwrap();
    assert_eq!(seen.code, 0, "{seen:?}");
    assert_eq!(seen.stdout, root.dkms("status").unwrap().stdout);
    assert!(seen.stderr.contains("framework.conf"), "{seen:?}");
}

#[test]
fn root_hears_of_each_open_place_once() {
    let root = Clinic::open().healthy();
    root.must("cd /etc/dkms; mkdir -p framework.conf.d; echo verbose=maybe >framework.conf.d/q.conf; chmod 666 framework.conf framework.conf.d/q.conf; chmod 777 /var/lib/dkms").unwrap();
    let output = root.dkms("doctor --json").unwrap();
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let found: Vec<_> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap().to_owned())
        .collect();
    for place in ["/etc/dkms/framework.conf", "/etc/dkms/framework.conf.d/q.conf", "/var/lib/dkms"] {
        let of =
            found.iter().filter(|what| what.contains(&format!("`{place}` is writable by group or others")));
        assert_eq!(of.count(), 1, "{place}: {found:?}");
    }
    // Nothing of what others may write holds, and what only shows something goes on.
    let status = root.dkms("status").unwrap();
    assert!(
        status.code == 0
            && status.stdout.contains("foo/1.0")
            && status.stderr.contains("settings are not read"),
        "{status:?}"
    );
    let added = root.dkms("autoinstall -k $K").unwrap();
    assert!(added.code == 8 && added.stderr.contains("chmod go-w /etc/dkms/framework.conf"), "{added:?}");
}

#[test]
fn what_is_not_safe_is_left() {
    let root = Clinic::open().healthy();
    root.must("dkms uninstall foo/1.0 -k $K; echo >>/lib/modules/$K2/updates/dkms/foo.ko").unwrap();
    root.must("rm /var/lib/dkms/foo/1.0/source; touch /usr/src/.tmp_4999999_0_x").unwrap();
    let before = capture(&root).unwrap();
    assert_eq!(root.shell("exec \"$DKMS\" doctor --fix", User::Nobody, "/").unwrap().code, 1, "not theirs");
    assert_eq!(root.dkms("doctor --fix --dry-run").unwrap().code, 1);
    assert_eq!(verdict::changes(&before, &capture(&root).unwrap(), &[]), Vec::<String>::new());
    let output = root.dkms("doctor --fix").unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    let (left, code) = examined(&root);
    assert_eq!(code, 1);
    assert!(kinds(&left).iter().all(|kind| ["drift", "not-installed"].contains(kind)), "{left:?}");
    assert_eq!(root.must("find /usr/src /var/lib/dkms -name '.tmp_*'").unwrap(), "");
}

#[test]
fn a_module_that_does_not_build_says_why() {
    let root = Clinic::open().healthy();
    root.must("dkms unbuild foo/1.0 -k $K2; rm /srv/ready/foo.ko; ! dkms install foo/1.0 -k $K2").unwrap();
    let (found, _) = examined(&root);
    let why = found[0]["why"].as_str().unwrap_or_default();
    assert!(why.starts_with("its last build failed: "), "{found:?}");
    let command = root.must("echo dkms log foo/1.0 -k $K2/x86_64").unwrap();
    assert_eq!(found[0]["command"].as_str(), Some(command.trim_end()), "{found:?}");
    let asked = root.dkms("preflight -k $K2").unwrap();
    assert!(asked.code == 1 && asked.stdout.contains("its last build for this kernel failed"), "{asked:?}");
}

#[test]
fn a_disk_without_room() {
    let root = Clinic::open().healthy();
    root.must("mkdir /t; mount -t tmpfs -o size=1m,mode=755 disk /t").unwrap();
    let output = root.dkms("doctor --dkmstree /t").unwrap();
    assert!(output.code == 1 && output.stdout.contains("MiB free below `/t`"), "{output:?}");
}

#[test]
fn a_user_that_stands_in_for_another_is_named_with_the_command() {
    let root = Clinic::open().empty();
    root.must("sed -i /^_dkms:/d /etc/passwd; rm -f /usr/lib/sysusers.d/dkms.conf").unwrap();
    let (found, code) = examined(&root);
    assert_eq!((kinds(&found), code), (vec!["build-user"], 0), "{found:?}");
    let text = |field: &str| found[0][field].as_str().unwrap().to_owned();
    assert!(text("what").contains("`_dkms`") && text("what").contains("`nobody`"), "{found:?}");
    root.must(&text("command")).unwrap();
    assert_eq!(examined(&root), (Vec::new(), 0));
    // Another user of the admin's, and none at all.
    root.must("echo build_user=builder >>/etc/dkms/framework.conf; sed -i /^nobody:/d /etc/passwd").unwrap();
    let output = root.dkms("doctor").unwrap();
    assert_eq!(output.code, 1, "{output:?}");
    assert!(
        output.stdout.contains("problem: there is no user `builder`: modules are built as root"),
        "{output:?}"
    );
    assert!(output.stdout.contains("fix: useradd ") && output.stdout.contains(" builder\n"), "{output:?}");
    root.must("echo sandbox=off >>/etc/dkms/framework.conf").unwrap();
    assert!(!root.dkms("doctor").unwrap().stdout.contains("builder"));
    // Declared by our package, it is made as that says.
    let conf =
        root.read("/etc/dkms/framework.conf").unwrap().replace("build_user=builder\nsandbox=off\n", "");
    root.write("/etc/dkms/framework.conf", &conf, 0o644).unwrap();
    root.write("/usr/lib/sysusers.d/dkms.conf", "u _dkms - \"Builds\" /\n", 0o644).unwrap();
    root.must("sed -i /^_dkms:/d /etc/passwd; printf '#!/bin/sh\n' >/usr/local/bin/systemd-sysusers; chmod 755 /usr/local/bin/systemd-sysusers").unwrap();
    let output = root.dkms("doctor").unwrap();
    assert!(output.stdout.contains("fix: systemd-sysusers /usr/lib/sysusers.d/dkms.conf"), "{output:?}");
}
