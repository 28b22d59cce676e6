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
    assert!(reason.is_warning() && reason.to_string().contains("is not that of the certificate"), "{reason}");
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
