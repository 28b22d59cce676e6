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
    /// Whether somebody should be told: modules could have been signed, were not meant to
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
        // It will be made, or there is nothing to be said of an image.
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
    /// Why whoever gets this system gets the key with it: it is an image.
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
enum Making {
    Allowed,
    /// It may not: this is an image.
    NotIn(String),
}

/// With the default settings no key is made in an image.
fn making(settings: &Settings, environment: &Environment) -> Making {
    match settings.try_sign_modules {
        TrySign::Always => Making::Allowed,
        TrySign::Never | TrySign::NotInChroot => {
            chroot::image(&settings.layout, environment).map_or(Making::Allowed, Making::NotIn)
        }
    }
}

/// Makes sure that a pair is there, made by whoever makes it.
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

/// Ubuntu's program makes the pair, then has it enrolled, which asks a question where somebody can answer it.
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
    // Whether the key is enrolled shows later, and is said at the end of each command;
    // signing needs only the key.
    drop(Process::new(PROGRAM, ["--enroll-key"], environment).capture()?);
    Ok(Pair::Ready(Made::Now))
}

#[cfg(test)]
mod tests {
    use super::super::certificate;
    use super::super::testing::{Keys, P_256};
    use super::*;
    use dkms_base::id::Target;
    use dkms_base::layout::Layout;
    use dkms_kernel::Overrides;

    struct World {
        _dir: tempfile::TempDir,
        settings: Settings,
        environment: Environment,
    }

