//! An action undisturbed: the state before, the state it leads to, what it answers when
//! it is asked once more.

use anyhow::{Result, ensure};

use super::action::Action;
use super::sound;
use super::state::States;
use super::tripwire::{self, Calls, Fate, Tripped};
use super::world::{Seen, World};

/// What is known of an action before it is disturbed.
#[derive(Debug)]
pub struct Rehearsal {
    /// The action.
    pub action: Action,
    /// What was there before.
    pub before: Seen,
    /// What is there afterwards; the second time it may be something else.
    pub after: Vec<Seen>,
    /// The exit codes: of the first time, and of the second.
    pub codes: Vec<i32>,
    /// The calls it makes.
    pub calls: Vec<String>,
    /// Paths and digests of the modules that were there before dkms was.
    pub originals: Vec<(String, String)>,
}

/// What may be left for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Litter {
    /// Nothing.
    None,
    /// What means nothing: empty folders (nobody knows whose they are, but for those of the dead),
    /// indexes of no modules.
    Meaningless,
}

impl Rehearsal {
    /// Makes the action's state from the one kept as `base`, keeps it as `before`, and runs the action twice.
    ///
    /// # Errors
    /// Where the state can't be made, the action fails, or what it leaves is not sound.
    pub fn of(world: &World, action: Action, calls: Calls) -> Result<Self> {
        world.put_back("base")?;
        world.root.must(&action.setup())?;
        world.keep("before")?;
        let before = world.look()?;
        let originals = before.listing.iter().filter(|(path, node)| {
            node.kind == 'f'
                && (path.contains("/kernel/drivers/") || path.contains("/original_module/"))
                && path.ends_with("foo.ko")
        });
        let place = "/lib/modules/K/kernel/drivers/misc/foo.ko"
            .replace("/K/", &format!("/{}/", world.root.kernels().first));
        let originals = originals.map(|(_, node)| (place.clone(), node.detail.clone())).collect();
        let mut rehearsal =
            Self { action, before, after: Vec::new(), codes: Vec::new(), calls: Vec::new(), originals };
        for time in 0..2 {
            let ran = rehearsal.run(world, calls, 0, Fate::KilledBefore, "")?;
            ensure!(time == 1 || ran.output.code == 0, "{}: {}", action.name, ran.output.stderr);
            let seen = world.look()?;
            let mut wrong = sound::disagreements(&seen);
            wrong.extend(sound::leftovers(&seen.listing));
            wrong.extend(sound::lost_originals(&seen.listing, &rehearsal.originals));
            wrong.extend(sound::stale_indexes(world, &seen.listing)?);
            ensure!(wrong.is_empty(), "{}, undisturbed: {}", action.name, wrong.join("; "));
            rehearsal.after.push(seen);
            rehearsal.codes.push(ran.output.code);
            if time == 0 {
                rehearsal.calls = ran.calls;
            }
        }
        Ok(rehearsal)
    }

    /// Runs the action up to a call, after a line of shell.
    ///
    /// # Errors
    /// Where no process can be started.
    pub fn run(
        &self,
        world: &World,
        calls: Calls,
        number: usize,
        fate: Fate,
        before: &str,
    ) -> Result<Tripped> {
        // What is written has the time of the first run, so that archives are the same bytes.
        let before = format!("{before}\nexport SOURCE_DATE_EPOCH=1700000000");
        tripwire::run(&world.root, &before, self.action.words, calls, number, fate)
    }

    /// What is wrong with a state in the middle.
    #[must_use]
    pub fn on_the_way(&self, seen: &Seen) -> Vec<String> {
        let read = |seen: &Seen| States::parse(&seen.status);
        let mut wrong = match (read(&self.before), read(&self.after[0]), read(seen)) {
            (Ok(before), Ok(after), Ok(now)) => now.astray(&before, &after),
            (_, _, Err(line)) => vec![line],
            (Err(line), _, _) | (_, Err(line), _) => vec![line],
        };
        let known = sound::known(&[&self.before, &self.after[0], &self.after[1]]);
        wrong.extend(sound::strange_modules(&seen.listing, &known));
        wrong.extend(sound::lost_originals(&seen.listing, &self.originals));
        wrong
    }

    /// Runs the action to its end, and says what is wrong with what is there then.
    ///
    /// # Errors
    /// Where no process can be started, or the root can't be listed.
    pub fn once_more(&self, world: &World, litter: Litter) -> Result<Vec<String>> {
        let again = self.run(world, Calls::Names, 0, Fate::KilledBefore, "")?;
        let mut wrong = Vec::new();
        if !self.codes.contains(&again.output.code) {
            wrong.push(format!("once more: {}: {}", again.output.code, again.output.stderr.trim_end()));
        }
        let seen = self.without(litter, world.look()?);
        if !self.after.iter().any(|after| self.without(litter, after.clone()) == seen) {
            let changes = crate::verdict::changes(&self.after[0].listing, &seen.listing, &[]);
            wrong.push(format!("once more ends elsewhere: {}", changes.join("; ")));
            if seen.status != self.after[0].status {
                wrong.push(format!("status is {:?} instead of {:?}", seen.status, self.after[0].status));
            }
        }
        wrong.extend(sound::stale_indexes(world, &seen.listing)?);
        Ok(wrong)
    }

    fn without(&self, litter: Litter, mut seen: Seen) -> Seen {
        if litter == Litter::Meaningless {
            sound::forget_litter(&mut seen.listing, &self.after[0].listing);
        }
        seen
    }

    /// Runs the action's other command, and says what is wrong with what is there then.
    ///
    /// # Errors
    /// Where no process can be started, or the root can't be listed.
    pub fn something_else(&self, world: &World) -> Result<Vec<String>> {
        let output = world.root.dkms(self.action.other)?;
        let mut wrong = Vec::new();
        if !matches!(output.code, 0 | 3) {
            wrong.push(format!("{}: {}", output.code, output.stderr.trim_end()));
        }
        let seen = world.look()?;
        wrong.extend(sound::disagreements(&seen));
        wrong.extend(sound::lost_originals(&seen.listing, &self.originals));
        wrong.extend(sound::leftovers(&seen.listing));
        wrong.extend(sound::stale_indexes(world, &seen.listing)?);
        Ok(wrong.into_iter().map(|line| format!("`{}` after it: {line}", self.action.other)).collect())
    }
}
