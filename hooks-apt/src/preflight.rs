//! What apt is about to do, before anything has changed: will the modules in use be there on
//! the kernels that come?

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use dkms_archive::deb;
use dkms_base::exit::ExitCode;
use dkms_base::id::{KernelRelease, ModuleName};
use dkms_base::layout::Layout;
use dkms_base::report::{Event, Reporter};
use dkms_conf::settings::PreflightPolicy;
use dkms_core::event::Happening;
use dkms_core::plan::preflight::Prospect;
use dkms_hooks::{AdapterError, ComingHeaders, HeadersComing, Sources};
use dkms_kernel::{Brought, Owner, PrebuiltComing};

use crate::session::Session;
use crate::transaction::{self, Change};
use crate::{dpkg, frontend};

/// Ends apt's run; see `apt.conf`. Nothing else that may happen to us does.
const STOP: ExitCode = ExitCode(10);

/// More than any transaction's list.
const LIMIT: u64 = 64 << 20;

/// `preflight`, with the transaction on standard input.
pub fn run(session: &Session<'_>, _: &[&str]) -> ExitCode {
    // What an earlier run has left, having been killed, is not this one's.
    session.say_kept();
    drop(frontend::begins(session.layout()));
    if session.adapter.settings.preflight == PreflightPolicy::Off {
        return ExitCode::SUCCESS;
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(LIMIT).read_to_end(&mut text).map_err(|error| error.to_string());
    let parse = |_| transaction::parse(&String::from_utf8_lossy(&text)).map_err(|error| error.to_string());
    let absent = read.and_then(parse).and_then(|changes| {
        let layout = session.layout().clone();
        let changing: Vec<_> = changes.iter().map(|change| Changing::look(change, &layout)).collect();
        if changing.iter().all(|Changing { old, new, .. }| old.is_empty() && new.is_empty()) {
            return Ok(Vec::new());
        }
        let told = told(session, &changing).map_err(|error| error.to_string())?;
        absent(session, told, &changing).map_err(|error| error.to_string())
    });
    match absent {
        Ok(absent) => verdict(session, &absent),
        Err(error) => {
            let text = format!("cannot check the modules for this transaction: {error}");
            session.out.report(Event::warning(text, []));
            ExitCode::SUCCESS
        }
    }
}

fn verdict(session: &Session<'_>, absent: &[Prospect]) -> ExitCode {
    for prospect in absent {
        session.out.report(Event::warning(prospect.to_string(), []));
    }
    if absent.is_empty() || session.adapter.settings.preflight != PreflightPolicy::Block {
        return ExitCode::SUCCESS;
    }
    session.out.say("error: `preflight=block` in framework.conf ends this transaction; nothing has changed");
    STOP
}

/// A package that changes: what it has now, and what it will have.
struct Changing<'a> {
    change: &'a Change,
    old: Brought,
    new: Brought,
}

impl<'a> Changing<'a> {
    /// What comes is read from the package's own file: names of kernels' packages differ, and are asked only
    /// where there is no file.
    fn look(change: &'a Change, layout: &Layout) -> Self {
        let old = change.old_arch.as_deref().map(|arch| dpkg::brought_by(&change.package, arch, layout));
        let is_kernel = |file: &str| !Brought::of([file]).kernels.is_empty();
        let new = change.file.as_deref().map(|file| match deb::files(file, &is_kernel) {
            Some(files) => Brought::of(files),
            None => transaction::by_name(&change.package),
        });
        Self { change, old: old.unwrap_or_default(), new: new.unwrap_or_default() }
    }
}

/// What the transaction does to kernels, and which packages bring those that come.
type Told = (Vec<Happening>, BTreeMap<KernelRelease, Owner>);

fn told(session: &Session<'_>, changing: &[Changing<'_>]) -> Result<Told, AdapterError> {
    let (mut told, mut owners) = (Vec::new(), BTreeMap::new());
    for Changing { change, old, new } in changing {
        let adapter = &session.adapter;
        let releases = |set: &BTreeSet<String>| -> Vec<KernelRelease> {
            set.iter().filter_map(|release| KernelRelease::new(release.as_str()).ok()).collect()
        };
        for kernel in releases(&old.kernels) {
            told.push(Happening::KernelLeaving(adapter.target(&kernel)?));
        }
        for kernel in releases(&new.kernels) {
            told.push(Happening::KernelArrived(adapter.target(&kernel)?));
            let owner =
                Owner { name: change.package.clone(), version: change.version.clone(), arch: String::new() };
            owners.insert(kernel, owner);
        }
        for kernel in releases(&new.headers) {
            told.push(Happening::HeadersArrived(adapter.target(&kernel)?));
        }
    }
    Ok((told, owners))
}

