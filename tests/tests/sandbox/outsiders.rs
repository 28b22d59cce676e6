//! Processes of the build user outside of any sandbox, while an honest module and a hostile one are built:
//! none of them reaches a build folder, whatever this system can isolate.

use dkms_tests::fixture::Module;
use dkms_tests::root::{Root, User};

use super::attempt::{alone, honest_bytes, root, write_evil};
use super::degraded::{Mode, prepare_modes};
use super::limits::peak_of;

/// Tries what leads into a build folder: paths, and processes that work in it. Says where it got in.
const ATTACK: &str = r#"#!/bin/bash
cd /
while [ ! -e /srv/attack/stop ]; do
  for d in /var/lib/dkms/*/*/build /var/lib/dkms/*/*/.tmp_* /var/lib/dkms/*/*/.tmp_*/* /var/lib/dkms/*/*/6*/x86_64{,/module} \
           /proc/[0-9]*/cwd /proc/[0-9]*/root/var/lib/dkms/*/*/build; do
    { echo 'MODULE_INFO(foreign, "yes");' >>$d/honest.c; } 2>/dev/null && echo "wrote in $d" >>/srv/attack/breach
    ln -sf /usr/local/bin/rootprog $d/honest.ko 2>/dev/null && echo "linked in $d" >>/srv/attack/breach
    for f in $d/*.setid; do [ -u $f ] && [ -x $f ] && echo "can run $f" >>/srv/attack/breach; done
  done
done
"#;

/// Builds both modules while so many processes attack, with this in front of the command.
fn attacked(root: &Root, front: &str, attackers: u32, rounds: u32) {
    root.must("rm -rf /srv/attack; mkdir -m 777 /srv/attack; echo root-program >/usr/local/bin/rootprog")
        .unwrap();
    root.must(&format!(
        "for n in $(seq {attackers}); do
           setpriv --reuid=nobody --regid=nogroup --clear-groups bash /usr/local/bin/attack >/dev/null 2>&1 &
         done"
    ))
    .unwrap();
    for round in 0..rounds {
        let line = format!("cd /; {front} \"$DKMS\" autoinstall -k $K");
        let output = root.shell(&line, User::Root, "/").unwrap();
        let breach = root.read("/srv/attack/breach").unwrap();
        assert_eq!(breach, "", "{front}");
        assert!(honest_bytes(root) == alone(), "{front}, round {round}: {}", output.stderr);
        root.must("$DKMS unbuild honest/1.0 --all; $DKMS unbuild evil/1.0 --all").unwrap();
    }
    assert_eq!(root.read("/usr/local/bin/rootprog").unwrap(), "root-program\n");
    let left = root.must("touch /srv/attack/stop; sleep 0.3; find /var/lib/dkms -perm /6000 -type f; ls -A /var/lib/dkms/.state/locks /var/lib/dkms/.state/running");
    assert_eq!(
        left.unwrap()
            .replace("/var/lib/dkms/.state/locks:", "")
            .replace("/var/lib/dkms/.state/running:", "")
            .trim(),
        "",
        "{front}"
    );
}

fn with_attackers() -> Root {
    let root = root();
    root.write("/usr/local/bin/attack", ATTACK, 0o755).unwrap();
    write_evil(&root, "cp /usr/bin/id x.setid; chmod 6755 x.setid; [ -u x.setid ] && echo ESCAPED; true");
    // Time for those outside.
    root.must(
        "cd /usr/src/honest-1.0; printf '#!/bin/sh\\nsleep 0.5\\n' >wait.sh; chmod 755 wait.sh
         echo 'PRE_BUILD=wait.sh' >>dkms.conf; echo 'POST_BUILD=wait.sh' >>dkms.conf
         $DKMS add honest/1.0; $DKMS add evil/1.0",
    )
    .unwrap();
    prepare_modes(&root);
    root
}

#[test]
fn nobody_outside_reaches_a_build() {
    let root = with_attackers();
    for mode in Mode::ALL {
        attacked(&root, &mode.front(), 2, 1);
    }
}

/// What ten hostile modules do while they are built, after their own module was made.
const HOSTILE: [&str; 10] = [
    "cp /usr/bin/id x.setid; chmod 6755 x.setid",
    "for i in 1 2 3; do chmod -R 0777 .; sleep 0.1; done",
    "perl -e 'for (1..1500) { mkdir \"d\"; chdir \"d\" or last }'",
    "ln -sf /usr/local/bin/rootprog $MODULE.ko",
    "truncate -s 2G $MODULE.ko",
    "yes 'x.c:1:1: error: again' | head -c 300000000",
    "kill -9 -1; true",
    "for d in /var/lib/dkms/*/1.0/build; do echo 'MODULE_INFO(foreign, \"yes\");' >>$d/$(basename ${d%/1.0/build}).c; done; true",
    "for i in $(seq 100); do setsid sleep 2000 & done; true",
    "w=${MAKEFLAGS##*--jobserver-auth=}; w=${w#*,}; w=${w%% *}; [ -z \"$w\" ] || head -c 100000 /dev/zero | timeout 2 cat >&$w; true",
];

