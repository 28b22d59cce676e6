//! Dependencies point one way, and deciding touches nothing: read from the sources themselves.

use std::path::{Path, PathBuf};

use dkms_base::host::fs;

/// Where deciding and parsing live, below `core`: none of it may reach the outside.
const PURE: [&str; 10] = [
    "lifecycle/src/critical/decide.rs",
    "lifecycle/src/critical/facts.rs",
    "lifecycle/src/plan",
    "lifecycle/src/event.rs",
    "lifecycle/src/doctor/search.rs",
    "conf/src/syntax",
    "conf/src/resolve",
    "base/src/id.rs",
    "base/src/version.rs",
    "lifecycle/src/status.rs",
];

/// What reaches the outside.
const OUTSIDE: [&str; 5] = ["host::fs", "host::process", "std::fs", "std::process", "std::env"];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::list(path).expect("the sources can be listed");
    let found: Vec<_> = entries.iter().flat_map(|entry| sources(&path.join(&entry.name))).collect();
    let is_code = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    found.into_iter().filter(|path| is_code(path) && !TESTS.iter().any(|name| path.ends_with(name))).collect()
}

/// Files that are nothing but tests.
const TESTS: [&str; 2] = ["tests.rs", "against_bash.rs"];

/// The code of a file before its tests.
fn code(path: &Path) -> String {
    let text = fs::read_lossy(path).expect("the sources can be read");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn deciding_touches_nothing() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core");
    let mut looked_at = 0;
    for place in PURE {
        for file in sources(&core.join(place)) {
            looked_at += 1;
            let text = code(&file);
            for word in OUTSIDE {
                assert!(!text.contains(word), "{} mentions {word}", file.display());
            }
        }
    }
    assert!(looked_at > 15, "only {looked_at} files");
}

/// A file that no `mod` names is not compiled, and its tests are missed by nobody.
#[test]
fn every_file_of_tests_is_in_the_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut looked_at = 0;
    for entry in walkdir::WalkDir::new(&tests).min_depth(1) {
        let path = entry.expect("it can be listed").into_path();
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let is_part =
            path.extension().is_some_and(|extension| extension == "rs") && name != "main" && name != "mod";
        if name == "snapshots" || !path.is_dir() && !is_part {
            continue;
        }
        let folder = path.parent().expect("it is below a folder");
        let knows = folder.join(if folder == tests { "main.rs" } else { "mod.rs" });
        let text = fs::read_lossy(&knows).expect("a folder of tests has a file that names them");
        assert!(text.contains(&format!("mod {name};")), "{} does not name {name}", knows.display());
        looked_at += 1;
    }
    assert!(looked_at > 30, "only {looked_at} files");
}

/// Every file of code of the project, and its text.
fn everything() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let below = |folder: &str| walkdir::WalkDir::new(top.join(folder)).into_iter();
    let packages = [
        "core",
        "packaging",
        "cli",
        "dh-dkms",
        "prebuilt-fetch",
        "hooks-apt",
        "hooks-dnf",
        "hooks-pacman",
        "tests",
    ];
    let entries = packages
        .iter()
        .flat_map(|folder| below(folder))
        .map(|entry| entry.expect("it can be listed").into_path());
    let code = entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    code.map(|path| (fs::read_lossy(&path).expect("it can be read"), path))
        .map(|(text, path)| (path, text))
        .collect()
}

/// A test that ends early has passed, whatever it didn't try: what a machine can't do fails, and what takes
/// too long is `#[ignore = "full tier"]`.
#[test]
fn no_test_ends_early() {
    let mut tests = 0;
    for (path, text) in everything() {
        let lines: Vec<&str> = text.lines().collect();
        for begun in (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("#[test]")) {
            let indent = lines[begun].len() - lines[begun].trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let body = lines[begun..].iter().take_while(|line| !line.starts_with(&end));
            for (at, line) in body.enumerate() {
                // What a closure or a command says lies deeper, or in a string.
                let word = line.trim();
                let ends = ["return;", "return Ok(());", "return }", "return };"]
                    .iter()
                    .any(|end| word.ends_with(end));
                assert!(
                    !ends || word.contains('|'),
                    "{}:{}: `{word}` ends a test early",
                    path.display(),
                    begun + at + 1
                );
            }
            tests += 1;
        }
        if !path.ends_with("src/tier.rs") && !path.ends_with("tests/boundaries.rs") {
            let reads = text.lines().any(|line| line.contains("get_filled(\"DKMS_TEST_FULL\")"));
            assert!(!reads, "{} asks for the tier itself, not `tier`", path.display());
        }
        let ignored = text.lines().filter(|line| line.trim_start().starts_with("#[ignore"));
        for line in ignored {
            assert_eq!(line.trim(), "#[ignore = \"full tier\"]", "{}", path.display());
        }
    }
    assert!(tests > 500, "only {tests} tests were looked at");
}

