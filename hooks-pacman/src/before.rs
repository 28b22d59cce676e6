//! Before a transaction: what it brings is noted and the preflight made; what goes for good is taken out
//! while it is still there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkms_base::exit::ExitCode;
use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs};
use dkms_base::id::{KernelRelease, ModuleName};
use dkms_base::report::{Event, Reporter};
use dkms_conf::settings::PreflightPolicy;
use dkms_core::event::Happening;
use dkms_hooks::{AdapterError, ComingHeaders, HeadersComing, Initramfs, Plain, Sources, Summary};
use dkms_kernel::PrebuiltComing;

use crate::record::{Before, Record, State, Transaction};
use crate::settle;
use crate::system::System;
use crate::targets::{Targets, Thing};
use crate::tell::{self, Now};

/// Something comes, or is put in place again. Only where the admin wants it does this end the transaction.
///
/// # Errors
/// [`AdapterError`].
pub fn coming<W: std::io::Write + Send>(
    system: &mut System<'_>,
    targets: &Targets,
    plain: &Plain<W>,
) -> Result<ExitCode, AdapterError> {
    let things = &targets.things;
    if preflight(system, targets, plain)? == Verdict::Blocked {
        return Ok(ExitCode::USAGE_OR_RIGHTS);
    }
    let layout = system.adapter.settings.layout.clone();
    let mut record = earlier(system, things);
    for thing in things {
        note(&mut record, thing, system).comes_with = Some(Transaction::ours());
    }
    record.save(&layout)?;
    Ok(ExitCode::SUCCESS)
}

/// What is remembered and not settled; owners are looked up for that and for these things.
fn earlier(system: &mut System<'_>, things: &BTreeSet<Thing>) -> Record {
    let mut record = Record::load(&system.adapter.settings.layout);
    system.look_up(record.0.keys().chain(things));
    settle::before(&mut record, system);
    record
}

/// Remembers how a thing is. What an earlier transaction has left unsettled is as it was before that, unless
/// the tree has what came then.
fn note<'r>(record: &'r mut Record, thing: &Thing, system: &System<'_>) -> &'r mut Before {
    let state = system.state(thing);
    let id = state.as_ref().and_then(State::module);
    let is_known = id.is_some_and(|id| system.snapshot.get(&id).is_some());
    let before = Before { state, taken_out: false, used_on: Vec::new(), comes_with: None };
    let known = record.0.entry(thing.clone()).or_insert_with(|| before.clone());
    if known.state.is_none() && is_known {
        known.state = before.state;
    }
    known
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Clear,
    Blocked,
}

/// Tells which modules in use will not be there.
fn preflight<W: std::io::Write + Send>(
    system: &System<'_>,
    targets: &Targets,
    plain: &Plain<W>,
) -> Result<Verdict, AdapterError> {
    let things = &targets.things;
    let policy = system.adapter.settings.preflight;
    let told = tell::prospects(things, system);
    if policy == PreflightPolicy::Off || told.is_empty() {
        return Ok(Verdict::Clear);
    }
    // Another version that comes may be better than the one on disk, which is all that can be read yet.
    let is_replaced = |name: &ModuleName| {
        things
            .iter()
            .any(|thing| matches!(thing, Thing::Module(folder) if tell::may_be_of(folder, name.as_str())))
    };
    // A hook does not learn which package a path belongs to.
    let brought = |module: &(KernelRelease, String)| (module.clone(), "of this transaction".to_owned());
    let prebuilt: PrebuiltComing = targets.prebuilt.iter().map(brought).collect();
    let headers = match policy {
        PreflightPolicy::Build => headers(&told, &system.adapter.environment),
        PreflightPolicy::Warn | PreflightPolicy::Block | PreflightPolicy::Off => HeadersComing::new(),
    };
    system.adapter.foresee(&told, &headers, plain)?;
    // No script of a package removes a version: one that can't be replaced on a kernel stays there.
    let sources = Sources { is_replaced: &is_replaced, leaving: &BTreeSet::new() };
    let absent = system.adapter.preflight(&told, &sources, BTreeMap::new(), prebuilt, &headers)?;
    absent.iter().for_each(|prospect| plain.say(&prospect.to_string()));
    if absent.is_empty() || policy != PreflightPolicy::Block {
        return Ok(Verdict::Clear);
    }
    plain.say("error: framework.conf has `preflight=block`, so this transaction is stopped");
    plain.say("to run it anyway, set `preflight=warn` in /etc/dkms/framework.conf");
    Ok(Verdict::Blocked)
}

/// Where pacman has what it has downloaded, unless its settings say otherwise.
const DOWNLOADS: &str = "/var/cache/pacman/pkg";
/// In so many packages, the newest, headers are searched for if no name has the kernel.
const SEARCHED: usize = 8;
/// No list of files takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The headers that come, with the files that have them. A hook does not receive those; without one they are
/// downloaded.
fn headers(told: &[Happening], environment: &Environment) -> HeadersComing {
    let entries = fs::list(Path::new(DOWNLOADS)).unwrap_or_default();
    let files: Vec<String> = entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect();
    let coming = |happening: &Happening| match happening {
        Happening::HeadersArrived(target) => {
            let kernel = target.kernel.as_str();
            let named = files.iter().find(|name| has_headers(name, kernel));
            let named = named.map(|name| Path::new(DOWNLOADS).join(name));
            let found = named.or_else(|| found_inside(&files, kernel, environment));
            Some((target.kernel.clone(), ComingHeaders { version: None, files: found.into_iter().collect() }))
        }
        _ => None,
    };
    told.iter().filter_map(coming).collect()
}