/// So many honest modules are built in each of so many rounds.
const HONEST: usize = 10;
const ROUNDS: usize = 20;

/// The honest modules that are installed, each with its bytes.
fn installed(root: &Root) -> Vec<Vec<u8>> {
    let file = |n| format!("/lib/modules/{}/updates/dkms/good{n}.ko", root.kernels().first);
    (0..HONEST).map(|n| dkms_base::host::fs::read(&root.view(&file(n))).unwrap_or_default()).collect()
}

#[test]
#[ignore = "full tier"]
fn many_attackers_and_many_builds() {
    let root = root();
    root.write("/usr/local/bin/attack", &ATTACK.replace("honest", "good0"), 0o755).unwrap();
    for n in 0..HONEST {
        Module::new(&format!("good{n}"), "1.0").write_to(&root).unwrap();
    }
    let names = |name: &str| (0..HONEST).map(|n| format!("{name}{n}")).collect::<Vec<_>>().join(" ");
    root.must(&format!("for m in {}; do $DKMS install $m/1.0 -k $K; done", names("good"))).unwrap();
    let alone = installed(&root);
    assert!(alone.iter().all(|bytes| !bytes.is_empty()));
    root.must(&format!("for m in {}; do $DKMS unbuild $m/1.0 --all; done", names("good"))).unwrap();
    for (n, script) in HOSTILE.iter().enumerate() {
        let name = format!("evil{n}");
        let make = format!(
            "MAKE=\"make -C /lib/modules/$kernelver/build M=/var/lib/dkms/{name}/1.0/build modules && MODULE={name} bash ./after.sh\""
        );
        Module::new(&name, "1.0").with(&make).write_to(&root).unwrap();
        root.write(&format!("/usr/src/{name}-1.0/after.sh"), &format!("{script}\n"), 0o755).unwrap();
        root.must(&format!("$DKMS add {name}/1.0")).unwrap();
    }
    root.must(
        "rm -rf /srv/attack; mkdir -m 777 /srv/attack; echo root-program >/usr/local/bin/rootprog
         for n in $(seq 20); do
           setpriv --reuid=nobody --regid=nogroup --clear-groups nice -n 15 bash /usr/local/bin/attack >/dev/null 2>&1 &
         done",
    )
    .unwrap();
    let mut peak = 0;
    for round in 0..ROUNDS {
        let (memory, _) = peak_of(&root, "autoinstall -k $K");
        peak = peak.max(memory);
        let said = root.read("/tmp/said").unwrap();
        assert_eq!(root.read("/srv/attack/breach").unwrap(), "", "round {round}");
        for (n, (bytes, honest)) in installed(&root).iter().zip(&alone).enumerate() {
            assert!(bytes == honest, "round {round}: good{n} is another: {said}");
        }
        root.must(&format!(
            "for m in {} {}; do $DKMS unbuild $m/1.0 --all; done",
            names("good"),
            names("evil")
        ))
        .unwrap();
    }
    assert!(peak < 300_000, "{peak} KiB");
    assert_eq!(root.read("/usr/local/bin/rootprog").unwrap(), "root-program\n");
    let left = root.must(
        "touch /srv/attack/stop; sleep 1; find /var/lib/dkms -perm /6000 -type f; pgrep -af '^sleep 2000' || true
         find /var/lib/dkms/.state/locks /var/lib/dkms/.state/running -type f",
    );
    assert_eq!(left.unwrap(), "");
}
