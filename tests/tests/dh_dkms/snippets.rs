//! What the maintainer scripts do: both run with every way that dpkg calls them, and what
//! they call is compared.

use dkms_tests::cache::Oracle;

use super::bench::{Bench, conf};

/// Runs a snippet as dpkg would run the script that it is in, with stand-ins that write down their arguments.
/// Called as: sh … SNIPPET ARGS
const AS_DPKG: &str = "#!/bin/sh
{ echo '#!/bin/sh'; echo 'set -e'; cat \"$1\"; echo 'echo end'; } >/srv/script
shift
: >/srv/calls
PATH=/srv/bin:/usr/bin:/bin sh /srv/script \"$@\" >/srv/out 2>/dev/null
echo \"rc $?\"
grep -x end /srv/out
cat /srv/calls
";

const NOTE: &str = "#!/bin/sh
for word in \"$0\" \"$@\"; do printf '[%s]' \"$word\"; done >>/srv/calls
echo >>/srv/calls
";

#[test]
fn maintainer_scripts_do_what_those_of_debians_own_do() {
    let bench = Bench::new().unwrap();
    bench.case(&[("debian/dkms", &conf("one_x", "1:1.0+b~c-1"))]).unwrap();
    let root = &bench.0;
    root.write("/srv/as-dpkg", AS_DPKG, 0o755).unwrap();
    let run = bench.ours("").unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let dkms = |status: &str, remove: u8| {
        format!("{NOTE}case $1 in status) {status} ;; remove) exit {remove} ;; esac\n")
    };
    let mut runs = 0;
    for oracle in Oracle::ALL {
        let suite = oracle.suite();
        root.must(&format!(
            "rm -rf /srv/theirs; cp -a /srv/case /srv/theirs; cd /srv/theirs
             DH_AUTOSCRIPTDIR=/srv/{suite}/usr/share/debhelper/autoscripts /srv/{suite}/usr/bin/dh_dkms"
        ))
        .unwrap();
        let mut same = |script: &str, args: &str, state: &str| {
            let of = |who: &str| {
                root.must(&format!("/srv/as-dpkg /srv/{who}/debian/one-dkms.{script}.debhelper {args}; true"))
            };
            let (theirs, ours) = (of("theirs").unwrap(), of("ours").unwrap());
            assert_eq!(ours, theirs, "{oracle:?}: {script} {args}, {state}");
            runs += 1;
        };
        for state in ["common", "common fails", "legacy", "none"] {
            let common = if state == "common fails" { format!("{NOTE}exit 3\n") } else { NOTE.to_owned() };
            root.must("rm -f /usr/lib/dkms/common.postinst /usr/share/one_x-dkms/postinst").unwrap();
            match state {
                "none" => {}
                "legacy" => root.write("/usr/share/one_x-dkms/postinst", NOTE, 0o755).unwrap(),
                _ => root.write("/usr/lib/dkms/common.postinst", &common, 0o755).unwrap(),
            }
            for args in [
                "configure",
                "configure ''",
                "configure 0.9-1",
                "abort-upgrade 2.0",
                "abort-remove",
                "abort-deconfigure in-favour x 1",
                "triggered /usr/src",
                "reconfigure 1.0",
            ] {
                same("postinst", args, state);
            }
        }
        for (state, program) in [
            ("known", Some(dkms("echo one_x/1.0: added", 0))),
            ("known, and stays", Some(dkms("echo one_x/1.0: added", 4))),
            ("unknown", Some(dkms(":", 0))),
            ("status fails", Some(dkms("exit 2", 0))),
            ("no dkms", None),
        ] {
            root.must("rm -f /srv/bin/dkms").unwrap();
            if let Some(program) = program {
                root.write("/srv/bin/dkms", &program, 0o755).unwrap();
            }
            for args in [
                "remove",
                "upgrade 2.0",
                "deconfigure in-favour x 1 removing y 2",
                "failed-upgrade 2.0",
                "remove in-favour x 1",
                "purge",
            ] {
                same("prerm", args, state);
            }
        }
    }
    assert_eq!(runs, 124);
}

#[test]
fn the_snippets_that_are_installed_are_those_that_are_used() {
    let bench = Bench::new().unwrap();
    bench.case(&[("debian/dkms", &conf("one", "1.0"))]).unwrap();
    for (script, text) in [("postinst", dh_dkms::snippet::POSTINST), ("prerm", dh_dkms::snippet::PRERM)] {
        bench.0.write(&format!("/srv/own/{script}-dkms"), &format!("# mine\n{text}"), 0o644).unwrap();
    }
    bench.ours("").unwrap();
    let plain = bench.0.must("cat /srv/ours/debian/*.debhelper").unwrap();
    bench.0.must("rm -rf /srv/ours; cp -a /srv/case /srv/ours; cd /srv/ours; DH_AUTOSCRIPTDIR=/srv/own /opt/dh/dkms").unwrap();
    let own = bench.0.must("cat /srv/ours/debian/*.debhelper").unwrap();
    assert_eq!(own.replace("# mine\n", ""), plain);
    assert_eq!(own.matches("# mine\n").count(), 2);
    assert!(!plain.contains("#MODULE_"), "{plain}");
}
