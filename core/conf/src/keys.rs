//! Where signing keys and logins lie: the one list, by which modules are signed, and both are hidden from the
//! code of packages.
//!
//! Knows settings and places; not whether a key is one.

use std::path::{Path, PathBuf};

use super::Settings;
use super::framework;
use dkms_base::host::{Environment, fs};
use dkms_base::layout::Layout;

/// The key that we make, and its certificate.
pub const OWN: (&str, &str) = ("/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub");
/// Those of Ubuntu's shim-signed.
pub const SHIM_SIGNED: (&str, &str) =
    ("/var/lib/shim-signed/mok/MOK.priv", "/var/lib/shim-signed/mok/MOK.der");
/// The key that a kernel's own build makes, below its headers.
const OF_KERNEL: [&str; 3] = ["certs/signing_key.pem", "certs/signing_key.priv", "signing_key.priv"];
/// Where Portage's variables are set.
const MAKE_CONF: [&str; 2] = ["/etc/portage/make.conf", "/etc/make.conf"];
/// More than any configuration has.
const LIMIT: u64 = 4 << 20;

/// Gentoo's `MODULES_SIGN_KEY` and `MODULES_SIGN_CERT`, of the environment or make.conf; one
/// PEM file may be both.
#[must_use]
pub fn of_portage(layout: &Layout, environment: &Environment) -> Option<(String, String)> {
    let texts: Vec<String> = make_confs(layout).iter().filter_map(|file| read(file)).collect();
    let variable = |name: &str| {
        let of_file = || texts.iter().rev().find_map(|text| assigned(text, name));
        environment.get_filled(name).map(str::to_owned).or_else(of_file).filter(|value| !value.is_empty())
    };
    let key = variable("MODULES_SIGN_KEY")?;
    let certificate = variable("MODULES_SIGN_CERT").unwrap_or_else(|| key.clone());
    Some((key, certificate))
}

/// make.conf, or the files of the folder of that name.
fn make_confs(layout: &Layout) -> Vec<PathBuf> {
    let files = |path: PathBuf| {
        let names = if fs::is_dir(&path) { fs::list(&path).unwrap_or_default() } else { Vec::new() };
        if fs::is_file(&path) {
            vec![path]
        } else {
            names.iter().map(|entry| path.join(&entry.name)).collect()
        }
    };
    MAKE_CONF.iter().flat_map(|path| files(layout.at(path))).collect()
}

/// The value of `NAME=value`, as shells and kernel configurations write it: the last one counts.
fn assigned(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        let bare = || value.split([' ', '\t', '#']).next().unwrap_or_default();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.split(quote).next());
        Some(quoted('"').or_else(|| quoted('\'')).unwrap_or_else(bare).trim().to_owned())
    };
    text.lines().filter_map(value).next_back()
}

/// The key that a kernel's configuration names (`CONFIG_MODULE_SIG_KEY`), if it is a file.
#[must_use]
pub fn of_kernel(headers: &Path, named: &str) -> Option<PathBuf> {
    (!named.is_empty() && !named.starts_with("pkcs11:")).then(|| headers.join(named))
}

/// A setting's path below the root; a token's URI is none.
#[must_use]
pub fn below(layout: &Layout, text: &str) -> PathBuf {
    if text.starts_with("pkcs11:") { Path::new(text).to_owned() } else { layout.at(text) }
}

/// The keys among a kernel's headers: those of its own build, and the one that its configuration names.
#[must_use]
pub fn of_headers(folder: &Path) -> Vec<PathBuf> {
    let mut keys: Vec<PathBuf> = OF_KERNEL.iter().map(|key| folder.join(key)).collect();
    for file in ["include/config/auto.conf", ".config"] {
        let key = read(&folder.join(file)).and_then(|text| assigned(&text, "CONFIG_MODULE_SIG_KEY"));
        keys.extend(key.and_then(|key| of_kernel(folder, &key)));
    }
    keys.retain(|key| fs::is_file(key));
    keys.dedup();
    keys
}