#[test]
fn core_knows_no_one_above_it() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core");
    let crates = fs::list(&core).unwrap();
    assert!(crates.len() >= 7, "only {} crates", crates.len());
    for name in crates.into_iter().map(|entry| entry.name) {
        let manifest = fs::read_lossy(&core.join(&name).join("Cargo.toml")).unwrap();
        for above in ["dkms-cli", "dkms-packaging", "anyhow", "clap"] {
            assert!(!manifest.contains(above), "{} depends on {above}", name.display());
        }
    }
    for file in sources(&core) {
        let text = code(&file);
        let unsafe_code =
            text.lines().any(|line| line.trim_start().starts_with("unsafe") || line.contains(" unsafe {"));
        let is_its_home = file.starts_with(core.join("base/src/sys"));
        assert!(!unsafe_code || is_its_home, "{} has unsafe code", file.display());
    }
}

#[test]
fn packaging_knows_tarballs_and_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = |package: &str| fs::read_lossy(&root.join(package).join("Cargo.toml")).unwrap();
    for above in ["dkms-cli", "dkms-core", "dkms-conf", "dkms-signing", "dkms-hooks", "anyhow", "clap"] {
        assert!(!manifest("packaging").contains(above), "packaging depends on {above}");
    }
    let files = sources(&root.join("packaging/src"));
    assert!(files.len() > 12, "only {} files", files.len());
    for file in files {
        let text = code(&file);
        // It writes files by itself: no dpkg-deb, no tar, no xz. Images alone are another program's.
        let are_of_images = ["driver_disk/iso.rs", "packaging/src/sysext.rs", "packaging/src/error.rs"];
        if are_of_images.iter().any(|name| file.ends_with(name)) {
            continue;
        }
        for word in ["host::process", "std::process", "std::env"] {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
}

#[test]
fn dh_dkms_knows_confs_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_lossy(&root.join("dh-dkms/Cargo.toml")).unwrap();
    let known: Vec<&str> = manifest.lines().filter(|line| line.starts_with("dkms-")).collect();
    assert_eq!(
        known,
        ["dkms-base.workspace = true", "dkms-conf.workspace = true", "dkms-kernel.workspace = true"]
    );
}

#[test]
fn hooks_of_apt_decide_nothing_of_building() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = fs::read_lossy(&root.join("hooks-apt/Cargo.toml")).unwrap();
    for other in ["dkms-cli", "dkms-packaging", "dkms-release"] {
        assert!(!manifest.contains(other), "hooks-apt depends on {other}");
    }
    let files = sources(&root.join("hooks-apt/src"));
    assert!(files.len() > 10, "only {} files", files.len());
    for file in files {
        let text = code(&file);
        for word in ["dkms_core::build", "dkms_conf::module", "engine::run", "engine::carry_out"] {
            assert!(!text.contains(word), "{} mentions {word}", file.display());
        }
    }
    // Scripts are a line that calls it.
    for name in
        ["kernel/preinst", "kernel/postinst", "kernel/header_postinst", "kernel/prerm", "common.postinst"]
    {
        let text = fs::read_lossy(&root.join("hooks-apt/files").join(name)).unwrap();
        assert_eq!(text.lines().count(), 2, "{name}");
    }
}

/// The guide's table "What happens by itself": each line is held by a test of each package manager that
/// it names.
#[test]
fn every_line_of_the_guides_table_has_its_tests() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_lossy(&here.join("../docs/guide.md")).unwrap();
    let mut marks = std::collections::BTreeSet::new();
    for file in sources(&here.join("tests")) {
        let path = file.strip_prefix(here.join("tests")).unwrap().to_string_lossy().into_owned();
        let suites = [
            ("apt_", "apt"),
            ("rpm_systems/zypper", "zypper"),
            ("rpm_systems/", "rpm"),
            ("pacman/", "pacman"),
        ];
        let Some((_, manager)) = suites.iter().find(|(start, _)| path.starts_with(start)) else { continue };
        let text = fs::read_lossy(&file).unwrap();
        // The mark stands above a test.
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[1] == "#[test]") {
            let numbers =
                pair[0].strip_prefix("// guide ").into_iter().flat_map(|rest| rest.split(", guide "));
            marks.extend(numbers.map(|number| format!("{number} {manager}")));
        }
    }
    let mut wanted = std::collections::BTreeSet::new();
    for (number, row) in (1..).zip(guide.lines().filter(|line| line.starts_with("| ")).skip(1)) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells.len() != 6 {
            break;
        }
        assert_eq!(cells[1], number.to_string(), "lines are numbered one after the other: {row}");
        wanted.extend(cells[4].split(", ").map(|manager| format!("{number} {manager}")));
    }
    assert!(wanted.len() > 20, "{wanted:?}");
    assert_eq!(marks, wanted);
}
