//! Every action that changes something, killed at every change it makes to names, and at every sync: before
//! the call is carried out, and after.
//!
//! Each time `status` tells a state that lies on the way, no half module is below `/lib/modules`, the
//! kernel's own modules are not lost, the action goes on as if nothing had happened when it is asked for
//! again, and so does another one. A usual run takes a sample of the points; with `DKMS_TEST_FULL=1` it takes
//! each. `DKMS_TEST_ONLY` takes the actions whose names contain it.

use std::time::Instant;

use dkms_tests::cache::Cache;
use dkms_tests::crash::action::{Action, MODULES};
use dkms_tests::crash::parts::{Part, parts};
use dkms_tests::crash::rehearsal::{Litter, Rehearsal};
use dkms_tests::crash::stock::Stock;
use dkms_tests::crash::tripwire::{Calls, Fate};
use dkms_tests::crash::world::World;
use dkms_tests::kernels::Kernels;
use dkms_tests::passed::Passed;
use dkms_tests::share;
use dkms_tests::tool::Tool;
use dkms_tests::{say, tier};

/// How many points of each action a usual run takes.
const SAMPLE: usize = 2;

/// Some calls of an action: how many points were tried, and what is wrong.
fn tried(world: &World, part: Part, turn: Option<usize>) -> anyhow::Result<(usize, usize)> {
    let action = part.action;
    let rehearsal = Rehearsal::of(world, action, Calls::Names)?;
    let count = rehearsal.calls.len();
    let step = turn.map_or(1, |_| count.div_ceil(SAMPLE).max(1));
    // The sample moves with the action, so that all of them together see all kinds of calls.
    let first = turn.map_or(part.first, |turn| 1 + (turn + action.name.len()) % step);
    let fates = [Fate::KilledBefore, Fate::KilledAfter];
    let begun = Instant::now();
    let mut points = 0;
    let mut wrong = Vec::new();
    for (place, number) in (first..=part.last.unwrap_or(usize::MAX)).step_by(step).enumerate() {
        let fates = turn.map_or(&fates[..], |turn| &fates[(turn + place) % 2..=(turn + place) % 2]);
        let mut reached = false;
        for fate in fates {
            let kill = || rehearsal.run(world, Calls::Names, number, *fate, &World::putting_back("before"));
            let killed = kill()?;
            let Some(call) = killed.at(number) else { break };
            reached = true;
            points += 1;
            let place = format!("{}, {fate:?} {number} of {count}, {call}", action.name);
            let mut lines = after_death(world, &rehearsal, killed.output.code)?;
            // A copy of what the dead one left would be other files: so it dies once more.
            kill()?;
            lines.extend(rehearsal.something_else(world)?);
            wrong.extend(lines.into_iter().map(|line| format!("{place}: {line}")));
        }
        if !reached {
            break;
        }
    }
    say(&format!(
        "{} ({count} calls in all): {points} deaths in {} s, {} things are wrong",
        part.name(),
        begun.elapsed().as_secs(),
        wrong.len()
    ));
    wrong.iter().for_each(|line| say(line));
    Ok((points, wrong.len()))
}

fn after_death(world: &World, rehearsal: &Rehearsal, code: i32) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if code != 137 {
        wrong.push(format!("it was not killed: {code}"));
    }
    match world.look() {
        Ok(seen) => wrong.extend(rehearsal.on_the_way(&seen)),
        Err(error) => wrong.push(format!("{error:#}")),
    }
    wrong.extend(rehearsal.once_more(world, Litter::None)?);
    Ok(wrong)
}

#[test]
fn no_death_leaves_harm() {
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
        ("crash_matrix", include_str!("crash_matrix.rs")),
        &[&ours.program],
        &[&kernels.first, &kernels.second],
    )
    .unwrap();
    let actions = Action::all(&only);
    let all = match turn {
        None => parts(actions, Calls::Names, &passed, world).unwrap(),
        Some(_) => actions.into_iter().map(Part::whole).collect(),
    };
    let (earlier, left) = passed.sorted(all, Part::name);
    let mut results: Vec<(usize, usize)> = earlier.into_iter().map(|(_, points)| (points, 0)).collect();
    let try_it = |world: &World, part: Part| {
        let (points, wrong) = tried(world, part, turn)?;
        if wrong == 0 {
            passed.record(&part.name(), &points)?;
        }
        Ok((points, wrong))
    };
    results.extend(share::all(left, world, try_it).unwrap());
    let points: usize = results.iter().map(|(points, _)| points).sum();
    let wrong: usize = results.iter().map(|(_, wrong)| wrong).sum();
    say(&format!("{points} deaths"));
    assert!(points > 0, "nothing was tried");
    assert!(wrong == 0, "{wrong} things are wrong, as said above");
}
