//! Where key, certificate and signing program are: by settings, or else by distribution. Decides over names;
//! looks only whether files are there.

use std::path::PathBuf;

use dkms_base::host::{Environment, fs};
use dkms_base::id::KernelRelease;
use dkms_base::layout::Layout;
use dkms_conf::{Settings, keys};
use dkms_kernel::{Distribution, Family, KernelFacts};

/// Who makes a pair that isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// We do.
    Ourselves,
    /// Ubuntu's `update-secureboot-policy`, which also knows how to have it enrolled.
    SecureBootPolicy,
    /// Nobody: it is the kernel's own.
    Nobody,
}

/// A key and its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlaces {
    /// The key: a path, or a `pkcs11:` URI.
    pub key: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Who makes them.
    pub maker: Maker,
}

impl KeyPlaces {
    /// Whether the key is in a token, not in a file.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.key.to_string_lossy().starts_with("pkcs11:")
    }

    /// Whether every user may read the key, or write it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.is_token() && super::is_open_to_all(&self.key)
    }

    /// What is wrong with the key's place.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.is_open().then(|| {
            format!("other users may read the signing key `{0}` (`chmod 600 {0}`)", self.key.display())
        })
    }

    /// Where the pair is for a kernel: each half as the settings say, or else where the distribution has it.
    #[must_use]
    pub fn of(
        settings: &Settings,
        facts: &KernelFacts,
        distribution: &Distribution,
        environment: &Environment,
    ) -> Self {
        let layout = &settings.layout;
        let place = |setting: &Option<String>| {
            let text = setting.as_deref().filter(|text| !text.is_empty());
            text.map(|text| keys::below(layout, &Settings::for_kernel(text, &facts.target.kernel)))
        };
        let (key, certificate) = (place(&settings.mok_signing_key), place(&settings.mok_certificate));
        if let (Some(key), Some(certificate)) = (&key, &certificate) {
            let (key, certificate) = (key.clone(), certificate.clone());
            return Self { key, certificate, maker: Maker::Ourselves };
        }
        let usual = Self::usual(layout, facts, distribution, environment);
        let maker = if key.is_none() && certificate.is_none() { usual.maker } else { Maker::Ourselves };
        Self { key: key.unwrap_or(usual.key), certificate: certificate.unwrap_or(usual.certificate), maker }
    }

    fn usual(
        layout: &Layout,
        facts: &KernelFacts,
        distribution: &Distribution,
        environment: &Environment,
    ) -> Self {
        let pair = |(key, certificate): (&str, &str), maker| Self {
            key: keys::below(layout, key),
            certificate: keys::below(layout, certificate),
            maker,
        };
        if distribution.family == Family::Ubuntu {
            return pair(keys::SHIM_SIGNED, Maker::SecureBootPolicy);
        }
        if distribution.family == Family::Gentoo {
            if let Some((key, certificate)) = keys::of_portage(layout, environment) {
                return pair((&key, &certificate), Maker::Ourselves);
            }
            let own = facts.config.get("CONFIG_MODULE_SIG_KEY");
            let own = own.and_then(|own| keys::of_kernel(&facts.headers, own));
            if let Some(own) = own.filter(|own| fs::is_file(own)) {
                return Self { key: own.clone(), certificate: own, maker: Maker::Nobody };
            }
        }
        pair(keys::OWN, Maker::Ourselves)
    }

    /// Whether the settings name the key, so that it need not be one that was made here.
    #[must_use]
    pub fn is_named(settings: &Settings) -> bool {
        settings.mok_signing_key.is_some()
    }
}

/// The programs that could sign for a kernel, most wanted first. With the setting there is only that one.
#[must_use]
pub fn programs(settings: &Settings, facts: &KernelFacts, distribution: &Distribution) -> Vec<PathBuf> {
    let kernel = &facts.target.kernel;
    let at = |path: String| settings.layout.at(&path);
    if let Some(setting) = settings.sign_file.as_deref().filter(|setting| !setting.is_empty()) {
        return vec![at(Settings::for_kernel(setting, kernel))];
    }
    let of_distribution = match distribution.family {
        Family::Debian => major_minor(kernel).map(|v| format!("/usr/lib/linux-kbuild-{v}/scripts/sign-file")),
        Family::Ubuntu => Some("/usr/bin/kmodsign".to_owned()),
        _ => None,
    };
    of_distribution.map(at).into_iter().chain([facts.headers.join("scripts/sign-file")]).collect()
}

