//! Four at once, each giving one random command after the other, over five modules and three kernels.
//!
//! Each ends with a code that its action may have in some state, never for a reason that only a race
//! explains; `status` is never kept waiting and never tells nonsense; at the end disk, `status` and
//! modules.dep agree, and all can be taken away. Ten seconds, a minute with `DKMS_TEST_FULL=1`.
//! `DKMS_TEST_SEED` repeats the choice of commands, not their timing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use dkms_base::host::environment::Environment;
use dkms_tests::cache::Cache;
use dkms_tests::crash::sound;
use dkms_tests::crash::state::States;
use dkms_tests::crash::stock::Stock;
use dkms_tests::crash::world::World;
use dkms_tests::kernels::Kernels;
use dkms_tests::root::Output;
use dkms_tests::say;
use dkms_tests::tier::is_full;
use dkms_tests::tool::Tool;

/// Who is there: one needs another, one takes its time.
const MODULES: [(&str, &str, &str); 5] = [
    ("foo", "1.0", ""),
    ("bar", "1.0", "BUILD_DEPENDS=foo"),
    ("baz", "1.0", "PRE_BUILD=slow.sh"),
    ("qux", "1.0", "AUTOINSTALL=no"),
    ("zip", "1.0", ""),
];
const KERNELS: [&str; 3] = ["$K", "$K2", "$K3"];
const PROCESSES: u64 = 4;
/// For a loaded machine; nobody waits this long for the small commands here.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A choice of commands that a seed repeats (Steele, Lea and Flood's `SplitMix64`).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap_or(0)
    }
}

/// A command, and the codes that it may end with.
struct Command {
    words: String,
    codes: &'static [i32],
}

fn command(dice: &mut Dice) -> Command {
    let (name, version, line) = MODULES[dice.below(MODULES.len())];
    let id = format!("{name}/{version}");
    let first = dice.below(KERNELS.len());
    let kernel = KERNELS[first];
    let other = KERNELS[(first + 1 + dice.below(KERNELS.len() - 1)) % KERNELS.len()];
    // Not in the tree; its dependency isn't installed.
    let build: &[i32] = if line.starts_with("BUILD_DEPENDS") { &[0, 3, 13] } else { &[0, 3] };
    let (words, codes): (String, &[i32]) = match dice.below(16) {
        0 | 1 => (format!("add {id}"), &[0, 3]),
        2 => (format!("build {id} -k {kernel}"), build),
        3 => (format!("build {id} -k {kernel} --force"), build),
        4..=6 => (format!("install {id} -k {kernel}"), build),
        7 => (format!("install {id} -k {kernel} -k {other}"), build),
        8 => (format!("uninstall {id} -k {kernel}"), &[0, 3]),
        9 => (format!("unbuild {id} -k {kernel}"), &[0, 3]),
        10 => (format!("remove {id} -k {kernel}"), &[0, 3]),
        11 => (format!("remove {id} --all"), &[0, 3]),
        12 => (format!("autoinstall -k {kernel}"), &[0]),
        13 => (format!("match --templatekernel {kernel} -k {other}"), &[0, 13]),
        _ => ("status".to_owned(), &[0]),
    };
    Command { words, codes }
}

/// What is wrong with how a command ended.
fn judged(command: &Command, output: &Output, took: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    if !command.codes.contains(&output.code) {
        wrong.push(format!("ended with {}: {}", output.code, output.stderr));
    }
    let racy = ["No such file", "panicked", "interrupted", "Directory not empty", "File exists"];
    if let Some(word) = racy.iter().find(|word| output.stderr.contains(**word)) {
        wrong.push(format!("said {word:?}: {}", output.stderr));
    }
    if output.code == 0 && output.stderr.contains("Error!") {
        wrong.push(format!("ended with 0 and an error: {}", output.stderr));
    }
    if command.words == "status" {
        wrong.extend(States::parse(&output.stdout).err());
        if took > AT_ONCE {
            wrong.push(format!("took {took:?}"));
        }
    }
    wrong.into_iter().map(|line| format!("`{}` {line}", command.words)).collect()
}

/// One of the four, until the time is over: how many commands ended with which code, and what was wrong.
fn racer(world: &World, mut dice: Dice, until: Instant) -> (BTreeMap<i32, usize>, Vec<String>) {
    let (mut codes, mut wrong) = (BTreeMap::new(), Vec::new());
    while Instant::now() < until && wrong.len() < 20 {
        let command = command(&mut dice);
        let began = Instant::now();
        match world.root.dkms(&command.words) {
            Ok(output) => {
                *codes.entry(output.code).or_insert(0) += 1;
                wrong.extend(judged(&command, &output, began.elapsed()));
            }
            Err(error) => wrong.push(format!("`{}`: {error:#}", command.words)),
        }
    }
    (codes, wrong)
}

/// What is wrong when all is quiet.
fn afterwards(world: &World) -> anyhow::Result<Vec<String>> {
    let seen = world.look()?;
    let mut wrong = sound::disagreements(&seen);
    wrong.extend(sound::leftovers(&seen.listing));
    wrong.extend(sound::stale_indexes(world, &seen.listing)?);
    for (name, version, _) in MODULES {
        let output = world.root.dkms(&format!("remove {name}/{version} --all"))?;
        if !matches!(output.code, 0 | 3) {
            wrong.push(format!("`{name}` cannot be removed: {}", output.stderr));
        }
    }
    let seen = world.look()?;
    let left = seen.listing.keys().filter(|path| path.starts_with("/var/lib/dkms/"));
    wrong.extend(left.map(|path| format!("`{path}` is left when all is removed")));
    wrong.extend(sound::leftovers(&seen.listing));
    wrong.extend(sound::stale_indexes(world, &seen.listing)?);
    Ok(wrong)
}

#[test]
fn no_race_does_harm() {
    let environment = Environment::of_this_process();
    let seconds = if is_full() { 60 } else { 10 };
    let given = environment.get_filled("DKMS_TEST_SEED").and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let stock = Stock::compile(&cache, &kernels).unwrap();
    let world = World::new(&cache, &kernels, &ours, &stock, &MODULES).unwrap();
    world.root.write("/usr/src/baz-1.0/slow.sh", "#!/bin/sh\nsleep 0.2\n", 0o755).unwrap();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut codes = BTreeMap::<i32, usize>::new();
    let mut wrong = Vec::new();
    std::thread::scope(|scope| {
        let world = &world;
        let racers: Vec<_> = (0..PROCESSES)
            .map(|number| scope.spawn(move || racer(world, Dice(seed.wrapping_add(number << 32)), until)))
            .collect();
        for racer in racers {
            let (counted, lines) = racer.join().unwrap();
            counted.into_iter().for_each(|(code, count)| *codes.entry(code).or_insert(0) += count);
            wrong.extend(lines);
        }
    });
    wrong.extend(afterwards(&world).unwrap());
    let commands: usize = codes.values().sum();
    say(&format!("{commands} commands raced; by code: {codes:?}"));
    assert!(commands > 20, "{commands} commands are no race");
    assert!(wrong.is_empty(), "with DKMS_TEST_SEED={seed}:\n{}", wrong.join("\n"));
}
