//! What is in our packages, and what `make install` puts below a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dkms_base::host::fs;
use dkms_conf::table;
use dkms_release::packages::{self, Packing, Programs};
use dkms_tests::cache::Cache;
use dkms_tests::command::must;
use dkms_tests::debs;

const DKMS: &str = env!("CARGO_BIN_EXE_dkms-under-test");
const RELEASE: &str = env!("CARGO_BIN_EXE_dkms-release-under-test");

fn tree() -> PathBuf {
    fs::canonical(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).expect("the tree is there")
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn they_are_clean_to_lintian() {
    let ours = debs::ours(&Cache::open().unwrap(), DKMS).unwrap();
    let words =
        ["--allow-root", "--fail-on", "error,warning", "--suppress-tags", "initial-upload-closes-no-bugs"];
    let debs = [ours.dkms.to_string_lossy(), ours.dh_dkms.to_string_lossy()];
    let said = must("lintian", &[&words[..], &[&debs[0], &debs[1]]].concat(), Path::new("/")).unwrap();
    // An override that nothing needs any more is one too many.
    assert_eq!(said, "");
}

#[test]
fn manuals_are_clean_to_mandoc() {
    let dir = tempfile::tempdir().unwrap();
    let is_manual = |name: &str| name.ends_with(|c: char| c.is_ascii_digit());
    let pages = dkms_release::pages::all().unwrap();
    let manuals: Vec<_> = pages.iter().filter(|(name, _)| is_manual(name)).collect();
    assert_eq!(manuals.len(), 5);
    for (name, text) in manuals {
        fs::write_whole(&dir.path().join(name), text.as_bytes(), 0o644).unwrap();
        assert_eq!(must("mandoc", &["-Tlint", "-Wall", name.as_str()], dir.path()).unwrap(), "", "{name}");
        // A file of the list, or it would be in no package.
        let list = fs::read_lossy(&tree().join("packaging/install.list")).unwrap();
        assert!(list.contains(&format!("gen/{name}\n")), "{name}");
    }
}

/// Stand-ins for our programs: what is compared here is all that is around them.
fn stand_ins(folder: &Path) -> PathBuf {
    let programs = folder.join("programs");
    let put = |name: &str| fs::write_whole(&programs.join(name), &fs::read(Path::new("/bin/true"))?, 0o755);
    let made = fs::create_dir_all(&programs).and_then(|()| packages::PROGRAMS.into_iter().try_for_each(put));
    made.expect("a temporary folder can be written");
    programs
}

#[test]
fn dpkg_buildpackage_makes_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (programs, theirs, ours) =
        (stand_ins(dir.path()), dir.path().join("theirs"), dir.path().join("ours"));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let release = format!("DKMS_RELEASE={RELEASE}");
    let script = tree().join("packaging/dpkg-debs");
    must("env", &[&release, &text(&script), &text(&theirs), &text(&programs)], Path::new("/")).unwrap();
    let project = packages::project(tree(), &programs, Programs::Installed).unwrap();
    let written = packages::debs(&project, &ours, &Default::default(), Packing::Xz).unwrap();
    for deb in written {
        let other = theirs.join(deb.file_name().unwrap());
        let of =
            |deb: &Path, script: &str| must("sh", &["-ec", script, "sh", &text(deb)], dir.path()).unwrap();
        for (what, script) in [
            ("files", "dpkg-deb -c \"$1\" | awk '{ print $1, $2, $6, $7, $8 }'"),
            ("fields", "dpkg-deb -f \"$1\" | grep -v ^Installed-Size: | sort"),
            ("conffiles", "dpkg-deb --ctrl-tarfile \"$1\" | tar -xO ./conffiles 2>/dev/null | sort || :"),
            ("triggers", "dpkg-deb --ctrl-tarfile \"$1\" | tar -xO ./triggers 2>/dev/null | grep -v ^# || :"),
            (
                "scripts",
                "for script in preinst postinst prerm postrm; do
                    echo \"== $script\"
                    dpkg-deb --ctrl-tarfile \"$1\" | tar -xO ./$script 2>/dev/null | grep -v '^$' || :
                 done",
            ),
            ("contents", "rm -rf x; dpkg-deb -x \"$1\" x; cd x; find . -type f | sort | xargs sha256sum"),
        ] {
            let (ours, theirs) = (lines(&of(&deb, script)), lines(&of(&other, script)));
            let differ: Vec<_> = ours.symmetric_difference(&theirs).collect();
            assert!(differ.is_empty(), "{}: {what}: {differ:#?}", deb.display());
            assert!(ours.len() > 1 || what == "conffiles" || what == "triggers", "{what}: {ours:?}");
        }
    }
}