/// `6.1` of `6.1.0-56-amd64`.
fn major_minor(kernel: &KernelRelease) -> Option<String> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let (major, rest) = kernel.as_str().split_once('.')?;
    let minor = digits(rest);
    (!major.is_empty() && digits(major) == major && !minor.is_empty()).then(|| format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::id::Target;
    use dkms_kernel::Overrides;

    struct World {
        dir: tempfile::TempDir,
        settings: Settings,
        environment: Environment,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let settings = Settings::defaults(Layout::under(dir.path()));
            Self { dir, settings, environment: Environment::default() }
        }

        fn facts(&self) -> KernelFacts {
            let target = Target::parse("6.1.0-56-amd64", "x86_64").unwrap();
            let overrides = Overrides::default();
            KernelFacts::look(&target, &self.settings.layout, &overrides).unwrap()
        }

        /// Key, certificate and maker on a distribution, without the root.
        fn pair(&self, id: &str) -> (String, String, Maker) {
            let distribution = Distribution::parse(&format!("ID={id}"));
            let places = KeyPlaces::of(&self.settings, &self.facts(), &distribution, &self.environment);
            let short = |path: &std::path::Path| {
                path.to_str().unwrap().replace(self.dir.path().to_str().unwrap(), "")
            };
            (short(&places.key), short(&places.certificate), places.maker)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.settings.layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o644).unwrap();
        }
    }

    fn expected(key: &str, certificate: &str, maker: Maker) -> (String, String, Maker) {
        (key.to_owned(), certificate.to_owned(), maker)
    }

    #[test]
    fn distributions_have_their_places() {
        let world = World::new();
        let ours = expected("/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", Maker::Ourselves);
        let mok = "/var/lib/shim-signed/mok";
        assert_eq!(world.pair("debian"), ours);
        assert_eq!(world.pair("gentoo"), ours);
        assert_eq!(
            world.pair("ubuntu"),
            expected(&format!("{mok}/MOK.priv"), &format!("{mok}/MOK.der"), Maker::SecureBootPolicy)
        );
    }

    #[test]
    fn settings_win_each_for_its_half() {
        let mut world = World::new();
        world.settings.mok_signing_key = Some("/etc/k-$kernelver.key".into());
        assert_eq!(
            world.pair("debian"),
            expected("/etc/k-6.1.0-56-amd64.key", "/var/lib/dkms/mok.pub", Maker::Ourselves)
        );
        world.settings.mok_certificate = Some("/etc/${kernelver}/c".into());
        world.settings.mok_signing_key = Some("pkcs11:token=x".into());
        assert_eq!(
            world.pair("ubuntu"),
            expected("pkcs11:token=x", "/etc/6.1.0-56-amd64/c", Maker::Ourselves)
        );
    }

    #[test]
    fn gentoo_has_its_variables_and_the_kernels_own_key() {
        let mut world = World::new();
        let build = "/lib/modules/6.1.0-56-amd64/build";
        world.write(&format!("{build}/.config"), "CONFIG_MODULE_SIG_KEY=\"certs/signing_key.pem\"\n");
        world.write(&format!("{build}/certs/signing_key.pem"), "");
        let own = format!("{build}/certs/signing_key.pem");
        assert_eq!(world.pair("gentoo"), expected(&own, &own, Maker::Nobody));
        world.write("/etc/portage/make.conf", "MODULES_SIGN_KEY=\"/k.pem\"\n");
        assert_eq!(world.pair("gentoo"), expected("/k.pem", "/k.pem", Maker::Ourselves));
        world.environment.set("MODULES_SIGN_KEY", "/k");
        world.environment.set("MODULES_SIGN_CERT", "/c");
        assert_eq!(world.pair("gentoo"), expected("/k", "/c", Maker::Ourselves));
    }

    #[test]
    fn programs_are_tried_in_order() {
        let mut world = World::new();
        let named = |world: &World, id: &str| {
            let distribution = Distribution::parse(&format!("ID={id}"));
            let programs = programs(&world.settings, &world.facts(), &distribution);
            let root = world.dir.path().to_str().unwrap();
            programs.iter().map(|path| path.to_str().unwrap().replace(root, "")).collect::<Vec<_>>()
        };
        let own = "/lib/modules/6.1.0-56-amd64/build/scripts/sign-file";
        assert_eq!(named(&world, "debian"), ["/usr/lib/linux-kbuild-6.1/scripts/sign-file", own]);
        assert_eq!(named(&world, "ubuntu"), ["/usr/bin/kmodsign", own]);
        assert_eq!(named(&world, "fedora"), [own]);
        world.settings.sign_file = Some("/opt/$kernelver/sign".into());
        assert_eq!(named(&world, "debian"), ["/opt/6.1.0-56-amd64/sign"]);
    }
}
