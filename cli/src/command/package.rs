//! What the package makers work on: a module of the tree, or a source folder, which they are called in or
//! which is named, and then nothing is written to the tree.

use std::path::{Path, PathBuf};

use dkms_base::exit::ExitCode;
use dkms_base::host::fs;
use dkms_base::id::{ModuleId, Target};
use dkms_conf::ModuleConf;
use dkms_core::plan::Refusal;
use dkms_packaging::debian::Module;
use dkms_packaging::demands::Demands;

use super::{left_out, source};
use crate::failure::Failure;
use crate::invocation::SourceWord;
use crate::render::say;
use crate::session::{Session, absolute};

/// What a package is made of.
pub(super) struct Subject {
    pub(super) id: ModuleId,
    source: PathBuf,
    /// Where results go.
    folder: PathBuf,
    is_outside: bool,
    maintainer: Option<String>,
}

impl Subject {
    /// Finds it; results without a name of their own go to `folder` of the module in the tree, or beside the
    /// source folder, where dpkg-buildpackage puts them too.
    pub(super) fn find(session: &Session<'_>, folder: &str) -> Result<Self, Failure> {
        session.staging_folder()?;
        let maintainer = maintainer(session);
        let invocation = session.invocation;
        let outside = match &invocation.source {
            Some(SourceWord::Folder(folder)) => Some(folder.as_path()),
            Some(SourceWord::Archive(file) | SourceWord::Rpm(file)) => {
                return Err(Failure::new(
                    ExitCode::BAD_OPTION,
                    format!("`{}` is no source folder", file.display()),
                )
                .hint(format!("unpack it, then `dkms {} FOLDER`", invocation.action.name())));
            }
            None if invocation.name.is_none() && fs::is_file(Path::new("dkms.conf")) => Some(Path::new(".")),
            None => None,
        };
        if let Some(outside) = outside {
            let (id, source) = source::identify_folder(session, outside, ExitCode::INVALID_CONF)?;
            let folder = source.parent().unwrap_or(Path::new("/")).to_owned();
            return Ok(Self { id, source, folder, is_outside: true, maintainer });
        }
        let id = invocation.module()?;
        let snapshot = session.snapshot()?;
        match snapshot.get(&id) {
            None => return Err(Refusal::NotInTree { id }.into()),
            Some(found) if found.is_broken() => return Err(Refusal::broken(&id, found).into()),
            Some(_) => {}
        }
        let layout = &session.settings.layout;
        let source = fs::canonical(&layout.source_link(&id))?;
        let folder = layout.version_dir(&id).join(folder);
        Ok(Self { id, source, folder, is_outside: false, maintainer })
    }

    /// Whether it is a source folder, whatever is added to the tree.
    pub(super) fn is_outside(&self) -> bool {
        self.is_outside
    }

    /// Warns of what is in the source and can't be packed.
    pub(super) fn warn_of_left_out(&self, session: &Session<'_>) {
        left_out::warn(&self.source, "packed", session.terminal);
    }

    /// As the makers want it.
    pub(super) fn module<'a>(&'a self, session: &'a Session<'_>) -> Module<'a> {
        Module {
            id: &self.id,
            source: self.source.clone(),
            layout: &session.settings.layout,
            folder: self.folder.clone(),
            file: session.args().archive.as_deref(),
            source_date: session.environment.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()),
            maintainer: self.maintainer.clone(),
            temporary: &session.settings.tmp_location,
        }
    }

    /// What its dkms.conf demands of packages of built modules.
    pub(super) fn demands(&self, session: &Session<'_>, target: &Target) -> Result<Demands, Failure> {
        let named = session.args().conf.as_deref().map(absolute);
        let file = named.unwrap_or_else(|| self.source.join("dkms.conf"));
        let conf = session.survey().conf_in(&self.id, &file, target)?;
        let conf = conf.map_err(|fault| Refusal::of_conf(&self.id, &fault))?;
        let ModuleConf { build_depends, remake_initrd, modules_conf, .. } = conf;
        Ok(Demands { build_depends, remake_initrd, modules_conf })
    }

    /// The kernels that `-k` or `--all` name; none without them.
    pub(super) fn named_targets(&self, session: &Session<'_>) -> Result<Vec<Target>, Failure> {
        if session.args().all {
            return Ok(session.snapshot()?.targets(&self.id));
        }
        if session.invocation.kernels.is_empty() {
            return Ok(Vec::new());
        }
        let mut targets = self.default_targets(session)?;
        targets.sort();
        targets.dedup();
        Ok(targets)
    }

    /// The kernels whose modules are packed where neither `-k` nor `--all` names any.
    pub(super) fn default_targets(&self, session: &Session<'_>) -> Result<Vec<Target>, Failure> {
        session.targets_of(&self.id, &session.snapshot()?)
    }

    /// The same, and without them the kernel that runs, if this system has it; one at least.
    pub(super) fn targets(&self, session: &Session<'_>) -> Result<Vec<Target>, Failure> {
        let mut targets = self.named_targets(session)?;
        if targets.is_empty() && !session.args().all {
            targets = self.default_targets(session)?;
        }
        self.one_at_least(targets)
    }

    /// These kernels, unless there are none.
    pub(super) fn one_at_least(&self, targets: Vec<Target>) -> Result<Vec<Target>, Failure> {
        if targets.is_empty() {
            let id = &self.id;
            let failure = Failure::new(ExitCode::CANNOT_INSTALL, format!("{id} is not built for any kernel"));
            return Err(failure.hint(format!("build it first: `dkms build {id} -k KERNEL`")));
        }
        Ok(targets)
    }
}

/// The flavour of `--meta`, and the one kernel that its package lets in.
pub(super) fn gate<'a>(
    session: &'a Session<'_>,
    targets: &'a [Target],
) -> Result<Option<(&'a str, &'a Target)>, Failure> {
    let Some(flavour) = session.args().meta.as_deref() else { return Ok(None) };
    match targets {
        [target] => Ok(Some((flavour, target))),
        _ => Err(Failure::new(
            ExitCode::BAD_OPTION,
            format!("the package of `--meta {flavour}` is for one kernel, and {} are named", targets.len()),
        )
        .hint("name the newest with `-k`")),
    }
}

/// The packager's name and address, from the variables of Debian's tools.
fn maintainer(session: &Session<'_>) -> Option<String> {
    let variable = |name| session.environment.get_filled(name);
    let address = variable("DEBEMAIL").or_else(|| variable("EMAIL"))?;
    if address.contains('<') {
        return Some(address.to_owned());
    }
    Some(format!("{} <{address}>", variable("DEBFULLNAME").or_else(|| variable("NAME"))?))
}

/// With `--dry-run`: says what would be written, and that this is all.
pub(super) fn only_said(session: &Session<'_>, path: &Path) -> bool {
    if session.args().dry_run {
        session.terminal.only_step(&format!("write `{}`", path.display()));
    }
    session.args().dry_run
}

/// Says what was written.
pub(super) fn wrote(session: &Session<'_>, path: &Path) {
    say(session.terminal, format!("Wrote `{}`", path.display()));
}
