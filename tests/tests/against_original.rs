//! Ours beside the original, over the whole table of scenarios: exit codes, status lines, every
//! path, mode and link.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dkms_base::host::environment::Environment;
use dkms_tests::cache::{Cache, Oracle};
use dkms_tests::kernels::Kernels;
use dkms_tests::passed::Passed;
use dkms_tests::scenario::{Mismatch, Scenario, compare, observe, parse, recorded};
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier};

/// The table, a file a subject.
const TABLE: &[(&str, &str)] = &[
    ("add.txt", include_str!("../scenarios/add.txt")),
    ("conf.txt", include_str!("../scenarios/conf.txt")),
    ("build.txt", include_str!("../scenarios/build.txt")),
    ("scripts.txt", include_str!("../scenarios/scripts.txt")),
    ("exclusive.txt", include_str!("../scenarios/exclusive.txt")),
    ("install.txt", include_str!("../scenarios/install.txt")),
    ("originals.txt", include_str!("../scenarios/originals.txt")),
    ("states.txt", include_str!("../scenarios/states.txt")),
    ("options.txt", include_str!("../scenarios/options.txt")),
    ("status.txt", include_str!("../scenarios/status.txt")),
    ("autoinstall.txt", include_str!("../scenarios/autoinstall.txt")),
    ("tarballs.txt", include_str!("../scenarios/tarballs.txt")),
    ("field.txt", include_str!("../scenarios/field.txt")),
];

/// How many scenarios run at once: they are short processes, one after the other.
const SIDE_BY_SIDE: usize = 2;

fn table() -> Vec<Scenario> {
    let read = |(file, text): &(&str, &str)| parse(file, text).expect("the table can be read");
    TABLE.iter().flat_map(read).collect()
}

#[test]
fn the_table_is_large_and_its_names_are_unique() {
    let table = table();
    assert!(table.len() >= 100, "only {} scenarios", table.len());
    let names: BTreeSet<(&str, &str)> =
        table.iter().map(|s| (s.at.split(':').next().unwrap(), s.name.as_str())).collect();
    assert_eq!(names.len(), table.len(), "two scenarios of one file have the same name");
    for scenario in &table {
        assert!(scenario.commands().count() > 0, "`{}` runs nothing", scenario.name);
        for command in scenario.commands() {
            let why = command.difference.as_ref().map(|difference| difference.why.as_str());
            assert!(why != Some(""), "{}: line {}: a difference without a reason", scenario.at, command.line);
        }
    }
}

/// One scenario with both tools; `anew` doesn't trust what was recorded of the original.
fn beside(
    scenario: &Scenario,
    cache: &Cache,
    kernels: &Kernels,
    (original, anew): (&Tool, bool),
    ours: &Tool,
) -> anyhow::Result<Vec<Mismatch>> {
    let theirs = if anew {
        observe(scenario, cache, kernels, original)?
    } else {
        recorded(scenario, cache, kernels, original)?
    };
    Ok(compare(scenario, &theirs, &observe(scenario, cache, kernels, ours)?))
}

/// A run that isn't full takes one of so many parts, in turns: an eighth of the scenarios is enough to notice
/// what breaks for all.
const SAMPLED: usize = 8;

/// `DKMS_TEST_ONLY=words` picks scenarios by name, `DKMS_TEST_FULL=1` takes all and doesn't trust what was
/// recorded of the original, `DKMS_TEST_PROGRAM=FILE` tests another program as ours (the original itself
/// shows how steady the harness is).
#[test]
fn ours_does_what_the_original_does() {
    let environment = Environment::of_this_process();
    let (only, anew) = (tier::only(), tier::is_full());
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let original = Tool::original(&cache, Oracle::Trixie).unwrap();
    let ours = Tool::ours(
        environment.get_filled("DKMS_TEST_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_dkms-under-test")),
    );
    let mut table = table();
    match only {
        Some(only) => {
            table.retain(|scenario| scenario.name.contains(&only) || scenario.at.starts_with(&only));
        }
        None if anew => {}
        None => table = tier::taken(table, tier::turn(), SAMPLED),
    }
    assert!(!table.is_empty(), "no scenario is called so");
    table.iter_mut().for_each(|scenario| scenario.resolve(&kernels));
    // With what the table says of ours, too.
    let point = |scenario: &Scenario| format!("{scenario:?}");
    let passed = Passed::of(
        &cache,
        ("against_original", include_str!("against_original.rs")),
        &[&ours.program, &original.program],
        &[&kernels.first, &kernels.second],
    )
    .unwrap();
    let table = passed.left(table, point);

    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(scenario) = table.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let lines = match beside(scenario, &cache, &kernels, (&original, anew), &ours) {
                        Ok(mismatches) => mismatches.iter().map(ToString::to_string).collect(),
                        // A set-up that fails on what ours left behind is one more way to differ.
                        Err(error) => vec![format!("{}: {error:#}", scenario.name)],
                    };
                    if lines.is_empty() {
                        passed.record(&point(scenario), &()).unwrap();
                    } else {
                        wrong.lock().unwrap().push((scenario.at.clone(), lines));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort_by(|a, b| a.0.cmp(&b.0));
    wrong.iter().flat_map(|(_, lines)| lines).for_each(|line| say(line));
    let commands: usize = table.iter().map(|scenario| scenario.commands().count()).sum();
    say(&format!(
        "against the original {}: {} scenarios with {commands} commands, {} of them as the table says",
        original.version,
        table.len(),
        table.len() - wrong.len(),
    ));
    assert!(wrong.is_empty(), "{} scenarios differ", wrong.len());
}
