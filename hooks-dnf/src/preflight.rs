//! Before a transaction: which modules in use will not be there after it.

use std::collections::BTreeSet;

use dkms_base::id::{KernelRelease, ModuleId, ModuleName};
use dkms_conf::settings::PreflightPolicy;
use dkms_core::event::Happening;
use dkms_hooks::{AdapterError, Sources};

use crate::incoming::{Coming, Package};
use crate::memory;
use crate::session::Session;
use crate::view::{Seen, View};

/// The answer for the front end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    GoOn,
    /// It is to end before anything is changed, for this reason.
    Block(String),
}

/// Looks ahead, and says what it sees.
///
/// # Errors
/// [`AdapterError`] where it can't be found out; then nothing is known against the transaction.
pub fn preflight(
    session: &Session<'_>,
    packages: &[Package],
    coming: &Coming,
) -> Result<Verdict, AdapterError> {
    let policy = session.adapter.settings.preflight;
    if policy == PreflightPolicy::Off || coming.brought.is_empty() {
        return Ok(Verdict::GoOn);
    }
    let view = memory::view(session.layout()).unwrap_or_default();
    let leaving = leaving(packages, coming, &view);
    let told = told(session, packages, coming, &view, &leaving)?;
    session.adapter.foresee(&told, &coming.headers, session.out)?;
    let is_replaced = |name: &ModuleName| coming.brought.replaces(name.as_str());
    let sources = Sources { is_replaced: &is_replaced, leaving: &leaving };
    let (owners, prebuilt) = (coming.owners.clone(), coming.prebuilt.clone());
    let prospects = session.adapter.preflight(&told, &sources, owners, prebuilt, &coming.headers)?;
    if prospects.is_empty() {
        return Ok(Verdict::GoOn);
    }
    prospects.iter().for_each(|prospect| session.out.say(&format!("warning: {prospect}")));
    let count = match prospects.len() {
        1 => "1 module in use will not be there".to_owned(),
        count => format!("{count} modules in use will not be there"),
    };
    Ok(match policy {
        PreflightPolicy::Block => Verdict::Block(format!("dkms: {count}, and `preflight=block` is set")),
        PreflightPolicy::Warn | PreflightPolicy::Build | PreflightPolicy::Off => Verdict::GoOn,
    })
}

/// Whether the package that something was in goes.
fn going(packages: &[Package]) -> impl Fn(&Seen) -> bool {
    let going: BTreeSet<String> =
        packages.iter().filter(|package| !package.comes).map(|package| plain(&package.nevra)).collect();
    move |seen: &Seen| {
        let owner = seen.owner.as_ref();
        owner.is_some_and(|owner| {
            owner.0.iter().all(|package| {
                let nevra = package.build.split(' ').next().unwrap_or_default();
                going.contains(&plain(nevra))
            })
        })
    }
}

/// Folders of `/usr/src` that go for good.
fn leaving(packages: &[Package], coming: &Coming, view: &View) -> BTreeSet<String> {
    let goes = going(packages);
    let folders =
        view.modules.iter().filter(|(folder, seen)| goes(seen) && !coming.brought.sources.contains(*folder));
    folders.map(|(folder, _)| folder.clone()).collect()
}

/// What the transaction is going to do, as far as it can be known.
fn told(
    session: &Session<'_>,
    packages: &[Package],
    coming: &Coming,
    view: &View,
    leaving: &BTreeSet<String>,
) -> Result<Vec<Happening>, AdapterError> {
    let target = |release: &String| {
        KernelRelease::new(release.as_str()).ok().map(|release| session.adapter.target(&release)).transpose()
    };
    let mut told = Vec::new();
    for release in &coming.brought.kernels {
        told.extend(target(release)?.map(Happening::KernelArrived));
    }
    for release in &coming.brought.headers {
        told.extend(target(release)?.map(Happening::HeadersArrived));
    }
    let goes = going(packages);
    for (release, _) in view.kernels.iter().filter(|(_, seen)| goes(seen)) {
        told.extend(target(release)?.map(Happening::KernelLeaving));
    }
    for seen in leaving.iter().filter_map(|folder| view.modules.get(folder)) {
        let Some((name, version)) = &seen.module else { continue };
        // One that is replaced stays in use; how its new version judges the kernel isn't known yet.
        if let Ok(id) = ModuleId::parse(name, version)
            && !coming.brought.replaces(name)
        {
            told.push(Happening::ModuleLeaving(id));
        }
    }
    Ok(told)
}

/// As dnf writes it: an epoch of 0 is none.
fn plain(nevra: &str) -> String {
    nevra.replacen("-0:", "-", 1)
}