#[test]
fn it_depends_on_what_a_build_needs_and_recommends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let project = packages::project(tree(), &stand_ins(dir.path()), Programs::Installed).unwrap();
    for deb in packages::debs(&project, dir.path(), &Default::default(), Packing::Xz).unwrap() {
        let fields = must("dpkg-deb", &["-f", &deb.to_string_lossy()], dir.path()).unwrap();
        // A kernel in every container would be the price of recommended headers.
        assert!(!fields.contains("\nRecommends:") && !fields.contains("linux-headers"), "{fields}");
        if fields.starts_with("Package: dkms\n") {
            let depends = fields.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap();
            for tool in ["gcc | c-compiler", "make | build-essential", "kmod", "patch"] {
                assert!(depends.split(", ").any(|one| one == tool), "{tool}: {depends}");
            }
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let project = packages::project(tree(), &stand_ins(dir.path()), Programs::Installed).unwrap();
    let sums: BTreeSet<_> = ["a", "b"]
        .iter()
        .map(|name| {
            let into = dir.path().join(name);
            let written = packages::debs(&project, &into, &Default::default(), Packing::Xz).unwrap();
            written.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sums.len(), 1);
}

#[test]
fn make_install_puts_all_of_it_below_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let programs = stand_ins(dir.path());
    for (place, more) in [("plain", false), ("debian", true)] {
        let below = dir.path().join(place);
        let words = ["--programs", &programs.to_string_lossy(), "install", place, &below.to_string_lossy()];
        must(RELEASE, &words, &tree()).unwrap();
        let found = must("find", &[".", "-printf", "%m %p\n"], &below).unwrap();
        for file in [
            "755 ./usr/sbin/dkms",
            "755 ./usr/bin/dh_dkms",
            "644 ./usr/share/man/man8/dkms.8.gz",
            "644 ./usr/share/man/man1/dh_dkms.1.gz",
            "644 ./usr/share/bash-completion/completions/dkms",
            "644 ./usr/share/fish/vendor_completions.d/dkms.fish",
            "644 ./etc/dkms/framework.conf",
            "755 ./etc/dkms/framework.conf.d",
            "755 ./var/lib/dkms",
        ] {
            assert!(found.lines().any(|line| line == file), "{place}: {file}: {found}");
        }
        assert_eq!(found.matches("/_dkms").count(), 1, "{found}");
        assert_eq!(found.contains("hooks-apt"), more, "{found}");
        assert_eq!(found.contains("common.postinst"), more, "{found}");
        assert!(!found.contains("DEBIAN"), "{found}");
    }
}

#[test]
fn manuals_and_completions_are_read_without_a_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_string_lossy().into_owned();
    let programs = stand_ins(dir.path());
    let words = ["--programs", &programs.to_string_lossy(), "pages", &folder];
    must(RELEASE, &words, &tree()).unwrap();
    for page in ["dkms.8", "dh_dkms.1"] {
        let said =
            must("sh", &["-ec", "groff -ww -z -man -Kutf8 -Tutf8 $1 2>&1", "sh", page], dir.path()).unwrap();
        assert_eq!(said, "", "{page}");
    }
    // As bash does it when a user presses the key after `dkms install --dkmstree … fo`.
    let line = "mkdir -p tree/foo/1.0 src; ln -s ../../../src tree/foo/1.0/source
        dkms() { \"$0\" \"$@\"; }; . ./dkms.bash
        COMP_WORDS=(dkms install --dkmstree $PWD/tree fo); COMP_CWORD=4; _dkms; echo \"${COMPREPLY[*]}\"";
    let offered = must("bash", &["-ec", line, env!("CARGO_BIN_EXE_dkms-under-test")], dir.path()).unwrap();
    assert_eq!(offered.trim(), "foo/1.0");
}

#[test]
fn framework_conf_shows_every_setting_and_sets_none() {
    let text = table::framework_conf();
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_string_lossy().into_owned();
    let programs = stand_ins(dir.path());
    must(RELEASE, &["--programs", &programs.to_string_lossy(), "pages", &folder], &tree()).unwrap();
    assert_eq!(fs::read_lossy(&dir.path().join("framework.conf")).unwrap(), text);
}

#[test]
fn versions_agree() {
    let dir = tempfile::tempdir().unwrap();
    let project = packages::project(tree(), &stand_ins(dir.path()), Programs::Installed).unwrap();
    assert_eq!(project.release().unwrap().version, env!("CARGO_PKG_VERSION"));
}
