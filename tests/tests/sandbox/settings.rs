//! `sandbox`, `build_user`, `sandbox_exempt`, and callers who aren't root.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Root, User};

use super::attempt::{root, write_evil};
use super::degraded::{Mode, prepare_modes};

/// Builds evil, whose `PRE_BUILD` says who it is; its log.
fn log_with(root: &Root, setting: &str) -> String {
    let conf = root.read("/etc/dkms/framework.conf").unwrap();
    root.write("/etc/dkms/framework.conf", &format!("{conf}{setting}\n"), 0o644).unwrap();
    let output = root
        .shell("\"$DKMS\" unbuild evil/1.0 --all; exec \"$DKMS\" install evil/1.0 -k $K", User::Root, "/")
        .unwrap();
    assert_eq!(output.code, 0, "{setting}: {}", output.stderr);
    root.write("/etc/dkms/framework.conf", &conf, 0o644).unwrap();
    root.must("cat /var/lib/dkms/evil/1.0/$K/x86_64/log/make.log").unwrap()
}

#[test]
fn the_admin_has_a_say() {
    let root = root();
    write_evil(&root, "echo \"$1 is $(id -un), reads $(cat /home/u/secret 2>/dev/null)\"");
    root.must("useradd --system builder 2>/dev/null || echo 'builder:x:777:777::/:/bin/false' >>/etc/passwd")
        .unwrap();
    for (setting, user, is_noted) in [
        ("", "nobody", false),
        ("sandbox=strict", "nobody", false),
        ("sandbox=off", "root", true),
        ("sandbox_exempt='other evil'", "root", true),
        ("build_user=builder", "builder", false),
        ("build_user=no-such-user", "nobody", false),
    ] {
        let log = log_with(&root, setting);
        for stage in ["conf", "pre-build", "make", "post-build"] {
            let secret = if user == "root" { crate::sandbox::attempt::SECRET } else { "" };
            assert!(log.contains(&format!("{stage} is {user}, reads {secret}")), "{setting}: {stage}\n{log}");
        }
        assert_eq!(log.matches("# not in a sandbox: ").count(), usize::from(is_noted), "{setting}: {log}");
        assert!(!log.contains("degraded"), "{setting}: {log}");
    }
}

#[test]
fn the_commands_of_a_build_find_what_those_before_them_have_written() {
    let root = root();
    prepare_modes(&root);
    Module::new("steps", "1.0")
        .with("PRE_BUILD=\"pre.sh\"")
        .with("POST_BUILD=\"post.sh\"")
        .write_to(&root)
        .unwrap();
    let pre = "#!/bin/sh\necho tmp >/tmp/steps-left; echo shm >/dev/shm/steps-left; echo home >$HOME/steps-left\n\
               echo source >/usr/src/steps-1.0/left; sleep 4245 &\n";
    let find = "cat /tmp/steps-left /dev/shm/steps-left $HOME/steps-left /usr/src/steps-1.0/left 2>/dev/null | xargs";
    root.write("/usr/src/steps-1.0/pre.sh", pre, 0o755).unwrap();
    root.write("/usr/src/steps-1.0/post.sh", &format!("#!/bin/sh\necho \"at the end: $({find})\"\n"), 0o755)
        .unwrap();
    root.must(&format!(
        "echo '$(info in make: $(shell {}))' >>/usr/src/steps-1.0/Makefile",
        find.replace('$', "$$")
    ))
    .unwrap();
    let here = [Mode::Whole, Mode::NoUsers, Mode::Chroot];
    for front in here.map(Mode::front) {
        let line = format!(
            "{front} $DKMS install steps/1.0 -k $K --force 2>&1; cat /var/lib/dkms/steps/1.0/$K/x86_64/log/make.log"
        );
        let log = root.must(&line).unwrap();
        for step in ["in make: ", "at the end: "] {
            assert!(log.contains(&format!("{step}tmp shm home source")), "{front}: {log}");
        }
        root.must("$DKMS remove steps/1.0 --all; ls /tmp/steps-left /usr/src/steps-1.0/left 2>/dev/null && exit 1; ! pgrep -f '[s]leep 4245'")
            .unwrap();
    }
    root.must("mkdir -p /home/mine/tree; chown -R nobody:nogroup /home/mine").unwrap();
    let line = "export HOME=/home/mine; \"$DKMS\" add steps/1.0 --dkmstree /home/mine/tree && \
                \"$DKMS\" build steps/1.0 -k $K --dkmstree /home/mine/tree";
    let output = root.shell(line, User::Nobody, "/").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let log = root.must("cat /home/mine/tree/steps/1.0/$K/x86_64/log/make.log; ls -A /home/mine").unwrap();
    assert!(log.contains("at the end: tmp shm home source") && log.ends_with("\ntree\n"), "{log}");
}

#[test]
fn callers_who_are_not_root_build_in_their_own_tree() {
    let root = root();
    write_evil(
        &root,
        "echo \"$1 is $(id -un)\"; cat /home/u/secret /etc/my-own.key; echo x >>/home/mine/x; ls /home/mine",
    );
    root.must("mkdir -p /home/mine/tree; echo mine >/home/mine/file; chown -R nobody:nogroup /home/mine")
        .unwrap();
    let line = "export HOME=/home/mine; \"$DKMS\" add evil/1.0 --dkmstree /home/mine/tree && \
                \"$DKMS\" build evil/1.0 -k $K --dkmstree /home/mine/tree";
    let output = root.shell(line, User::Nobody, "/").unwrap();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let log = root.must("cat /home/mine/tree/evil/1.0/$K/x86_64/log/make.log").unwrap();
    assert!(log.contains("pre-build is nobody\n"), "{log}");
    assert!(
        !log.contains(crate::sandbox::attempt::SECRET)
            && !log.contains("degraded")
            && !log.contains("\nfile\n"),
        "{log}"
    );
    assert_eq!(root.must("ls -A /home/mine").unwrap(), "file\ntree\n");
}

#[test]
fn a_shared_compiler_cache_is_read_and_ones_own_is_written() {
    let root = root();
    write_evil(
        &root,
        "echo \"readonly: $CCACHE_READONLY\"; { echo x >$CCACHE_DIR/x; } 2>/dev/null && echo written; cat $CCACHE_DIR/there",
    );
    let run = |owner: &str| {
        root.must(&format!(
            "rm -rf /root/cache; mkdir -p /root/cache; echo there >/root/cache/there; chown -R {owner} /root/cache; chmod 755 /root/cache
             $DKMS unbuild evil/1.0 --all || true; CCACHE_DIR=/root/cache $DKMS install evil/1.0 -k $K; ls /root/cache"
        ))
        .unwrap();
        let log = root.must("cat /var/lib/dkms/evil/1.0/$K/x86_64/log/make.log").unwrap();
        (log, root.must("ls /root/cache").unwrap())
    };
    let (log, there) = run("root");
    assert!(log.contains("readonly: 1\nthere\n") && there == "there\n", "{log}");
    let (log, there) = run("nobody");
    assert!(log.contains("readonly: \nwritten\nthere\n") && there == "there\nx\n", "{log}");
}
