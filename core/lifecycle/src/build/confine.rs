//! The sandbox of a build: which it is, and what the log says of it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::{BuildSpec, asked};
use crate::conf::confined::{self, Exemption};
use crate::conf::kernel_inputs::KernelInputs;
use crate::conf::keys;
use crate::conf::notices;
use crate::conf::settings::SandboxMode;
use crate::host::fs::FsError;
use crate::host::sandbox::{Account, Missing, Sandbox, Wanted};
use crate::host::{Environment, fs, sandbox};
use crate::report::Event;

/// How a build's commands are confined.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    walls: Option<Walls>,
    /// What the log has still to say.
    note: Option<String>,
    is_told: bool,
    /// What it turned out that a command could not read.
    unread: Vec<PathBuf>,
}

/// What all sandboxes of a build have in common.
#[derive(Debug)]
struct Walls {
    strict: bool,
    user: String,
    account: Option<Account>,
    /// The module's source, to which some write as root could.
    source: Option<PathBuf>,
    shown: Vec<PathBuf>,
    inputs: Vec<PathBuf>,
    asked: Vec<PathBuf>,
    secret: Vec<PathBuf>,
    environment: Environment,
    /// The one of all commands.
    main: OnceCell<Sandbox>,
}

impl Confinement {
    /// The one for a build.
    pub(super) fn of(spec: &BuildSpec<'_>, environment: &Environment) -> Self {
        let settings = spec.settings;
        let note = match exemption(spec) {
            Exemption::None => None,
            Exemption::Overruled { setting, fault } => {
                Some(format!("in a sandbox anyway ({setting}): {fault}"))
            }
            Exemption::Holds(setting) => {
                return Self { note: Some(format!("not in a sandbox: {setting}")), ..Self::default() };
            }
        };
        let seen = spec.layout.build_dir(spec.id);
        let headers = &spec.kernel.headers;
        let shown = confined::shown(spec.layout);
        let kernel = KernelInputs::of(spec.layout, headers, &spec.target.kernel);
        let mut inputs = kernel.paths;
        inputs.push(spec.layout.source_link(spec.id));
        let mut secret = keys::hidden(settings, spec.environment);
        secret.extend(kernel.keys);
        let source = fs::canonical(&spec.layout.source_link(spec.id)).ok();
        let source = source.filter(|source| !seen.starts_with(source) && !spec.private.starts_with(source));
        let walls = Walls {
            strict: settings.sandbox == SandboxMode::Strict,
            user: settings.build_user.clone(),
            account: Account::of_builds(&settings.build_user).map(Account::in_private_group),
            source,
            shown,
            inputs,
            asked: asked::paths(spec),
            secret,
            environment: environment.clone(),
            main: OnceCell::new(),
        };
        Self { walls: Some(walls), note, ..Self::default() }
    }

    /// Whose the processes of the build are, if not ours.
    pub(super) fn account(&self) -> Option<Account> {
        self.walls.as_ref().and_then(|walls| walls.account)
    }

    /// Whether there is a sandbox at all.
    pub(super) fn is_confining(&self) -> bool {
        self.walls.is_some()
    }

    /// Whether nothing runs where an isolation layer is missing.
    pub(super) fn is_strict(&self) -> bool {
        self.walls.as_ref().is_some_and(|walls| walls.strict)
    }

    /// The sandbox of a command that may write to these folders, which it sees under the second path of each,
    /// and to `further`; `None`: it is not confined. All commands of a build find what those before it have
    /// written, in temporary folders and over the source.
    pub(super) fn sandbox(
        &self,
        folders: &[(PathBuf, PathBuf)],
        further: Option<&(PathBuf, PathBuf)>,
    ) -> Result<Option<Sandbox>, FsError> {
        let Some(walls) = &self.walls else { return Ok(None) };
        let main = match walls.main.get() {
            Some(main) => main,
            None => {
                let main = walls.around(folders, true)?.lasting();
                walls.main.get_or_init(|| main)
            }
        };
        let Some(further) = further else { return Ok(Some(main.clone())) };
        if let Some(with) = main.with(&further.0, &further.1).map_err(|_| unshowable(&further.0))? {
            return Ok(Some(with));
        }
        let folders: Vec<_> = folders.iter().chain([further]).cloned().collect();
        walls.around(&folders, true).map(Some)
    }

