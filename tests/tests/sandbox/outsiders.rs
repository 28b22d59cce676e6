//! Processes of the build user outside of any sandbox, while an honest module and a hostile one are built:
//! none of them reaches a build folder, whatever this system can isolate.

use dkms_tests::root::{Root, User};

use crate::attempt::{alone, honest_bytes, root, write_evil};
use crate::degraded::{ALL_NAMESPACES, PLAIN, USER_NAMESPACES, WITHOUT};

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
    root.write("/usr/local/bin/without", WITHOUT, 0o755).unwrap();
    write_evil(&root, "cp /usr/bin/id x.setid; chmod 6755 x.setid; [ -u x.setid ] && echo ESCAPED; true");
    // Time for those outside.
    root.must(
        "cd /usr/src/honest-1.0; printf '#!/bin/sh\\nsleep 0.5\\n' >wait.sh; chmod 755 wait.sh
         echo 'PRE_BUILD=wait.sh' >>dkms.conf; echo 'POST_BUILD=wait.sh' >>dkms.conf
         $DKMS add honest/1.0; $DKMS add evil/1.0",
    )
    .unwrap();
    root
}

#[test]
fn nobody_outside_reaches_a_build() {
    let root = with_attackers();
    attacked(&root, "", 2, 1);
    attacked(&root, &format!("without {USER_NAMESPACES}"), 2, 1);
    attacked(&root, &format!("without {ALL_NAMESPACES}"), 2, 1);
    root.must(PLAIN).unwrap();
    attacked(&root, "chroot /plain", 2, 1);
}

#[test]
#[ignore = "full tier"]
fn many_attackers_and_many_builds() {
    let root = with_attackers();
    attacked(&root, "", 20, 100);
}
