//! Whether modules of a kernel are signed, and by what. Makes the key pair where it is the first time.

use std::fmt;
use std::path::PathBuf;

use dkms_base::host::process::Process;
use dkms_base::host::{Environment, fs, programs};
use dkms_conf::Settings;
use dkms_conf::settings::TrySign;
use dkms_kernel::{Distribution, KernelFacts};

use super::keys::{self, Made};
use super::places::{self, Maker};
use super::skipped::Skipped;
use super::{KernelSignFile, KeyPlaces, ModuleHash, OwnSigner, PassphrasePlaces, SignError, Signer, chroot};

/// What is done with the modules of a kernel.
#[derive(Debug)]
pub enum Signing {
    /// They are signed.
    Signer(Box<dyn Signer>),
    /// They are not.
    Unsigned(Unsigned),
}

/// Why modules are not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsigned {
    /// The kernel was built without module signatures.
    KernelDoesNotSign,
    /// `try_sign_modules` says no.
    TurnedOff,
    /// We are in a chroot, where only a key that is named is used.
    InChroot,
    /// There is no key, and none is made in an image.
    NoKeyInImage {
        /// Where it would be.
        key: PathBuf,
        /// By what one sees that it is an image.
        image: String,
    },
    /// We can't, and the kernel's program, which may, is not there.
    NoProgram {
        /// Why we can't.
        why: String,
        /// Where the program was looked for.
        tried: Vec<PathBuf>,
    },
    /// Half of the pair is missing, the key can't be made or read, or it isn't the certificate's.
    Unusable {
        /// What is wrong.
        why: String,
        /// What to do about it, if that is plain.
        hint: Option<String>,
    },
    /// The key is encrypted, and this command has no passphrase for it.
    NoPassphrase {
        /// In words.
        why: String,
    },
    /// Ubuntu's program that makes the key is not there.
    NoSecureBootPolicy {
        /// The key.
        key: PathBuf,
    },
    /// The certificate of a key that we can't see (a token's) is not there.
    NoCertificate {
        /// Where it should be.
        certificate: PathBuf,
    },
}

impl Unsigned {
    /// Whether a warning is due: modules could have been signed, were not meant to
    /// stay unsigned, but will.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::KernelDoesNotSign | Self::TurnedOff | Self::InChroot => false,
            Self::NoProgram { .. }
            | Self::NoKeyInImage { .. }
            | Self::Unusable { .. }
            | Self::NoPassphrase { .. }
            | Self::NoSecureBootPolicy { .. }
            | Self::NoCertificate { .. } => true,
        }
    }
}

impl Unsigned {
    /// What to do about it, if that is plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unusable { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelDoesNotSign => f.write_str("the kernel has no module signatures"),
            Self::TurnedOff => f.write_str("`try_sign_modules` is `false`"),
            Self::InChroot => f.write_str("this is a chroot, and `try_sign_modules` is not `true`"),
            Self::NoKeyInImage { key, image } => write!(
                f,
                "the signing key `{}` does not exist, and no key is made in an image ({image}); name a key with \
                 `mok_signing_key` in framework.conf, or make one with `dkms generate_mok`",
                key.display()
            ),
            Self::NoProgram { why, tried } => {
                let tried: Vec<String> = tried.iter().map(|path| format!("`{}`", path.display())).collect();
                write!(
                    f,
                    "{why}; the kernel's program may, but is not there (looked for {})",
                    tried.join(", ")
                )
            }
            Self::Unusable { why, .. } | Self::NoPassphrase { why } => f.write_str(why),
            Self::NoSecureBootPolicy { key } => {
                write!(
                    f,
                    "`{}` is missing, and so is `update-secureboot-policy`, which makes it",
                    key.display()
                )
            }
            Self::NoCertificate { certificate } => {
                write!(f, "the certificate `{}` is missing", certificate.display())
            }
        }
    }
}