    /// The same for a program of the system, which has nothing to do with the source.
    pub(super) fn of_tool(&self, folders: &[(PathBuf, PathBuf)]) -> Result<Option<Sandbox>, FsError> {
        self.walls.as_ref().map(|walls| walls.around(folders, false)).transpose()
    }

    /// Whether there is a sandbox.
    pub(super) fn holds(&self) -> bool {
        self.walls.is_some()
    }

    /// What the log is to say once, now that it is known what a command's sandbox lacked.
    pub(super) fn note(&mut self, missing: &Missing) -> Option<String> {
        if !missing.is_empty() && !self.is_told {
            self.is_told = true;
            return Some(format!("the sandbox is degraded, this system gives it {missing}"));
        }
        self.note.take()
    }

    /// Looks, now that it is known what a command's sandbox lacked, whether it could not read what root can;
    /// what the log is to say of it, once a build.
    pub(super) fn look_for_unread(&mut self, spec: &BuildSpec<'_>, missing: &Missing) -> Option<String> {
        let main =
            self.walls.as_ref().and_then(|walls| walls.main.get()).filter(|_| self.unread.is_empty())?;
        self.unread = main.unreadable(missing);
        self.text_of_unread(spec)
    }

    /// What its commands could not read although root can, as far as they have run.
    pub(super) fn unread(&self) -> &[PathBuf] {
        &self.unread
    }

    /// The warning for that.
    pub(super) fn warning(&self, spec: &BuildSpec<'_>) -> Option<Event> {
        let text = self.text_of_unread(spec)?;
        let hint = match self.unread.iter().all(|path| sandbox::hides(path)) {
            true => "copy it into the source, or name the module in `sandbox_exempt` in framework.conf",
            false => notices::UNREAD_HINT,
        };
        Some(Event::warning(text, [hint.to_owned()]))
    }

    fn text_of_unread(&self, spec: &BuildSpec<'_>) -> Option<String> {
        let named = notices::listed(&self.unread)?;
        Some(format!("{} is built without {named}, which root can read and the build cannot", spec.id))
    }
}

impl Walls {
    /// A sandbox with the module's source and what its build reads, or one without.
    fn around(&self, folders: &[(PathBuf, PathBuf)], has_inputs: bool) -> Result<Sandbox, FsError> {
        let wanted = Wanted {
            strict: self.strict,
            account: self.account,
            folders: folders.iter().map(|(folder, seen)| (folder.as_path(), seen.as_path())).collect(),
            layer: self.source.as_deref().filter(|_| has_inputs),
            shown: self.shown.clone(),
            inputs: if has_inputs { self.inputs.clone() } else { Vec::new() },
            mentioned: if has_inputs { self.asked.clone() } else { Vec::new() },
            secret: self.secret.clone(),
            ..Wanted::bare(&self.user, &self.environment)
        };
        Sandbox::new(&wanted)
            .map_err(|_| unshowable(&folders.first().map(|(folder, _)| folder.clone()).unwrap_or_default()))
    }
}

/// A path that has a NUL byte.
fn unshowable(path: &Path) -> FsError {
    FsError { verb: "show", path: path.to_owned(), source: std::io::ErrorKind::InvalidFilename.into() }
}

/// Whether a setting exempts this module from the sandbox.
pub(super) fn exemption(spec: &BuildSpec<'_>) -> Exemption {
    Exemption::of(spec.settings, Some(&spec.id.name), &spec.layout.source_link(spec.id).join("dkms.conf"))
}