/// The modules in use that will not be there.
fn absent(
    session: &Session<'_>,
    (told, owners): Told,
    changing: &[Changing<'_>],
) -> Result<Vec<Prospect>, AdapterError> {
    let prebuilt: PrebuiltComing = changing
        .iter()
        .flat_map(|Changing { change, new, .. }| {
            new.modules.iter().filter_map(|(release, module)| {
                let kernel = KernelRelease::new(release.as_str()).ok()?;
                Some(((kernel, module.clone()), change.package.clone()))
            })
        })
        .collect();
    let headers = headers(changing);
    session.adapter.foresee(&told, &headers, session.out)?;
    let (mut old, mut new) = (BTreeSet::new(), BTreeSet::new());
    for changing in changing {
        old.extend(changing.old.sources.iter().cloned());
        new.extend(changing.new.sources.iter().cloned());
    }
    let is_replaced =
        |name: &ModuleName| changing.iter().any(|Changing { new, .. }| new.replaces(name.as_str()));
    let sources = Sources { is_replaced: &is_replaced, leaving: &(&old - &new) };
    let mut absent = session.adapter.preflight(&told, &sources, owners, prebuilt, &headers)?;
    absent.retain(|prospect| !goes_for_good(prospect, &old, &is_replaced));
    Ok(absent)
}

/// The headers that come: of each kernel the version of the package, and the files with all that belongs to
/// them.
fn headers(changing: &[Changing<'_>]) -> HeadersComing {
    let is_part = |change: &&Change| {
        ["linux-headers-", "linux-kbuild-", "proxmox-headers-", "pve-headers-"]
            .iter()
            .any(|prefix| change.package.starts_with(prefix))
    };
    let parts = changing.iter().map(|changing| changing.change).filter(is_part);
    let files: Vec<_> = parts.filter_map(|change| change.file.clone()).collect();
    let of = |changing: &Changing<'_>| {
        let coming = ComingHeaders { version: Some(changing.change.version.clone()), files: files.clone() };
        let kernels =
            changing.new.headers.iter().filter_map(|release| KernelRelease::new(release.as_str()).ok());
        kernels.map(move |kernel| (kernel, coming.clone())).collect::<Vec<_>>()
    };
    changing.iter().flat_map(of).collect()
}

/// Whether the transaction takes a module away and brings no other version: then it is not missed.
fn goes_for_good(
    prospect: &Prospect,
    old: &BTreeSet<String>,
    is_replaced: &dyn Fn(&ModuleName) -> bool,
) -> bool {
    !is_replaced(&prospect.id.name) && old.contains(&prospect.id.dir_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::id::{ModuleId, Target};
    use dkms_core::plan::preflight::{Absent, Standing};

    #[test]
    fn what_a_kernel_lacks_it_lacks_for_the_version_that_comes_too() {
        let source = |folder: &str| Brought::of([format!("/usr/src/{folder}/dkms.conf")]);
        let (old, new, nothing) = (source("foo-1.0"), source("foo-2.0"), Brought::default());
        let needed = ModuleName::new("bar").unwrap();
        let no_headers = || Absent::NoHeaders(None);
        for (absent, changing, told) in [
            (None, vec![], false),
            (Some(no_headers()), vec![], true),
            (Some(no_headers()), vec![(&old, &new)], true),
            (Some(Absent::ReadOnly), vec![(&old, &nothing), (&nothing, &new)], true),
            (Some(no_headers()), vec![(&old, &nothing)], false),
            (Some(Absent::FailedBefore(String::new())), vec![], true),
            (Some(Absent::FailedBefore(String::new())), vec![(&old, &new)], false),
            (Some(Absent::Dependency(needed.clone())), vec![], true),
            (Some(Absent::Dependency(needed.clone())), vec![(&nothing, &source("bar-3"))], false),
            (Some(Absent::Dependency(needed.clone())), vec![(&old, &new)], false),
        ] {
            let id = ModuleId::parse("foo", "1.0").unwrap();
            let target = Target::parse("6.1.0-1", "x86_64").unwrap();
            let prospect = Prospect {
                id,
                target,
                absent,
                brought_by: None,
                critical: None,
                foreseen: None,
                standing: Standing::Untried,
            };
            let is_replaced = |name: &ModuleName| changing.iter().any(|(_, new)| new.replaces(name.as_str()));
            let folders = changing.iter().flat_map(|(old, _)| old.sources.iter().cloned()).collect();
            let is_foreseen =
                prospect.is_certain(is_replaced) && !goes_for_good(&prospect, &folders, &is_replaced);
            assert_eq!(is_foreseen, told, "{:?} {changing:?}", prospect.absent);
        }
    }
}
