//! Every action that changes something, with a full disk and with a broken one at every call by
//! which it changes files.
//!
//! It fails with an error that names the file, and leaves the state before, or (the call didn't matter)
//! ends as ever. No half module is below `/lib/modules`, and the same action works afterwards. A usual run
//! takes a sample of the calls; with `DKMS_TEST_FULL=1` it takes each. `DKMS_TEST_ONLY` takes the actions
//! whose names contain it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use dkms_tests::cache::Cache;
use dkms_tests::crash::action::{Action, MODULES};
use dkms_tests::crash::parts::{Part, parts};
use dkms_tests::crash::rehearsal::{Litter, Rehearsal};
use dkms_tests::crash::sound;
use dkms_tests::crash::state::States;
use dkms_tests::crash::stock::Stock;
use dkms_tests::crash::tripwire::{Calls, Fate, Tripped};
use dkms_tests::crash::world::{Seen, World};
use dkms_tests::kernels::Kernels;
use dkms_tests::passed::Passed;
use dkms_tests::share;
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier, verdict};

/// How many calls of each action a usual run takes.
const SAMPLE: usize = 2;

/// Some calls of an action: how many of them failed, how many of those were ignored, and what is wrong.
fn tried(world: &World, part: Part, turn: Option<usize>) -> anyhow::Result<(usize, usize, usize)> {
    let action = part.action;
    let rehearsal = Rehearsal::of(world, action, Calls::Data)?;
    let count = rehearsal.calls.len();
    let step = turn.map_or(1, |_| count.div_ceil(SAMPLE).max(1));
    let first = turn.map_or(part.first, |turn| 1 + (turn + action.name.len()) % step);
    let fates = [Fate::NoSpace, Fate::Io];
    let begun = Instant::now();
    let (mut faults, mut ignored) = (0, 0);
    let mut wrong = Vec::new();
    for (place, number) in (first..=part.last.unwrap_or(usize::MAX)).step_by(step).enumerate() {
        let fates = turn.map_or(&fates[..], |turn| &fates[(turn + place) % 2..=(turn + place) % 2]);
        let mut reached = false;
        for fate in fates {
            let ran = rehearsal.run(world, Calls::Data, number, *fate, &World::putting_back("before"))?;
            let Some(call) = ran.at(number) else { break };
            reached = true;
            faults += 1;
            ignored += usize::from(ran.output.code == 0);
            let lines = after_fault(world, &rehearsal, &ran, call)?;
            let place = format!("{}, {fate:?} {number} of {count}, {call}", action.name);
            wrong.extend(lines.into_iter().map(|line| format!("{place}: {line}")));
        }
        if !reached {
            break;
        }
    }
    say(&format!(
        "{} ({count} calls in all): {faults} faults in {} s, {ignored} did not matter, {} things are wrong",
        part.name(),
        begun.elapsed().as_secs(),
        wrong.len()
    ));
    wrong.iter().for_each(|line| say(line));
    Ok((faults, ignored, wrong.len()))
}

fn after_fault(
    world: &World,
    rehearsal: &Rehearsal,
    ran: &Tripped,
    call: &str,
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    // What can't be removed stays, and what is in the journal isn't over: the next command is to see to that.
    let is_removal = ["unlink", "rmdir"].iter().any(|name| call.starts_with(name));
    let is_pending = !world.root.must("ls /var/lib/dkms/.state/journal 2>/dev/null || true")?.is_empty();
    match world.look() {
        Err(error) => wrong.push(format!("{error:#}")),
        Ok(seen) => {
            wrong.extend(rehearsal.on_the_way(&seen));
            if !is_removal && !is_pending && !is_finished_later(&seen) {
                wrong.extend(sound::leftovers(&seen.listing));
                wrong.extend(elsewhere(rehearsal, &seen, ran.output.code != 0));
            }
        }
    }
    wrong.extend(match ran.output.code {
        0 => verdict::of_success(&ran.output),
        _ => error_of(ran, call),
    });
    let litter = if is_removal { Litter::Meaningless } else { Litter::None };
    wrong.extend(rehearsal.once_more(world, litter)?);
    Ok(wrong)
}

/// What is wrong with an error that should be about this call.
fn error_of(ran: &Tripped, call: &str) -> Vec<String> {
    let stderr = &ran.output.stderr;
    let mut wrong = Vec::new();
    if matches!(ran.output.code, 101 | 128..) {
        wrong.push(format!("ended with {}: {stderr}", ran.output.code));
    }
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("Error! ")).collect();
    if errors.is_empty() {
        wrong.push(format!("failed with {} and no error: {stderr:?}", ran.output.code));
    }
    // In a folder that was opened once, a path is known by its last name only.
    let is_open = |path: &Path| path.starts_with("/proc/self/fd");
    let paths: Vec<PathBuf> = call.split(' ').skip(1).map(permanent_path).collect();
    let named: Vec<PathBuf> =
        stderr.split('`').filter(|word| word.starts_with('/')).map(permanent_path).collect();
    if paths.iter().any(|path| path.starts_with("/memfd:walls")) {
        // Memory that a sandbox reports in, which is no file: what couldn't be run is named.
        if !stderr.contains("cannot run `") {
            wrong.push(format!("the error names no command: {stderr:?}"));
        }
    } else if !paths.iter().any(|path| {
        let same = |named: &PathBuf| named.file_name() == path.file_name();
        named.iter().any(|named| is_about(named, path) || is_open(path) && same(named))
    }) {
        wrong.push(format!("the error names none of {paths:?}: {stderr:?}"));
    }
    wrong
}

