//! `dkms sign`

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use dkms_archive::SignedBy;
use dkms_base::exit::ExitCode;
use dkms_base::host::{clock, fs};
use dkms_base::id::{ModuleId, Target};
use dkms_kernel::KernelFacts;
use dkms_kernel::modfile::read_info;
use dkms_packaging::oci::layout::is_layout;
use dkms_signing::{Asked, BlobKey, PassphrasePlaces, SignedModule, Signer, certificate_pem, is_module_name};

use super::{layout, source};
use crate::failure::Failure;
use crate::render::{say, warn};
use crate::session::{Session, absolute};

/// Signs module files and bundles in place. Of module files all are signed, or none is changed.
pub(super) fn run(session: &Session<'_>) -> Result<(), Failure> {
    let paths = &session.invocation.paths;
    if paths.is_empty() {
        let failure = Failure::new(ExitCode::BAD_OPTION, "no file to sign is named");
        return Err(failure.hint(
            "dkms sign FILE.ko…, a tarball that `dkms mktarball` made, or an OCI layout of `dkms mkoci`",
        ));
    }
    let absent = |path: &&PathBuf| !fs::exists(path);
    if let Some(path) = paths.iter().find(absent) {
        return Err(Failure::new(ExitCode::BAD_OPTION, format!("`{}` does not exist", path.display())));
    }
    let signing = Signing::new(session);
    let (layouts, files): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(|path| is_layout(path));
    let (modules, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        files.into_iter().partition(|path| is_module_name(path));
    let odd = |path: &&&PathBuf| !fs::is_file(path) || is_special(path);
    if let Some(path) = others.iter().find(odd) {
        let text = format!("`{}` is neither a module file nor a tarball nor an OCI layout", path.display());
        return Err(Failure::new(ExitCode::BAD_OPTION, text));
    }
    if session.args().dry_run {
        paths.iter().for_each(|path| session.terminal.only_step(&format!("sign `{}`", path.display())));
        return Ok(());
    }
    signing.modules(&modules)?;
    others.into_iter().try_for_each(|path| signing.bundle(path))?;
    layouts.into_iter().try_for_each(|path| signing.layout(path))
}

fn is_special(path: &Path) -> bool {
    fs::stat(path).is_ok_and(|meta| meta.is_some_and(|meta| meta.file_type().is_block_device()))
}

/// The keys of a command.
struct Signing<'a> {
    session: &'a Session<'a>,
    asked: Asked,
}

impl<'a> Signing<'a> {
    fn new(session: &'a Session<'a>) -> Self {
        let args = session.args();
        let place = |path: &Option<PathBuf>| {
            let is_uri = |path: &Path| path.to_string_lossy().starts_with("pkcs11:");
            path.as_deref().map(|path| if is_uri(path) { path.to_owned() } else { absolute(path) })
        };
        Self { session, asked: Asked { key: place(&args.key), certificate: place(&args.certificate) } }
    }

    /// What signs the modules of a kernel.
    fn signer(&self, target: &Target, hash: Option<&str>) -> Result<Box<dyn Signer>, Failure> {
        let session = self.session;
        let facts = session.survey().kernel(target)?;
        let signer =
            self.asked.signer(hash, &session.settings, &facts, session.distribution, session.environment)?;
        signer.warnings().into_iter().for_each(|text| warn(session.terminal, text));
        Ok(signer)
    }

    fn stage(&self, path: &Path, signer: &dyn Signer) -> Result<SignedModule, Failure> {
        let session = self.session;
        let options = session.settings.compress_options();
        Ok(SignedModule::stage(path, signer, &options, session.environment)?)
    }

    fn modules(&self, paths: &[&PathBuf]) -> Result<(), Failure> {
        let mut staged = Vec::new();
        let mut known: Vec<(Target, Box<dyn Signer>)> = Vec::new();
        for path in paths {
            let target = self.target_of(path)?;
            if !known.iter().any(|(of, _)| *of == target) {
                known.push((target.clone(), self.signer(&target, None)?));
            }
            for (_, signer) in known.iter().filter(|(of, _)| *of == target) {
                staged.push(self.stage(path, signer.as_ref())?);
            }
        }
        for (module, path) in staged.into_iter().zip(paths) {
            module.publish()?;
            say(self.session.terminal, format!("Signed `{}`", path.display()));
        }
        Ok(())
    }

