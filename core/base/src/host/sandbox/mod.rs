//! The sandbox that a module's own code runs in: what it may see, write and do, and who it is there.
//!
//! Everything is decided and made ready here, in safe code; [`crate::sys`] carries it out in the child.
//! An isolation layer that the system can't give is left out and reported, unless the sandbox is strict.
//! `docs/sandbox.md` says which one is for what.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::Resource;

use self::id_map::IdMap;
use super::environment::Environment;
use crate::sys::{Lasting, Plan, Report, Rights, Scene, Stay, Wall};

mod account;
mod building;
mod calls;
mod id_map;
mod inputs;
mod keys;
mod missing;
mod probe;
#[cfg_attr(not(any(test, feature = "landlock")), path = "no_rules.rs")]
mod rules;
mod sockets;
mod view;

pub use account::{Account, FALLBACK};
pub use missing::{Missing, Told};
pub use probe::missing_here;
pub use view::hides;

/// What a sandbox is to be like.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Where an isolation layer is not available, nothing runs.
    pub strict: bool,
    /// Whose its processes are, where we can become another user.
    pub user: &'a str,
    /// The same in a group that several sandboxes share; `None`: one of its own is made.
    pub account: Option<Account>,
    /// The folders that can be written, and the paths that they are seen under.
    pub folders: Vec<(&'a Path, &'a Path)>,
    /// A folder that seems to be writable; what is written there is thrown away.
    pub layer: Option<&'a Path>,
    /// What must be seen, wherever it is.
    pub shown: Vec<PathBuf>,
    /// What root reads and its processes must read too, whatever its mode is and wherever it lies:
    /// headers, sources, maps.
    pub inputs: Vec<PathBuf>,
    /// What its processes are known to ask for; where root could read it and they can't, that is reported.
    pub mentioned: Vec<PathBuf>,
    /// Devices that it may use, besides those that every program may expect.
    pub devices: Vec<PathBuf>,
    /// What must not be seen, besides what never is.
    pub secret: Vec<PathBuf>,
    /// The environment of its processes.
    pub environment: &'a Environment,
}

impl<'a> Wanted<'a> {
    /// One for the processes of a user, which write nowhere and see nothing besides what all do.
    #[must_use]
    pub fn bare(user: &'a str, environment: &'a Environment) -> Self {
        Self {
            strict: false,
            user,
            account: None,
            folders: Vec::new(),
            layer: None,
            shown: Vec::new(),
            inputs: Vec::new(),
            mentioned: Vec::new(),
            devices: Vec::new(),
            secret: Vec::new(),
            environment,
        }
    }
}

/// What processes are in a sandbox for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To run a package's code, without a network.
    Build,
    /// To ask servers of other machines, and to write nothing.
    Download,
}

/// A sandbox, ready for any number of processes, each of which gets one of its own, unless it
/// [lasts](Sandbox::lasting).
#[derive(Debug, Clone)]
pub struct Sandbox {
    plan: Arc<Plan>,
    owner: Option<Account>,
    early: Vec<Told>,
    variables: Vec<(&'static str, &'static str)>,
    inputs: Arc<ReadAs>,
    stay: Option<Stay>,
    view: Arc<view::View>,
}

/// How what only root may read is read.
#[derive(Debug)]
struct ReadAs {
    /// What can't be read in any case.
    unreadable: Vec<PathBuf>,
    /// What can't be read where the mounts for it are missing.
    by_mounts: Vec<PathBuf>,
    /// Keeps the copies.
    _copies: Option<tempfile::TempDir>,
}