/// Whether an error that names one path names another: the same, its folder, or a whole tree
/// that is made or changed.
fn is_about(named: &Path, path: &Path) -> bool {
    let is_tree = |above: &Path| above.components().count() > 3;
    Some(named) == path.parent()
        || is_tree(named) && path.starts_with(named)
        || is_tree(path) && named.starts_with(path)
        || named == path
}

/// A path without temporary names; `/lib` is a link.
fn permanent_path(path: &str) -> PathBuf {
    let path = path.strip_prefix("/usr").filter(|path| path.starts_with("/lib/")).unwrap_or(path);
    let parts: Vec<&str> = path.split('/').map(permanent).collect();
    PathBuf::from(parts.join("/"))
}

/// What a temporary name is for.
fn permanent(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(".tmp_") {
        name = rest.splitn(3, '_').nth(2).unwrap_or_default();
    }
    name.strip_suffix(".new").unwrap_or(name)
}

/// The certificate is there and counts; the next command puts its key beside it.
fn is_finished_later(seen: &Seen) -> bool {
    let has = |start: &str| seen.listing.keys().any(|path| path.starts_with(start));
    has("/var/lib/dkms/mok.pub") && has("/var/lib/dkms/mok.key.staged-")
}

/// What is neither as after the action nor, if that may be, as before it. What is done in several steps
/// may stop between two.
fn elsewhere(rehearsal: &Rehearsal, seen: &Seen, may_be_before: bool) -> Vec<String> {
    let states = |seen: &Seen| States::parse(&seen.status).unwrap_or_default();
    let several = states(&rehearsal.before).distance(&states(&rehearsal.after[0])) > 1;
    if may_be_before && several {
        return in_the_middle(rehearsal, seen);
    }
    let build = ["/var/lib/dkms/foo/1.0/build"];
    let excused: &[&str] = if may_be_before { &build } else { &[] };
    let mut ends: Vec<&Seen> = rehearsal.after.iter().collect();
    ends.extend(Some(&rehearsal.before).filter(|_| may_be_before));
    let from = |end: &&Seen| {
        let mut changes = verdict::changes(&end.listing, &seen.listing, excused);
        if end.status != seen.status {
            changes.push(format!("status is {:?} instead of {:?}", seen.status, end.status));
        }
        changes
    };
    let nearest = ends.iter().map(from).min_by_key(Vec::len).unwrap_or_default();
    nearest.into_iter().map(|line| format!("ends elsewhere: {line}")).collect()
}

/// What is wrong with a state between two steps of an action: what `status` says is what is there, and every
/// path is as before the action or as after it, or as one step alone makes it.
fn in_the_middle(rehearsal: &Rehearsal, seen: &Seen) -> Vec<String> {
    let mut wrong = sound::disagreements(seen);
    let mut ends = vec![&rehearsal.before];
    ends.extend(&rehearsal.after);
    let is_excused =
        |path: &str| path.contains("/build/") || path.ends_with("/build") || path.ends_with("/modules.dep");
    for (path, node) in
        seen.listing.iter().filter(|(path, _)| !is_excused(path) && !verdict::is_remembered(path))
    {
        if !ends.iter().any(|end| end.listing.get(path) == Some(node)) {
            wrong.push(format!("in the middle `{path}` is {node}, as neither before nor after"));
        }
    }
    // An empty folder means nothing, and one step may take what another brings back.
    let gone = rehearsal.before.listing.iter().filter(|(path, node)| {
        node.kind != 'd'
            && !seen.listing.contains_key(*path)
            && ends.iter().all(|end| end.listing.contains_key(*path))
    });
    wrong.extend(
        gone.map(|(path, _)| format!("in the middle `{path}` is gone, which is there before and after")),
    );
    wrong
}

#[test]
fn no_fault_leaves_harm() {
    let turn = (!tier::is_full()).then(tier::turn);
    let only = tier::only().unwrap_or_default();
    let cache = Cache::open().unwrap();
    let kernels = Kernels::find().unwrap();
    let ours = Tool::ours(env!("CARGO_BIN_EXE_dkms-under-test"));
    let stock = Stock::compile(&cache, &kernels).unwrap();
    let world = || {
        let world = World::new(&cache, &kernels, &ours, &stock, &MODULES)?;
        world.keep("base").map(|()| world)
    };
    let passed = Passed::of(
        &cache,
        ("faults", include_str!("faults.rs")),
        &[&ours.program],
        &[&kernels.first, &kernels.second],
    )
    .unwrap();
    let actions = Action::all(&only);
    let all = match turn {
        None => parts(actions, Calls::Data, &passed, world).unwrap(),
        Some(_) => actions.into_iter().map(Part::whole).collect(),
    };
    let (earlier, left) = passed.sorted(all, Part::name);
    let mut results: Vec<(usize, usize, usize)> =
        earlier.into_iter().map(|(_, (faults, ignored))| (faults, ignored, 0)).collect();
    let try_it = |world: &World, part: Part| {
        let (faults, ignored, wrong) = tried(world, part, turn)?;
        if wrong == 0 {
            passed.record(&part.name(), &(faults, ignored))?;
        }
        Ok((faults, ignored, wrong))
    };
    results.extend(share::all(left, world, try_it).unwrap());
    let faults: usize = results.iter().map(|(faults, _, _)| faults).sum();
    let ignored: usize = results.iter().map(|(_, ignored, _)| ignored).sum();
    let wrong: usize = results.iter().map(|(_, _, wrong)| wrong).sum();
    say(&format!("{faults} faults, {ignored} of them did not matter"));
    assert!(faults > 0, "nothing was tried");
    assert!(wrong == 0, "{wrong} things are wrong, as said above");
}
