//! The sandbox of a build: which it is, that the folder is its own for as long, and what the log says of it.

use super::{BuildSpec, Failure};
use crate::conf::kernel_inputs::KernelInputs;
use crate::conf::notices;
use crate::conf::settings::SandboxMode;
use crate::conf::{confined, keys};
use crate::host::fs::FsError;
use crate::host::ownership::{self, Before};
use crate::host::sandbox::{Missing, Sandbox, Wanted};
use crate::host::{Environment, fs};
use crate::report::{Event, Reporter};

/// How a build's commands are confined.
#[derive(Debug, Default)]
pub(super) struct Confinement {
    sandbox: Option<Sandbox>,
    /// What the folder was before it was given to the build user.
    before: Option<Before>,
    /// What the log has still to say.
    note: Option<String>,
    is_told: bool,
    has_warned: bool,
}

impl Confinement {
    /// The one for a build, whose folder is filled.
    pub(super) fn of(spec: &BuildSpec<'_>, environment: &Environment) -> Result<Self, Failure> {
        let settings = spec.settings;
        let note = if settings.sandbox == SandboxMode::Off {
            "not in a sandbox: `sandbox=off` in framework.conf".to_owned()
        } else if !settings.confines(&spec.id.name) {
            format!("not in a sandbox: `sandbox_exempt` in framework.conf names {}", spec.id.name)
        } else {
            let seen = spec.layout.build_dir(spec.id);
            let headers = &spec.kernel.headers;
            let shown = confined::shown(spec.layout);
            let kernel = KernelInputs::of(spec.layout, headers, &spec.target.kernel);
            let mut inputs = kernel.paths;
            inputs.push(spec.layout.source_link(spec.id));
            let mut secret = keys::hidden(settings, spec.environment);
            secret.extend(kernel.keys);
            // Some write to their source, as root could.
            let source = fs::canonical(&spec.layout.source_link(spec.id)).ok();
            let source =
                source.filter(|source| !seen.starts_with(source) && !spec.folder.starts_with(source));
            let wanted = Wanted {
                strict: settings.sandbox == SandboxMode::Strict,
                user: &settings.build_user,
                folder: Some((spec.folder, &seen)),
                layer: source.as_deref(),
                shown,
                inputs,
                secret,
                environment,
            };
            let sandbox = Sandbox::new(&wanted).map_err(|_| FsError {
                verb: "show",
                path: spec.folder.to_owned(),
                source: std::io::ErrorKind::InvalidFilename.into(),
            })?;
            return Ok(Self { sandbox: Some(sandbox), ..Self::default() });
        };
        Ok(Self { note: Some(note), ..Self::default() })
    }

    /// The sandbox, with the folder given to whoever works in it.
    pub(super) fn enter(&mut self, spec: &BuildSpec<'_>) -> Result<Option<Sandbox>, Failure> {
        if let (Some(sandbox), None) = (&self.sandbox, &self.before)
            && let Some(owner) = sandbox.owner()
        {
            self.before = Some(ownership::give_away(spec.folder, owner)?);
        }
        Ok(self.sandbox.clone())
    }

    /// What has changed hands since is theirs too, before the next command.
    pub(super) fn share(&mut self, spec: &BuildSpec<'_>) -> Result<(), Failure> {
        if let (Some(sandbox), Some(_)) = (&self.sandbox, &self.before)
            && let Some(owner) = sandbox.owner()
        {
            ownership::give_away(spec.folder, owner)?;
        }
        Ok(())
    }

    /// What the log is to say once, now that it is known what a command's sandbox lacked.
    pub(super) fn note(&mut self, missing: &Missing) -> Option<String> {
        if !missing.is_empty() && !self.is_told {
            self.is_told = true;
            return Some(format!("the sandbox is degraded, this system gives it {missing}"));
        }
        self.note.take()
    }

    /// What a command could not read that root could, now that it is known what its sandbox lacked; once a build.
    pub(super) fn warning(&mut self, spec: &BuildSpec<'_>, missing: &Missing) -> Option<Event> {
        let unreadable = self.sandbox.as_ref().filter(|_| !self.has_warned)?.unreadable(missing);
        let named = notices::listed(&unreadable)?;
        self.has_warned = true;
        let text = format!("{} is built without {named}, which only root may read", spec.id);
        Some(Event::warning(text, [notices::UNREAD_HINT.to_owned()]))
    }

    /// The folder is ours again, as a build without a sandbox leaves it.
    pub(super) fn leave(&mut self, spec: &BuildSpec<'_>, reporter: &dyn Reporter) {
        let owner = self.sandbox.as_ref().and_then(Sandbox::owner);
        if let (Some(before), Some(owner)) = (self.before.take(), owner)
            && fs::is_dir(spec.folder)
            && let Err(error) = ownership::take_back(spec.folder, owner, &before)
        {
            reporter.report(Event::warning(format!("{}: {error}", spec.id), []));
        }
    }
}