/// The newest package that has a kernel's headers, by its list of files: not every maker's kernels are named
/// after the version of their package.
fn found_inside(files: &[String], kernel: &str, environment: &Environment) -> Option<PathBuf> {
    let is_likely =
        |name: &&String| name.contains("-headers-") && name.contains(".pkg.tar") && !name.ends_with(".sig");
    let place = |name: &String| Path::new(DOWNLOADS).join(name);
    let when = |path: &Path| fs::stat(path).ok().flatten().and_then(|meta| meta.modified().ok());
    let mut likely: Vec<PathBuf> = files.iter().filter(is_likely).map(place).collect();
    likely.sort_by_key(|path| std::cmp::Reverse(when(path)));
    likely.truncate(SEARCHED);
    likely.into_iter().find(|path| {
        let file = format!("usr/lib/modules/{kernel}/build/Makefile");
        let words: [OsString; 3] = ["-tqf".into(), path.into(), file.into()];
        let listed = Process::new("bsdtar", words, environment).time_limit(PATIENCE).capture_apart();
        listed.is_ok_and(|ended| ended.status.success())
    })
}

/// Whether a package is that of a kernel's headers: `linux-lts-headers-6.6.63-1-x86_64.pkg.tar.zst` of
/// 6.6.63-1-lts, `linux-headers-6.12.4.arch1-1-…` of 6.12.4-arch1-1.
fn has_headers(file: &str, kernel: &str) -> bool {
    let Some((package, version)) = file.split_once("-headers-") else { return false };
    let flavour = package.strip_prefix("linux").map(|rest| rest.trim_start_matches('-'));
    let Some(flavour) = flavour.filter(|_| !file.ends_with(".sig")) else { return false };
    let plain = |text: &str| text.replace(['-', '.', '_'], "/");
    let kernel = match flavour {
        "" => kernel,
        flavour => match kernel.strip_suffix(flavour).and_then(|rest| rest.strip_suffix('-')) {
            Some(kernel) => kernel,
            None => return false,
        },
    };
    plain(version).starts_with(&format!("{}/", plain(kernel)))
}

/// Something goes. What a new version takes the place of stays until that is built. Where we go as
/// well nobody is left to run depmod after the transaction, so it runs now; what is removed are
/// modules that no package has.
///
/// # Errors
/// [`AdapterError`].
pub fn leaving<W: std::io::Write + Send>(
    system: &mut System<'_>,
    targets: &Targets,
    plain: &Plain<W>,
) -> Result<ExitCode, AdapterError> {
    let things = &targets.things;
    let layout = system.adapter.settings.layout.clone();
    let mut record = earlier(system, things);
    let coming: BTreeSet<Thing> = record.coming(Transaction::ours()).cloned().collect();
    let mut told = Vec::new();
    for thing in things {
        let state = system.state(thing);
        let happening = match thing {
            Thing::Module(_) => state.as_ref().and_then(|state| state.module()).and_then(|id| {
                let is_replaced = coming.iter().any(
                    |other| matches!(other, Thing::Module(folder) if tell::may_be_of(folder, id.name.as_str())),
                );
                let is_known = system.snapshot.get(&id).is_some();
                (is_known && !is_replaced).then_some(Happening::ModuleLeaving(id))
            }),
            Thing::Kernel(kernel) if !coming.contains(thing) => {
                system.target(kernel).map(Happening::KernelLeaving)
            }
            Thing::Kernel(_) | Thing::Headers(_) => None,
        };
        let noted = note(&mut record, thing, system);
        if let Some(Happening::ModuleLeaving(id)) = &happening {
            let used = system.snapshot.targets(id).into_iter();
            let used = used.filter(|target| system.snapshot.is_installed(id, target));
            noted.used_on = used.map(|target| target.kernel.to_string()).collect();
        }
        noted.taken_out |= happening.is_some();
        told.extend(happening);
    }
    if let Err(error) = record.save(&layout) {
        // What goes is taken out anyway.
        plain.report(Event::warning(error.to_string(), []));
    }
    if targets.ourselves {
        system.adapter.release_held().iter().for_each(|line| plain.say(line));
    }
    let outcome = match targets.ourselves {
        true if told.is_empty() && !system.adapter.owes_depmod() => return Ok(ExitCode::SUCCESS),
        true => system.adapter.batch(&told, Initramfs::Ours, plain)?,
        false if told.is_empty() => return Ok(ExitCode::SUCCESS),
        // The hook after the transaction is called for what goes, too.
        false => system.adapter.batch_before_another(&told, plain)?,
    };
    Summary::of(&outcome).lines().iter().for_each(|line| plain.say(line));
    Ok(system.adapter.exit_of(&outcome))
}

#[cfg(test)]
mod tests {
    use super::has_headers;

    #[test]
    fn a_package_of_headers_is_that_of_one_kernel() {
        for (file, kernel, is) in [
            ("linux-headers-6.12.4.arch1-1-x86_64.pkg.tar.zst", "6.12.4-arch1-1", true),
            ("linux-headers-6.12.4.arch1-1-x86_64.pkg.tar.zst.sig", "6.12.4-arch1-1", false),
            ("linux-headers-6.12.4.arch1-1-x86_64.pkg.tar.zst", "6.12.4-arch1-12", false),
            ("linux-headers-6.12.4.arch1-12-x86_64.pkg.tar.zst", "6.12.4-arch1-1", false),
            ("linux-lts-headers-6.6.63-1-x86_64.pkg.tar.zst", "6.6.63-1-lts", true),
            ("linux-lts-headers-6.6.63-1-x86_64.pkg.tar.zst", "6.6.63-1", false),
            ("linux-6.12.4.arch1-1-x86_64.pkg.tar.zst", "6.12.4-arch1-1", false),
        ] {
            assert_eq!(has_headers(file, kernel), is, "{file} {kernel}");
        }
    }
}