/// Decides for a kernel. Where modules are to be signed and there is no key pair yet, it is made.
///
/// We sign ourselves wherever we can: the result is the kernel's program's (RSA), or as good and the same
/// each time (ECDSA), without a process for each module. The program signs where `sign_file` names it, and
/// with what we don't know: tokens, other kinds of keys and digests.
///
/// Nothing that is wrong with keys or programs keeps a module from being built: it stays unsigned, and the
/// reason is a warning.
#[must_use]
pub fn choose(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> Signing {
    let pair = |places: &KeyPlaces| pair(places, environment, making(settings, environment));
    decide(settings, facts, distribution, environment, pair).unwrap_or_else(Signing::Unsigned)
}

/// What keeps modules of a kernel from being signed, as far as a look that makes nothing
/// can see it. For doctor.
#[must_use]
pub fn fault(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> Option<Unsigned> {
    let pair = |places: &KeyPlaces| match keys::is_half(&places.key, &places.certificate) {
        _ if places.is_token() => pair(places, environment, Making::Allowed),
        Some(error) => Err(error),
        None if fs::exists(&places.key) => Ok(Pair::Ready(Made::Before)),
        // It will be made, or there is nothing to report about an image.
        None => Ok(Pair::Unavailable(Unsigned::TurnedOff)),
    };
    let signing = decide(settings, facts, distribution, environment, pair).unwrap_or_else(Signing::Unsigned);
    match signing {
        // The passphrase may be given to the commands that sign.
        Signing::Unsigned(Unsigned::NoPassphrase { .. }) => None,
        Signing::Unsigned(reason) if reason.is_warning() => Some(reason),
        Signing::Unsigned(_) | Signing::Signer(_) => None,
    }
}

fn decide(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
    pair: impl FnOnce(&KeyPlaces) -> Result<Pair, SignError>,
) -> Result<Signing, Unsigned> {
    let is_there = || {
        let places = KeyPlaces::of(settings, facts, distribution, environment);
        KeyPlaces::is_named(settings) && (places.is_token() || fs::exists(&places.key))
    };
    let hash = wanted(settings, facts, || chroot::in_chroot(environment) && !is_there());
    let hash = hash.map_err(|reason| match (reason, chroot::image(&settings.layout, environment)) {
        (Unsigned::InChroot, Some(image)) => {
            let places = KeyPlaces::of(settings, facts, distribution, environment);
            if fs::exists(&places.key) {
                Unsigned::InChroot
            } else {
                Unsigned::NoKeyInImage { key: places.key, image }
            }
        }
        (reason, _) => reason,
    });
    let hash = hash?.to_owned();
    let tried = places::programs(settings, facts, distribution);
    let (program, skipped) = Skipped::among(&tried);
    let without_program = |why: &SignError| {
        Err(skipped.reason(why).unwrap_or_else(|| Unsigned::NoProgram { why: why.to_string(), tried }))
    };
    if program.is_none() && ModuleHash::parse(&hash).is_none() {
        // No key should be made for this.
        return without_program(&SignError::Hash { hash });
    }
    let places = KeyPlaces::of(settings, facts, distribution, environment);
    match pair(&places)? {
        Pair::Ready(_) => {}
        Pair::Unavailable(reason) => return Err(reason),
    }
    let passphrases = PassphrasePlaces::of(settings, &facts.target.kernel, environment);
    let by_program = |program| {
        let signer = KernelSignFile {
            program,
            hash: hash.clone(),
            places: places.clone(),
            environment: passphrases.for_program()?,
        };
        Ok(Box::new(signer) as Box<dyn Signer>)
    };
    let is_named = settings.sign_file.as_deref().is_some_and(|named| !named.is_empty());
    let signer = match program {
        Some(program) if is_named => by_program(program),
        program => match (OwnSigner::load(&places, &hash, &passphrases), program) {
            (Err(error), Some(program)) if error.is_beyond_us() => {
                by_program(program).map(|signer| skipped.told_by(signer))
            }
            (Err(error), None) if error.is_beyond_us() => return without_program(&error),
            (own, _) => own
                .map(|own| Box::new(own.for_kernel(&facts.target.kernel, &facts.config)) as Box<dyn Signer>)
                .map(|own| if is_named { skipped.told_by(own) } else { own }),
        },
    };
    Ok(Signing::Signer(signer?))
}

impl From<SignError> for Unsigned {
    fn from(error: SignError) -> Self {
        match error {
            SignError::NoPassphrase { .. } => Self::NoPassphrase { why: error.to_string() },
            _ => Self::Unusable { why: error.to_string(), hint: error.hint() },
        }
    }
}

/// The kernel's hash where modules are to be signed at all.
pub(super) fn wanted<'a>(
    settings: &Settings,
    facts: &'a KernelFacts,
    in_chroot: impl FnOnce() -> bool,
) -> Result<&'a str, Unsigned> {
    let hash = facts.config.get("CONFIG_MODULE_SIG_HASH").filter(|hash| !hash.is_empty());
    let hash = hash.ok_or(Unsigned::KernelDoesNotSign)?;
    match settings.try_sign_modules {
        TrySign::Never => Err(Unsigned::TurnedOff),
        TrySign::NotInChroot if in_chroot() => Err(Unsigned::InChroot),
        TrySign::NotInChroot | TrySign::Always => Ok(hash),
    }
}

