//! The set-up, with real apt: packages that a preferences file hides, and errors as a person reads them.

use std::path::Path;

use anyhow::Result;
use dkms_base::host::fs;
use dkms_offers::{Kernel, Line};
use dkms_tests::cache::Cache;
use dkms_tests::setup::offered;

/// The `cloud-amd64` kernels of bookworm as released, when packages of these names are hidden.
fn hiding(names: &str) -> Result<Vec<Kernel>> {
    let preferences = format!("Package: {names}\nPin: release *\nPin-Priority: -1\n");
    offered(&Cache::open()?, "bookworm", &preferences, &Line::by_abi("cloud-amd64"))
}

#[test]
fn what_apt_cannot_give_is_not_chosen() {
    let all = hiding("nothing").unwrap();
    assert!(all.len() >= 2, "the release has two kernels: {all:?}");
    let (newest, older) = (&all[0], &all[1]);
    assert_eq!(newest.image, format!("linux-image-{}", newest.release));

    // The signed image is days away.
    let unsigned = hiding(&newest.image).unwrap();
    assert_eq!(unsigned[0].release, newest.release);
    assert_eq!(unsigned[0].image, format!("{}-unsigned", newest.image));
    assert_eq!(unsigned[1..], all[1..]);
    // So are both; headers that lack what they depend on are worth no more.
    let common = newest.headers.replace("-cloud-amd64", "-common");
    for names in [format!("{0} {0}-unsigned", newest.image), newest.headers.clone(), common] {
        assert_eq!(hiding(&names).unwrap()[0], *older, "without {names}");
    }
    assert_eq!(hiding("/^linux-image-.*/").unwrap(), []);
    assert_eq!(hiding("linux-kbuild-6.1").unwrap(), []);
}

/// Runs the set-up of kernels with a cache of its own and these lines in apt's configuration: exit
/// code, and what it said.
fn set_up(dir: &Path, configuration: &str) -> Result<(i32, String)> {
    let file = dir.join("apt.conf");
    fs::write_whole(&file, configuration.as_bytes(), 0o644)?;
    let ended = duct::cmd!(env!("CARGO_BIN_EXE_setup"), "kernels")
        .env("APT_CONFIG", file)
        .env("DKMS_TEST_CACHE", dir.join("cache"))
        .env("RUST_BACKTRACE", "full")
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()?;
    Ok((ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stdout).into_owned()))
}

#[test]
fn an_error_is_a_line_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let lists = dir.path().join("lists/partial");
    fs::create_dir_all(&lists).unwrap();
    let configuration = format!(
        "Dir::State::Lists \"{}\";\nDir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\nAPT::Update::Post-Invoke-Success {{}};\n",
        dir.path().join("lists").display()
    );
    let (code, said) = set_up(dir.path(), &configuration).unwrap();
    assert_eq!(code, 1, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[0],
        "Error: apt offers no linux-headers-N.N.N-ABI-amd64 with linux-image-N.N.N-ABI-amd64[-unsigned] (looked for in this \
         machine's sources)"
    );
    assert!(lines[1].contains("run `make setup` again"), "{said}");
    assert_eq!(lines.len(), 2, "{said}");
}

#[test]
#[ignore = "full tier"]
fn without_security_updates_kernels_of_the_release_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let preferences = dir.path().join("preferences");
    let text = "Package: *\nPin: release l=Debian-Security\nPin-Priority: -1\n";
    fs::write_whole(&preferences, text.as_bytes(), 0o644).unwrap();
    let (code, said) =
        set_up(dir.path(), &format!("Dir::Etc::Preferences \"{}\";\n", preferences.display())).unwrap();
    assert_eq!(code, 0, "{said}");
    let released = hiding("nothing").unwrap().into_iter().map(|kernel| kernel.release).next().unwrap();
    let chosen = fs::read_lossy(&dir.path().join("cache/kernels")).unwrap();
    assert_eq!(chosen.lines().nth(1), Some(released.as_str()), "{said}");
    // The line 6.12 is nowhere else.
    assert!(fs::is_file(&dir.path().join("cache/newer-kernel")), "{said}");
}