/// Every key, passphrase and login that is there and that no code of a package may read, whatever kernel it
/// is for.
#[must_use]
pub fn hidden(settings: &Settings, environment: &Environment) -> Vec<PathBuf> {
    let layout = &settings.layout;
    let mut found = vec![layout.dkms_tree.join("mok.key"), layout.at(OWN.0), layout.at(SHIM_SIGNED.0)];
    // A pair that is just being made, or whose making was interrupted.
    for folder in [&layout.dkms_tree, &layout.at("/var/lib/dkms")] {
        let names = fs::list(folder).unwrap_or_default().into_iter();
        let staged = names.filter(|entry| entry.name.as_encoded_bytes().starts_with(b"mok.key."));
        found.extend(staged.map(|entry| folder.join(entry.name)));
    }
    // A certificate may be in one file with its key.
    let named = [&settings.mok_signing_key, &settings.mok_certificate, &settings.mok_passphrase_file];
    for text in named.into_iter().flatten().filter(|text| text.starts_with('/')) {
        found.extend(of_any_kernel(layout, text));
    }
    if let Some((key, certificate)) = of_portage(layout, environment) {
        found.extend([key, certificate].map(|text| below(layout, &text)));
    }
    found.extend(environment.get_filled("CREDENTIALS_DIRECTORY").map(PathBuf::from));
    found.extend(framework::paths(layout).into_iter().filter(|path| may_have_login(path, settings)));
    let trees =
        [(&layout.install_tree, "build"), (&layout.install_tree, "source"), (&layout.source_tree, "")];
    let usr_src = layout.at("/usr/src");
    let mut folders: Vec<PathBuf> = Vec::new();
    for (tree, below) in trees.into_iter().chain([(&usr_src, "")]) {
        folders.extend(
            fs::list(tree).unwrap_or_default().into_iter().map(|entry| tree.join(entry.name).join(below)),
        );
    }
    folders.retain(|folder| fs::is_dir(folder));
    let mut seen: Vec<PathBuf> =
        folders.iter().map(|folder| fs::canonical(folder).unwrap_or_else(|_| folder.clone())).collect();
    seen.sort();
    seen.dedup();
    found.extend(seen.iter().flat_map(|folder| of_headers(folder)));
    found.retain(|path| path.is_absolute() && fs::exists(path));
    found.sort();
    found.dedup();
    found
}

/// Whether a file of settings may have a login or a part of one. A part in a file that every user can read is
/// no secret.
fn may_have_login(path: &Path, settings: &Settings) -> bool {
    let holds = || read(path).is_none_or(|text| framework::holds_login(&text, settings));
    settings.has_login() && !fs::is_readable_by_all(path) || holds()
}