/// What `generate_mok` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The pair.
    pub places: KeyPlaces,
    /// Whether it was there before.
    pub made: Made,
    /// Why everyone who gets this system gets the key with it: it is an image.
    pub image: Option<String>,
}

/// Makes the key pair for `generate_mok`, unless it is there.
///
/// # Errors
/// [`SignError`] where the pair is incomplete or can't be made.
pub fn generate_mok(
    settings: &Settings,
    facts: &KernelFacts,
    distribution: &Distribution,
    environment: &Environment,
) -> Result<Generated, SignError> {
    let places = KeyPlaces::of(settings, facts, distribution, environment);
    match pair(&places, environment, Making::Allowed)? {
        Pair::Ready(made) => {
            Ok(Generated { places, made, image: chroot::image(&settings.layout, environment) })
        }
        Pair::Unavailable(reason) => Err(SignError::Making { key: places.key, why: reason.to_string() }),
    }
}

enum Pair {
    Ready(Made),
    Unavailable(Unsigned),
}

/// Whether a pair that isn't there may be made.
pub(super) enum Making {
    Allowed,
    /// It may not: this is an image.
    NotIn(String),
}

/// With the default settings no key is made in an image.
pub(super) fn making(settings: &Settings, environment: &Environment) -> Making {
    match settings.try_sign_modules {
        TrySign::Always => Making::Allowed,
        TrySign::Never | TrySign::NotInChroot => {
            chroot::image(&settings.layout, environment).map_or(Making::Allowed, Making::NotIn)
        }
    }
}

/// Makes sure that a pair is there, by whichever program makes it.
fn pair(places: &KeyPlaces, environment: &Environment, making: Making) -> Result<Pair, SignError> {
    let (key, certificate) = (&places.key, &places.certificate);
    if places.is_token() {
        if fs::is_file(certificate) {
            return Ok(Pair::Ready(Made::Before));
        }
        return Ok(Pair::Unavailable(Unsigned::NoCertificate { certificate: certificate.clone() }));
    }
    if keys::is_complete(key, certificate)? {
        return Ok(Pair::Ready(Made::Before));
    }
    if let Making::NotIn(image) = making {
        return Ok(Pair::Unavailable(Unsigned::NoKeyInImage { key: key.clone(), image }));
    }
    match places.maker {
        Maker::Ourselves if key == certificate => Err(SignError::Making {
            key: key.clone(),
            why:
                "the settings name one file for key and certificate, but only separate files can be generated"
                    .to_owned(),
        }),
        Maker::Ourselves => Ok(Pair::Ready(keys::ensure(key, certificate)?)),
        Maker::SecureBootPolicy => by_secure_boot_policy(places, environment),
        Maker::Nobody => Ok(Pair::Unavailable(Unsigned::NoCertificate { certificate: certificate.clone() })),
    }
}

/// Ubuntu's program makes the pair, then has it enrolled, which asks a question where a user can answer it.
fn by_secure_boot_policy(places: &KeyPlaces, environment: &Environment) -> Result<Pair, SignError> {
    const PROGRAM: &str = "update-secureboot-policy";
    if programs::find(PROGRAM, environment).is_none() {
        return Ok(Pair::Unavailable(Unsigned::NoSecureBootPolicy { key: places.key.clone() }));
    }
    // Without this it would activate its package's trigger, which asks too.
    let process = Process::new(PROGRAM, ["--new-key"], environment).env("SHIM_NOTRIGGER", "y");
    let ended = process.capture()?;
    if !keys::is_complete(&places.key, &places.certificate)? {
        let (line, output) = (process.line(), ended.text().trim().to_owned());
        return Err(SignError::Program { line, code: ended.code(), output });
    }
    // Whether the key is enrolled shows later, and is reported at the end of each command;
    // signing needs only the key.
    drop(Process::new(PROGRAM, ["--enroll-key"], environment).capture()?);
    Ok(Pair::Ready(Made::Now))
}

#[cfg(test)]
mod tests;