    /// The kernel that a module file was built for; `-k` before what it says.
    fn target_of(&self, path: &Path) -> Result<Target, Failure> {
        if let Some(target) = self.session.invocation.kernels.first().map(|_| self.session.targets()) {
            return target?
                .into_iter()
                .next()
                .ok_or_else(|| Failure::new(ExitCode::EMPTY_TARGET, "no kernel"));
        }
        let info =
            read_info(path).map_err(|error| Failure::new(ExitCode::USAGE_OR_RIGHTS, error.to_string()))?;
        let release =
            info.vermagic.as_deref().and_then(|text| text.split_whitespace().next()).unwrap_or_default();
        let arch = rustix::system::uname().machine().to_string_lossy().into_owned();
        Target::parse(release, &arch)
            .or_else(|_| {
                let running = dkms_kernel::running_kernel()?;
                Target::parse(running.as_str(), &arch)
            })
            .map_err(Failure::from)
    }

    /// Signs the images of an OCI layout.
    fn layout(&self, path: &Path) -> Result<(), Failure> {
        let session = self.session;
        let running = dkms_kernel::running_kernel()?;
        let any = Target::parse(running.as_str(), &rustix::system::uname().machine().to_string_lossy())?;
        let facts = session.survey().kernel(&any)?;
        let passphrases = PassphrasePlaces::of(&session.settings, &facts.target.kernel, session.environment);
        let key = BlobKey::load(&self.places(&facts).0, &passphrases)?;
        key.warnings().iter().for_each(|text| warn(session.terminal, text.clone()));
        layout::sign(session, path, &key)
    }

    /// Signs the modules of a bundle, where there is a certificate for them, and its manifest.
    fn bundle(&self, path: &Path) -> Result<(), Failure> {
        let session = self.session;
        let archive = source::stage(session, path)?;
        let running = dkms_kernel::running_kernel()?;
        let first = archive.staged.builds.first().map(|build| build.target.clone());
        let any = Target::parse(running.as_str(), &rustix::system::uname().machine().to_string_lossy())?;
        let facts = session.survey().kernel(&first.unwrap_or(any))?;
        let (key, certificate) = self.places(&facts);
        let passphrases = PassphrasePlaces::of(&session.settings, &facts.target.kernel, session.environment);
        let blob = BlobKey::load(&key, &passphrases)?;
        if certificate.is_some() {
            for build in &archive.staged.builds {
                let hash = archive.staged.about(&build.target).hash;
                let signer = self.signer(&build.target, hash.as_deref())?;
                for entry in fs::list(&build.dir.join("module"))? {
                    let module = build.dir.join("module").join(&entry.name);
                    if is_module_name(&module) && fs::is_file(&module) {
                        self.stage(&module, signer.as_ref())?.publish()?;
                    }
                }
            }
        } else {
            blob.warnings().iter().for_each(|text| warn(session.terminal, text.clone()));
            let text = format!(
                "the modules in `{}` are left as they are: the key `{}` has no certificate (`--certificate`)",
                path.display(),
                key.display()
            );
            warn(session.terminal, text);
        }
        let certificate = certificate.map(|path| certificate_pem(&path)).transpose()?;
        let id: &ModuleId = &archive.id;
        let key = blob.id().unwrap_or_default();
        let epoch = session.environment.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
        let when = epoch.unwrap_or_else(clock::unix_seconds);
        let signed = SignedBy { key: key.clone(), when };
        archive.staged.repack(id, certificate, signed, &|bytes| blob.sign_text(bytes))?;
        say(session.terminal, format!("Signed `{}`, key {key}", path.display()));
        Ok(())
    }

    fn places(&self, facts: &KernelFacts) -> (PathBuf, Option<PathBuf>) {
        let session = self.session;
        self.asked.places(&session.settings, facts, session.distribution, session.environment)
    }
}