    const BUILD: &str = "/lib/modules/6.1.0-56-amd64/build";

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::under(dir.path());
            let bin = layout.at("/usr/bin").to_str().unwrap().to_owned();
            let settings = Settings { try_sign_modules: TrySign::Always, ..Settings::defaults(layout) };
            let world =
                Self { _dir: dir, settings, environment: [("PATH", bin + ":/bin")].into_iter().collect() };
            world.write(&format!("{BUILD}/.config"), "CONFIG_MODULE_SIG_HASH=\"sha512\"\n", 0o644);
            world
        }

        fn write(&self, path: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.settings.layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), mode).unwrap();
            path
        }

        fn facts(&self) -> KernelFacts {
            let target = Target::parse("6.1.0-56-amd64", "x86_64").unwrap();
            let overrides = Overrides::default();
            KernelFacts::look(&target, &self.settings.layout, &overrides).unwrap()
        }

        fn choose(&self, id: &str) -> Signing {
            let distribution = Distribution::parse(&format!("ID={id}"));
            choose(&self.settings, &self.facts(), &distribution, &self.environment)
        }

        fn fault(&self) -> Option<Unsigned> {
            fault(&self.settings, &self.facts(), &Distribution::parse("ID=debian"), &self.environment)
        }

        /// What signs.
        fn signer(&self, id: &str) -> String {
            match self.choose(id) {
                Signing::Signer(signer) => signer.describe(),
                Signing::Unsigned(reason) => panic!("it would not sign: {reason}"),
            }
        }

        fn unsigned(&self, id: &str) -> Unsigned {
            match self.choose(id) {
                Signing::Unsigned(reason) => reason,
                Signing::Signer(signer) => panic!("it would sign: {}", signer.describe()),
            }
        }
    }

    #[test]
    fn a_kernel_without_signatures_and_the_setting_say_no() {
        let mut world = World::new();
        world.settings.try_sign_modules = TrySign::Never;
        assert_eq!(world.unsigned("debian"), Unsigned::TurnedOff);
        let facts = world.facts();
        world.settings.try_sign_modules = TrySign::NotInChroot;
        assert_eq!(wanted(&world.settings, &facts, || true), Err(Unsigned::InChroot));
        assert_eq!(wanted(&world.settings, &facts, || false), Ok("sha512"));
        world.write(&format!("{BUILD}/.config"), "CONFIG_X=y\n", 0o644);
        assert_eq!(world.unsigned("debian"), Unsigned::KernelDoesNotSign);
    }

    #[test]
    fn without_a_program_we_sign_ourselves_what_we_can() {
        let mut world = World::new();
        world.write(&format!("{BUILD}/.config"), "CONFIG_MODULE_SIG_HASH=\"sha3-512\"\n", 0o644);
        let reason = world.unsigned("debian");
        let text = reason.to_string();
        assert!(
            reason.is_warning() && text.contains("linux-kbuild-6.1") && text.contains("`sha3-512`"),
            "{text}"
        );
        assert!(!fs::exists(&world.settings.layout.at("/var/lib/dkms")), "a key for nothing");
        world.write(&format!("{BUILD}/.config"), "CONFIG_MODULE_SIG_HASH=\"sha512\"\n", 0o644);
        assert!(world.signer("debian").starts_with("dkms itself with sha512"));
        world.settings.sign_file = Some("/opt/absent".into());
        assert!(world.signer("debian").starts_with("dkms itself"));
        world.settings.mok_signing_key = Some("pkcs11:object=x".into());
        let text = world.unsigned("debian").to_string();
        assert!(text.contains("token") && text.contains("/opt/absent"), "{text}");
    }

    #[test]
    fn the_program_signs_where_it_is_named_or_knows_more() {
        let mut world = World::new();
        world.write(&format!("{BUILD}/scripts/sign-file"), "#!/bin/sh\n", 0o755);
        assert!(world.signer("debian").starts_with("dkms itself"));
        world.settings.sign_file = Some(format!("{BUILD}/scripts/sign-file"));
        assert!(world.signer("debian").contains("scripts/sign-file` with sha512"));
        world.settings.sign_file = None;
        world.write("/var/lib/dkms/mok.key", "another kind of key", 0o600);
        assert!(world.signer("debian").contains("scripts/sign-file` with sha512"));
        world.write(&format!("{BUILD}/.config"), "CONFIG_MODULE_SIG_HASH=\"sha3-512\"\n", 0o644);
        assert!(world.signer("debian").contains("scripts/sign-file` with sha3-512"));
    }

    #[test]
    fn a_program_that_another_user_may_write_is_not_run() {
        let mut world = World::new();
        let program = world.write(&format!("{BUILD}/scripts/sign-file"), "#!/bin/sh\n", 0o755);
        fs::give_to(&program, 12345, 12345);
        let warnings = |world: &World| match world.choose("debian") {
            Signing::Signer(signer) => (signer.describe(), signer.warnings().join("\n")),
            Signing::Unsigned(reason) => panic!("it would not sign: {reason}"),
        };
        let (signer, told) = warnings(&world);
        assert!(signer.starts_with("dkms itself") && told.is_empty(), "not wanted: {told}");
        world.settings.sign_file = Some(format!("{BUILD}/scripts/sign-file"));
        let (signer, told) = warnings(&world);
        assert!(signer.starts_with("dkms itself") && told.contains("user 12345"), "{told}");
        world.settings.sign_file = None;
        world.write("/var/lib/dkms/mok.key", "another kind of key", 0o600);
        let reason = world.unsigned("debian");
        assert!(reason.is_warning() && reason.to_string().contains("user 12345"), "{reason}");
        let other = world.write("/usr/lib/linux-kbuild-6.1/scripts/sign-file", "#!/bin/sh\n", 0o755);
        assert!(world.signer("debian").contains("linux-kbuild-6.1"));
        fs::give_to(&other, 12345, 12345);
        fs::give_to(&program, 0, 0);
        let (signer, told) = warnings(&world);
        assert!(signer.contains("build/scripts/sign-file") && told.contains("linux-kbuild-6.1"), "{told}");
    }

    #[test]
    fn an_unusable_key_is_a_warning() {
        let mut world = World::new();
        world.write(&format!("{BUILD}/scripts/sign-file"), "#!/bin/sh\n", 0o755);
        world.signer("debian");
        let other = certificate::make(0).unwrap();
        world.write("/var/lib/dkms/mok.key", &other.key, 0o600);
        let reason = world.unsigned("debian");
        assert!(
            reason.is_warning() && reason.to_string().contains("is not that of the certificate"),
            "{reason}"
        );
        // A place for the passphrase that can't be read matters to who asks for one: the program might.
        world.settings.mok_passphrase_file = Some("/absent".into());
        world.settings.sign_file = Some(format!("{BUILD}/scripts/sign-file"));
        assert!(world.unsigned("debian").to_string().contains("/absent`"));
    }

    #[test]
    fn a_kernel_without_ecdsa_is_warned_of() {
        let world = World::new();
        let keys = Keys::new();
        keys.make("ec", P_256);
        for (from, to) in [("ec.key", "/var/lib/dkms/mok.key"), ("ec.der", "/var/lib/dkms/mok.pub")] {
            let to = world.settings.layout.at(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy_file(&keys.at(from), &to).unwrap();
            fs::set_mode(&to, 0o600).unwrap();
        }
        let warnings = || match world.choose("debian") {
            Signing::Signer(signer) => signer.warnings(),
            Signing::Unsigned(reason) => panic!("it would not sign: {reason}"),
        };
        assert!(warnings()[0].contains("6.1.0-56-amd64 can't verify"), "{:?}", warnings());
        let config = "CONFIG_MODULE_SIG_HASH=\"sha512\"\nCONFIG_CRYPTO_ECDSA=y\n";
        world.write(&format!("{BUILD}/.config"), config, 0o644);
        assert_eq!(warnings(), Vec::<String>::new());
    }

    #[test]
    fn who_may_not_make_a_key_goes_on_unsigned() {
        let mut world = World::new();
        world.write("/file", "", 0o644);
        world.settings.mok_signing_key = Some("/file/no/folder/key".into());
        let reason = world.unsigned("debian");
        assert!(reason.is_warning() && reason.to_string().contains("/file"), "{reason}");
    }

    #[test]
    fn the_pair_is_made_on_first_use() {
        let world = World::new();
        world.write(&format!("{BUILD}/scripts/sign-file"), "#!/bin/sh\n", 0o755);
        for _ in 0..2 {
            assert!(world.signer("debian").contains("with sha512"));
            assert!(fs::is_file(&world.settings.layout.at("/var/lib/dkms/mok.key")));
        }
        assert_eq!(world.fault(), None);
        fs::remove_file(&world.settings.layout.at("/var/lib/dkms/mok.pub")).unwrap();
        let key = fs::read(&world.settings.layout.at("/var/lib/dkms/mok.key")).unwrap();
        for reason in [world.unsigned("debian"), world.fault().unwrap()] {
            let Unsigned::Unusable { why, hint: Some(hint) } = &reason else { panic!("{reason:?}") };
            assert!(
                reason.is_warning() && why.contains("incomplete") && hint.contains("mok.key"),
                "{why}, {hint}"
            );
        }
        assert_eq!(fs::read(&world.settings.layout.at("/var/lib/dkms/mok.key")).unwrap(), key);
        assert!(!fs::exists(&world.settings.layout.at("/var/lib/dkms/mok.pub")));
    }

    #[test]
    fn no_key_is_made_in_an_image_but_one_that_is_named_is_used() {
        let mut world = World::new();
        world.settings.try_sign_modules = TrySign::NotInChroot;
        world.environment.set("container", "mkosi");
        let key = world.settings.layout.at("/var/lib/dkms/mok.key");
        for _ in 0..2 {
            let reason = world.unsigned("debian");
            assert!(reason.is_warning() && reason.to_string().contains("container=mkosi"), "{reason}");
            assert!(!fs::exists(&key));
            assert!(matches!(world.unsigned("ubuntu"), Unsigned::NoKeyInImage { .. }));
        }
        assert_eq!(world.fault(), None, "an image needs no key");
        world.environment.unset("container");
        for mark in ["/run/.containerenv", "/.dockerenv"] {
            let mark = world.write(mark, "", 0o644);
            assert!(matches!(world.unsigned("debian"), Unsigned::NoKeyInImage { .. }));
            fs::remove_file(&mark).unwrap();
        }
        world.write("/.dockerenv", "", 0o644);
        let made = certificate::make(0).unwrap();
        world.write("/run/secrets/k.key", &made.key, 0o600);
        fs::write_whole(&world.settings.layout.at("/run/secrets/k.der"), &made.certificate, 0o644).unwrap();
        world.settings.mok_signing_key = Some("/run/secrets/k.key".into());
        world.settings.mok_certificate = Some("/run/secrets/k.der".into());
        assert!(world.signer("debian").contains("/run/secrets/k.key"));
        (world.settings.mok_signing_key, world.settings.mok_certificate) = (None, None);
        world.settings.try_sign_modules = TrySign::Always;
        assert!(world.signer("debian").contains("mok.key") && fs::exists(&key));
    }

    #[test]
    fn the_policy_makes_the_key_and_has_it_enrolled() {
        let world = World::new();
        let made = certificate::make(0).unwrap();
        let folder = world.settings.layout.at("/var/lib/shim-signed/mok");
        let log = world.settings.layout.at("/log");
        world.write("/made.key", &made.key, 0o600);
        fs::write_whole(&world.settings.layout.at("/made.der"), &made.certificate, 0o644).unwrap();
        let root = world.settings.layout.at("/").display().to_string();
        let text = format!(
            "#!/bin/sh\necho $1 >>{}\n[ $1 = --new-key ] || exit 0\nmkdir -p {f}\ncp {root}/made.key {f}/MOK.priv\ncp \
             {root}/made.der {f}/MOK.der\n",
            log.display(),
            f = folder.display()
        );
        world.write("/usr/bin/update-secureboot-policy", &text, 0o755);
        assert!(world.signer("ubuntu").contains("MOK.priv") && world.signer("ubuntu").contains("MOK.der"));
        assert_eq!(fs::read_lossy(&log).unwrap(), "--new-key\n--enroll-key\n");
    }

    #[test]
    fn a_token_needs_only_its_certificate() {
        let mut world = World::new();
        world.write(&format!("{BUILD}/scripts/sign-file"), "#!/bin/sh\n", 0o755);
        world.settings.mok_signing_key = Some("pkcs11:object=x".into());
        world.settings.mok_certificate = Some("/etc/cert".into());
        assert!(matches!(world.unsigned("debian"), Unsigned::NoCertificate { .. }));
        world.write("/etc/cert", "", 0o644);
        world.environment.set("KBUILD_SIGN_PIN", "1234");
        assert!(world.signer("debian").contains("key `pkcs11:object=x`"));
    }

    #[test]
    fn ubuntus_pair_is_made_by_its_own_program() {
        let world = World::new();
        world.write("/usr/bin/kmodsign", "#!/bin/sh\n", 0o755);
        assert!(matches!(world.unsigned("ubuntu"), Unsigned::NoSecureBootPolicy { .. }));
        let mok = world.settings.layout.at("/var/lib/shim-signed/mok");
        let mok = mok.display();
        let script = format!(
            "#!/bin/sh\n[ \"$1 $SHIM_NOTRIGGER\" = '--new-key y' ] || exit 9\nmkdir -p {mok}\n: > {mok}/MOK.priv\n: > {mok}/MOK.der\n"
        );
        world.write("/usr/bin/update-secureboot-policy", &script, 0o755);
        assert!(matches!(world.choose("ubuntu"), Signing::Signer(_)));
    }

    #[test]
    fn generating_twice_changes_nothing() {
        let world = World::new();
        let distribution = Distribution::parse("ID=debian");
        let generate =
            || generate_mok(&world.settings, &world.facts(), &distribution, &world.environment).unwrap();
        assert_eq!(generate().made, Made::Now);
        let key = fs::read(&generate().places.key).unwrap();
        assert_eq!(generate().made, Made::Before);
        assert_eq!(fs::read(&generate().places.key).unwrap(), key);
    }
}