/// What `$kernelver` in a path may lead to: every file whose name fits, since a key of another
/// kernel is a key too.
fn of_any_kernel(layout: &Layout, text: &str) -> Vec<PathBuf> {
    let text = text.replace("${kernelver}", "$kernelver");
    let mut found = vec![layout.at("/")];
    for part in text.split('/').filter(|part| !part.is_empty()) {
        if !part.contains("$kernelver") {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let fits = |name: &str| fits(part, name);
        let below = |folder: PathBuf| {
            let names = fs::list(&folder).unwrap_or_default().into_iter();
            let names = names.filter(|entry| entry.name.to_str().is_some_and(fits));
            names.map(|entry| folder.join(entry.name)).collect::<Vec<_>>()
        };
        found = found.into_iter().flat_map(below).collect();
    }
    found
}

/// Whether a name is the pattern with something in the place of each `$kernelver`.
fn fits(pattern: &str, name: &str) -> bool {
    let parts: Vec<&str> = pattern.split("$kernelver").collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return false };
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    for part in &parts[1..parts.len() - 1] {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

fn read(path: &Path) -> Option<String> {
    fs::read_limited(path, LIMIT).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root(tempfile::TempDir, Settings);

    impl Root {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let settings = Settings::defaults(Layout::under(dir.path()));
            Self(dir, settings)
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.1.layout.at(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write_whole(&path, text.as_bytes(), 0o600).unwrap();
        }

        fn hidden(&self) -> Vec<String> {
            let plain = |path: PathBuf| {
                let root = self.0.path().canonicalize().unwrap();
                let below = path.strip_prefix(self.0.path()).or_else(|_| path.strip_prefix(&root)).unwrap();
                format!("/{}", below.display())
            };
            hidden(&self.1, &Environment::default()).into_iter().map(plain).collect()
        }
    }

    #[test]
    fn a_key_for_each_kernel_is_hidden_for_all_of_them() {
        let mut root = Root::new();
        for path in
            ["/srv/keys/6.1.key", "/srv/keys/6.2.key", "/srv/keys/6.1.pub", "/srv/6.1/k", "/srv/x/other"]
        {
            root.write(path, "");
        }
        root.1.mok_signing_key = Some("/srv/keys/$kernelver.key".into());
        assert_eq!(root.hidden(), ["/srv/keys/6.1.key", "/srv/keys/6.2.key"]);
        root.1.mok_signing_key = Some("/srv/${kernelver}/k".into());
        root.1.mok_passphrase_file = Some("/srv/keys/6.1.pub".into());
        assert_eq!(root.hidden(), ["/srv/6.1/k", "/srv/keys/6.1.pub"]);
        assert!(fits("a$kernelver-b${x}", "a6.1-b${x}") && !fits("a$kernelver.key", "b6.1.key"));
    }

    #[test]
    fn keys_of_the_distribution_and_of_kernels_are_hidden() {
        let root = Root::new();
        root.write("/etc/portage/make.conf/signing", "MODULES_SIGN_KEY='/keys/gentoo.pem'\n");
        root.write("/keys/gentoo.pem", "");
        root.write("/keys/kernel.pem", "");
        root.write("/usr/src/linux-6.1/.config", "CONFIG_MODULE_SIG_KEY=\"own/key.pem\"\n");
        root.write("/usr/src/linux-6.1/own/key.pem", "");
        root.write("/usr/src/linux-6.2/certs/signing_key.pem", "");
        root.write("/var/lib/dkms/mok.key", "");
        root.write("/var/lib/dkms/mok.key.staged-0123", "");
        root.write("/var/lib/shim-signed/mok/MOK.priv", "");
        assert_eq!(
            root.hidden(),
            [
                "/keys/gentoo.pem",
                "/usr/src/linux-6.1/own/key.pem",
                "/usr/src/linux-6.2/certs/signing_key.pem",
                "/var/lib/dkms/mok.key",
                "/var/lib/dkms/mok.key.staged-0123",
                "/var/lib/shim-signed/mok/MOK.priv",
            ]
        );
    }
    #[test]
    fn settings_with_a_login_are_hidden() {
        let mut root = Root::new();
        root.write("/etc/dkms/framework.conf", "# prebuilt=https://USER:PASSWORD@h\nx=u:p@h\n");
        root.write("/etc/dkms/framework.conf.d/open.conf", "verbose=yes\n");
        root.write("/etc/dkms/framework.conf.d/part.conf", "PASSWORD=p\n");
        fs::set_mode(&root.1.layout.at("/etc/dkms/framework.conf.d/open.conf"), 0o644).unwrap();
        assert_eq!(root.hidden(), Vec::<String>::new(), "a login that no setting has");
        let place = |text: &str| vec![crate::PrebuiltPlace::parse(text).unwrap()];
        root.1.prebuilt = place("https://h/k");
        assert_eq!(root.hidden(), Vec::<String>::new());
        let both = ["/etc/dkms/framework.conf", "/etc/dkms/framework.conf.d/part.conf"];
        root.1.prebuilt = place("https://u:p@h/k");
        assert_eq!(root.hidden(), both);
        (root.1.prebuilt, root.1.prebuilt_proxy) = (Vec::new(), Some(crate::Secret::new("http://u:p@h")));
        assert_eq!(root.hidden(), both);
        root.1.prebuilt_proxy = Some(crate::Secret::new("http://h"));
        assert_eq!(root.hidden(), Vec::<String>::new());
        // A value that is invalid, and so used by nobody, has a password anyway.
        root.write("/etc/dkms/framework.conf", "prebuilt=https://u:pass/word@h/k\n");
        assert_eq!(root.hidden(), ["/etc/dkms/framework.conf"]);
    }

    #[test]
    fn what_systemd_hands_over_is_hidden_whole() {
        let root = Root::new();
        root.write("/run/credentials/dkms.service/mok.key", "");
        let folder = root.1.layout.at("/run/credentials/dkms.service");
        let of = |value: &str| {
            let environment = [("CREDENTIALS_DIRECTORY", value)].into_iter().collect();
            hidden(&root.1, &environment)
        };
        assert_eq!(of(folder.to_str().unwrap()), std::slice::from_ref(&folder));
        for nothing in ["", "credentials", "/nowhere/of/this/name"] {
            assert!(of(nothing).is_empty(), "{nothing}");
        }
    }
}
