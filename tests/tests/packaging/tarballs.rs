//! Tarballs from one tool to another: what ours writes each original loads, and the other way, and the trees
//! are equal afterwards.

use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::fixture::Module;
use dkms_tests::kernels::Kernels;
use dkms_tests::ready;
use dkms_tests::root::Root;
use dkms_tests::tier::is_full;
use dkms_tests::tool::Tool;

/// The options of a tarball, and what it needs of the one who loads it.
const KINDS: [(&str, bool); 4] = [
    ("--source-only", false),
    ("-k $K", false),
    ("-k $K -k $K2", false),
    ("-k $K -k $K2 --binaries-only", true),
];

const SUFFIXES: [&str; 4] = ["tar", "tar.gz", "tar.bz2", "tar.xz"];

/// Names, kinds, modes, targets and contents of all that a module has; an empty folder to
/// build in is nothing.
const STATE: &str = "cd / && find usr/src/foo-1.0 var/lib/dkms/foo -not -path '*/tarball*' -not -name build -printf '%p %y %l\\n' | sort
                     find usr/src/foo-1.0 var/lib/dkms/foo -type f -not -path '*/tarball*' | sort | xargs sha256sum
                     find usr/src/foo-1.0 -printf '%p %m\\n' | sort";

const FORGET: &str = "rm -rf /usr/src/foo-1.0 /var/lib/dkms/foo";

#[test]
fn every_kind_goes_from_one_tool_to_another_and_back() {
    let cache = Cache::open().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let originals = Oracle::ALL.map(|oracle| Tool::original(&cache, oracle).unwrap());
    let tools: Vec<&Tool> = std::iter::once(&ours).chain(&originals).collect();
    let mut root = Root::new(&cache, &Kernels::find().unwrap(), &tools).unwrap();
    for original in &originals {
        for (writer, reader) in [(&ours, original), (original, &ours)] {
            root.must(&format!("{FORGET} /srv/*")).unwrap();
            ready::module(&root, "foo", "1.0").unwrap().write_to(&root).unwrap();
            root.must("chmod 0755 /usr/src/foo-1.0/foo.c; ln -s foo.c /usr/src/foo-1.0/link").unwrap();
            root.switch_to(writer);
            root.must("$DKMS add foo/1.0; $DKMS build foo/1.0 -k $K; $DKMS build foo/1.0 -k $K2").unwrap();
            root.must("cp -a /usr/src/foo-1.0 /var/lib/dkms/foo /srv/").unwrap();
            // Neither original takes a second kernel from a tarball (they stumble over it, in their own too),
            // and the older one doesn't even write it.
            let is_one_lost = reader.name != "ours" || writer.name == "original-bookworm";
            for (at, (kind, needs_source)) in KINDS.into_iter().enumerate() {
                for (number, suffix) in SUFFIXES.into_iter().enumerate() {
                    // Each kind and each suffix at least once.
                    if !is_full() && at != number {
                        continue;
                    }
                    let label = format!("{} writes {kind} as {suffix}, {} reads", writer.name, reader.name);
                    root.switch_to(writer);
                    root.must(&format!(
                        "{FORGET}; cp -a /srv/foo-1.0 /usr/src/; cp -a /srv/foo /var/lib/dkms/"
                    ))
                    .unwrap();
                    let file = format!("/srv/t.{suffix}");
                    root.must(&format!("rm -f {file}; $DKMS mktarball foo/1.0 {kind} --archive {file}"))
                        .unwrap();
                    // What the kind doesn't have the other can't bring back.
                    let missing = match at {
                        0 => "/var/lib/dkms/foo/1.0/6*",
                        1 => "/var/lib/dkms/foo/1.0/$K2",
                        _ if is_one_lost => "/var/lib/dkms/foo/1.0/$K2",
                        _ => "",
                    };
                    root.must(&format!("rm -rf {missing}")).unwrap();
                    let before = root.must(STATE).unwrap();
                    root.must(if needs_source { "rm -rf /var/lib/dkms/foo" } else { FORGET }).unwrap();
                    root.switch_to(reader);
                    let run = root.dkms(&format!("ldtarball --archive {file}")).unwrap();
                    assert_eq!(run.code, 0, "{label}: {run:?}");
                    assert_eq!(root.must(STATE).unwrap(), before, "{label}");
                }
            }
        }
    }
}

#[test]
fn a_name_too_long_is_manykernels() {
    let cache = Cache::open().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let original = Tool::original(&cache, Oracle::Trixie).unwrap();
    let mut root = Root::new(&cache, &Kernels::find().unwrap(), &[&ours, &original]).unwrap();
    Module::new("foo", "1.0").write_to(&root).unwrap();
    // What was built for one kernel stands for what was built for many.
    root.must(
        "$DKMS add foo/1.0; $DKMS build foo/1.0 -k $K; cd /var/lib/dkms/foo/1.0
         for n in 1 2 3 4 5 6; do cp -a $K 6.1.0-9$n-of-a-rather-long-name; mkdir -p /lib/modules/6.1.0-9$n-of-a-rather-long-name; done",
    )
    .unwrap();
    for tool in [&ours, &original] {
        root.switch_to(tool);
        let names = root.must(&format!(
            "rm -rf /var/lib/dkms/foo/1.0/tarball
             $DKMS mktarball foo/1.0 $(cd /var/lib/dkms/foo/1.0; for k in 6*; do echo -k $k; done) >&2
             ls /var/lib/dkms/foo/1.0/tarball; mv /var/lib/dkms/foo/1.0/tarball /srv/{}",
            tool.name
        ));
        assert_eq!(names.unwrap(), "foo-1.0-manykernels.dkms.tar.gz\n", "{}", tool.name);
    }
    // Ours brings all of them back, whichever tool wrote it.
    root.switch_to(&ours);
    for tool in [&ours, &original] {
        root.must("rm -rf /usr/src/foo-1.0 /var/lib/dkms/foo").unwrap();
        root.must(&format!("$DKMS ldtarball --archive /srv/{}/*.tar.gz", tool.name)).unwrap();
        let status = root.must("$DKMS status").unwrap();
        assert_eq!(status.matches(": built").count(), 7, "{}: {status}", tool.name);
    }
}