impl Sandbox {
    /// Makes one ready.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(wanted: &Wanted<'_>) -> Result<Self, std::ffi::NulError> {
        Self::with_purpose(wanted, Purpose::Build)
    }

    /// One for a program that asks servers: it shares our network, reaches no socket of this machine by a
    /// path or a name, and gets little memory and no files.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_download(wanted: &Wanted<'_>) -> Result<Self, std::ffi::NulError> {
        Self::with_purpose(wanted, Purpose::Download)
    }

    fn with_purpose(wanted: &Wanted<'_>, purpose: Purpose) -> Result<Self, std::ffi::NulError> {
        let mut early = Vec::new();
        let is_root = rustix::process::geteuid().is_root();
        let own = Account::of_builds(wanted.user);
        if is_root && own.is_none() {
            early.push(Told { wall: Wall::User, errno: Errno::NOENT.raw_os_error() });
        }
        let owner = own.map(|own| wanted.account.unwrap_or_else(|| own.in_private_group()));
        let mut view = view::View::of(wanted, own);
        let rules = rules::make(&view, purpose);
        let (sockets, bare_sockets) = match purpose {
            Purpose::Build => (calls::Sockets::Local, calls::Sockets::None),
            Purpose::Download => (calls::Sockets::Internet, calls::Sockets::Internet),
        };
        let rights = Rights {
            ids: owner.filter(|account| !account.uid.is_root()).map(|account| (account.uid, account.gid)),
            groups: own.map(|own| own.gid).into_iter().chain(building::groups_of(&wanted.devices)).collect(),
            limits: limits(purpose),
            rules,
            new_places: view.new_places()?,
            all_access: rules::all_access(),
            is_scoped: crate::sys::landlock_version() >= rules::WITH_SCOPES,
            filter: calls::filter(sockets),
            bare_filter: calls::filter(bare_sockets),
        };
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let folders = wanted.folders.iter().map(|(folder, seen)| Ok((text(folder)?, text(seen)?)));
        let folders = folders.collect::<Result<Vec<_>, std::ffi::NulError>>()?;
        let is_needed = wanted.folders.iter().any(|(folder, seen)| folder != seen);
        let (trees, acts) = view.scene()?;
        let unseen = view.unseen(&wanted.mentioned);
        let mut inputs = std::mem::take(&mut view.inputs);
        inputs.unreadable.extend(unseen);
        let by_mounts = inputs.found.iter().filter(|input| input.how != inputs::How::AsIs);
        let read_as = ReadAs {
            by_mounts: by_mounts.map(|input| input.path.clone()).collect(),
            unreadable: inputs.unreadable,
            _copies: inputs.copies,
        };
        let owners = inputs.owners;
        let (maps, deny_setgroups) = maps(is_root);
        let plan = Plan {
            strict: wanted.strict,
            maps,
            deny_setgroups,
            scene: Scene {
                trees,
                owners,
                folders,
                acts,
                is_needed,
                shares_network: purpose == Purpose::Download,
            },
            rights,
        };
        let mut variables = Vec::new();
        if wanted.environment.get("TMPDIR").is_some() {
            variables.push(("TMPDIR", "/tmp"));
        }
        if view.has_shared_ccache {
            // A user who could write it could write into the builds of others.
            variables.extend([("CCACHE_READONLY", "1"), ("CCACHE_TEMPDIR", "/tmp")]);
        }
        Ok(Self {
            plan: Arc::new(plan),
            owner,
            early,
            variables,
            inputs: Arc::new(read_as),
            stay: None,
            view: Arc::new(view),
        })
    }

    /// The same for processes that come one after the other and belong together, the commands of one build:
    /// each finds the temporary files of those before it, and what they wrote to the layer. Where the system
    /// gives them no mounts of their own, they share the system's temporary folders anyway.
    #[must_use]
    pub fn lasting(mut self) -> Self {
        // Without it each process has its own.
        self.stay = Lasting::new().ok().map(|scene| Stay { scene: Arc::new(scene), further: None });
        self
    }

    /// This one, with a further folder that can be written, and the path that it is seen under; `None` where
    /// no earlier process has left its mounts, or there is no such path in them.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn with(&self, folder: &Path, seen: &Path) -> Result<Option<Self>, std::ffi::NulError> {
        let is_possible = |stay: &&Stay| stay.scene.is_there() && self.view.is_visible(seen);
        let Some(stay) = self.stay.as_ref().filter(is_possible) else { return Ok(None) };
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        // No link is followed on the way to it.
        let Ok(seen) = super::fs::canonical(seen) else { return Ok(None) };
        let stay = Stay { scene: Arc::clone(&stay.scene), further: Some((text(folder)?, text(&seen)?)) };
        Ok(Some(Self { stay: Some(stay), ..self.clone() }))
    }

    /// Whose processes these are, if not ours: the folder must be theirs.
    #[must_use]
    pub fn owner(&self) -> Option<Account> {
        self.owner
    }

    /// Whether nothing runs in it if an isolation layer is missing.
    #[must_use]
    pub(super) fn is_strict(&self) -> bool {
        self.plan.strict
    }

    /// What its processes could not read although root can, after they lacked what is `missing`: files, and
    /// trees in which some may be.
    #[must_use]
    pub fn unreadable(&self, missing: &Missing) -> Vec<PathBuf> {
        let lacks = missing.0.iter().any(|told| matches!(told.wall, Wall::Files | Wall::Inputs));
        let by_mounts = self.inputs.by_mounts.iter().filter(|_| lacks);
        self.inputs.unreadable.iter().chain(by_mounts).cloned().collect()
    }

    /// The environment as it is in there.
    #[must_use]
    pub fn adapted(&self, mut environment: Environment) -> Environment {
        self.variables.iter().for_each(|(name, value)| environment.set(*name, *value));
        environment
    }

    /// A report for one process; strict ones are refused here already where an isolation layer is known to be
    /// missing.
    pub(super) fn report(&self) -> std::io::Result<Report> {
        let report = Report::new()?;
        for told in &self.early {
            report.missing(told.wall, Errno::from_raw_os_error(told.errno));
        }
        Ok(report)
    }

    /// Has the process of `command` stand in it, beginning in `dir`.
    pub(super) fn apply_to(&self, report: &Arc<Report>, dir: CString, command: &mut std::process::Command) {
        // In a scene that lasts no link is followed on the way there.
        let plain = || super::fs::canonical(Path::new(OsStr::from_bytes(dir.to_bytes()))).ok();
        let plain = self.stay.as_ref().and_then(|_| plain());
        let dir = plain.and_then(|dir| CString::new(dir.as_os_str().as_bytes()).ok()).unwrap_or(dir);
        Arc::clone(&self.plan).apply_to(Arc::clone(report), dir, self.stay.clone(), command);
    }
}

/// How much of what a process may have. It is more than any needs, and less than would stop the machine.
fn limits(purpose: Purpose) -> Vec<(Resource, u64)> {
    if purpose == Purpose::Download {
        return vec![
            (Resource::Nproc, 8),
            (Resource::Core, 0),
            (Resource::Nofile, 64),
            (Resource::As, 2 << 30),
            (Resource::Cpu, 600),
            // The last one: with it no report can be written any more.
            (Resource::Fsize, 0),
        ];
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    vec![(Resource::Nproc, (64 * cpus).max(512)), (Resource::Fsize, 16 << 30), (Resource::Core, 0)]
}

/// The id maps of a user namespace in which everyone is who they were: all that root has, or just ourselves.
pub(super) fn maps(is_root: bool) -> ([CString; 2], bool) {
    let same = |map: &IdMap, own: u32| {
        let text = if is_root { map.same() } else { format!("{own} {own} 1") };
        CString::new(text).unwrap_or_default()
    };
    let uids = same(&IdMap::of_users(), rustix::process::geteuid().as_raw());
    let gids = same(&IdMap::of_groups(), rustix::process::getegid().as_raw());
    ([uids, gids], !is_root)
}

#[cfg(test)]
mod tests;
