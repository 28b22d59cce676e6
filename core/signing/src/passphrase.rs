//! Where the passphrase of an encrypted key comes from. Never the command line, which all users can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use dkms_base::host::{Environment, descriptor, fs, secrecy};
use dkms_base::id::KernelRelease;
use dkms_conf::Settings;

use super::SignError;

/// Names the descriptor.
pub(crate) const DESCRIPTOR: &str = "DKMS_PASSPHRASE_FD";
/// The kernel's own variable: what its program takes for a passphrase or a token's PIN.
pub(crate) const PIN: &str = "KBUILD_SIGN_PIN";
/// The systemd credential (`LoadCredential=dkms.mok:…` of a service).
pub(crate) const CREDENTIAL: &str = "dkms.mok";
/// The credential that is a key itself, in PEM, or else a passphrase.
pub(crate) const KEY_CREDENTIAL: &str = "mok.key";
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Longer than OpenSSL takes.
const LENGTH_LIMIT: usize = 1024;

/// A passphrase.
pub struct Passphrase {
    /// Itself.
    pub text: Zeroizing<Vec<u8>>,
    /// Where it came from, for messages.
    pub from: String,
}

/// The places where one may be, by settings and environment; the first that is there counts.
#[derive(Debug, Clone, Default)]
pub struct PassphrasePlaces {
    /// `mok_passphrase_file`: must be there where it is set.
    file: Option<PathBuf>,
    descriptor: Option<String>,
    credentials: Vec<PathBuf>,
    environment: Environment,
}

/// What was read from descriptors: a pipe gives it only once, and each kernel's signer asks.
static READ: Mutex<BTreeMap<u32, Zeroizing<Vec<u8>>>> = Mutex::new(BTreeMap::new());

impl PassphrasePlaces {
    /// The places for a kernel.
    #[must_use]
    pub fn of(settings: &Settings, kernel: &KernelRelease, environment: &Environment) -> Self {
        let file = settings.mok_passphrase_file.as_deref().filter(|path| !path.is_empty());
        Self {
            file: file.map(|path| settings.layout.at(&Settings::for_kernel(path, kernel))),
            descriptor: environment.get_filled(DESCRIPTOR).map(str::to_owned),
            credentials: credentials(environment),
            environment: environment.clone(),
        }
    }

    /// The passphrase, if there is one: the first line of the first place.
    ///
    /// # Errors
    /// [`SignError::Passphrase`] where a place is named that can't be read.
    pub fn get(&self) -> Result<Option<Passphrase>, SignError> {
        secrecy::begin();
        if let Some(path) = &self.file {
            return from_file(path).map(Some);
        }
        if let Some(number) = &self.descriptor {
            let from = format!("descriptor {number} ({DESCRIPTOR})");
            return match from_descriptor(number) {
                Ok(text) => Ok(Some(Passphrase { text, from })),
                Err(why) => Err(SignError::Passphrase { from, why }),
            };
        }
        if let Some(path) = self.credentials.iter().find(|path| fs::exists(path) && !is_key(path)) {
            return from_file(path).map(Some);
        }
        let pin = self.environment.get(PIN).map(|pin| Zeroizing::new(pin.as_bytes().to_vec()));
        Ok(pin.map(|text| Passphrase { text, from: format!("the environment variable {PIN}") }))
    }

    /// What is wrong with the file: every user may read it, or write it.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let file = self.file.as_ref().filter(|path| super::is_open_to_all(path))?.display();
        Some(format!(
            "other users may read the passphrase of the signing key in `{file}` (`chmod 600 {file}`)"
        ))
    }

    /// The environment for the kernel's program, which knows one place only.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn for_program(&self) -> Result<Environment, SignError> {
        let mut environment = self.environment.for_admins();
        if let Some(passphrase) = self.get()? {
            let text = String::from_utf8(passphrase.text.to_vec()).map_err(|_| SignError::Passphrase {
                from: passphrase.from,
                why: "it is no UTF-8, and the kernel's program gets it by its environment".to_owned(),
            })?;
            environment.set(PIN, text);
        }
        Ok(environment)
    }
}

/// The credentials that may hold a passphrase.
fn credentials(environment: &Environment) -> Vec<PathBuf> {
    let folder = environment.get_filled(CREDENTIALS).map(Path::new);
    folder.into_iter().flat_map(|folder| [CREDENTIAL, KEY_CREDENTIAL].map(|name| folder.join(name))).collect()
}

/// The credential that is a private key, if one is.
pub(super) fn key_credential(environment: &Environment) -> Option<PathBuf> {
    let path = Path::new(environment.get_filled(CREDENTIALS)?).join(KEY_CREDENTIAL);
    is_key(&path).then_some(path)
}

fn is_key(path: &Path) -> bool {
    let bytes = fs::read_limited(path, super::own::FILE_LIMIT).map(Zeroizing::new);
    bytes.is_ok_and(|bytes| bytes.windows(KEY_MARK.len()).any(|window| window == KEY_MARK))
}

/// What every private key in PEM has in its first line.
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";

/// Where one may put a passphrase, for messages.
pub(super) fn where_looked_for() -> String {
    format!(
        "the file that `mok_passphrase_file` names, the descriptor that {DESCRIPTOR} names, the systemd credential \
         `{CREDENTIAL}` or `{KEY_CREDENTIAL}`, the environment variable {PIN}"
    )
}

fn from_file(path: &Path) -> Result<Passphrase, SignError> {
    let from = format!("`{}`", path.display());
    match fs::read_limited(path, LENGTH_LIMIT as u64) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Ok(Passphrase { text: Zeroizing::new(line.to_vec()), from })
        }
        Err(error) => Err(SignError::Passphrase { from, why: error.source.to_string() }),
    }
}

fn from_descriptor(number: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let number: u32 = number.parse().map_err(|_| "it is not the number of a file descriptor".to_owned())?;
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = read.get(&number) {
        return Ok(text.clone());
    }
    let line = descriptor::first_line(number, LENGTH_LIMIT).map_err(|error| error.to_string())?;
    let text = Zeroizing::new(line);
    read.insert(number, text.clone());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dkms_base::layout::Layout;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn places(settings: &Settings, environment: &Environment) -> PassphrasePlaces {
        PassphrasePlaces::of(settings, &KernelRelease::new("6.1.0-56-amd64").unwrap(), environment)
    }

    #[test]
    fn the_first_place_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::defaults(Layout::under("/"));
        let mut environment = Environment::default();
        let get = |settings: &Settings, environment: &Environment| {
            let found = places(settings, environment).get()?;
            Ok::<_, SignError>(found.map(|found| String::from_utf8(found.text.to_vec()).unwrap()))
        };
        assert_eq!(get(&settings, &environment).unwrap(), None);
        environment.set(PIN, "by pin");
        assert_eq!(get(&settings, &environment).unwrap().as_deref(), Some("by pin"));
        environment.set(CREDENTIALS, dir.path().to_str().unwrap());
        assert_eq!(get(&settings, &environment).unwrap().as_deref(), Some("by pin"));
        fs::write_whole(&dir.path().join("dkms.mok"), b"by credential\n", 0o600).unwrap();
        assert_eq!(get(&settings, &environment).unwrap().as_deref(), Some("by credential"));
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"by descriptor\nmore").unwrap();
        environment.set(DESCRIPTOR, reader.as_raw_fd().to_string());
        for _ in 0..2 {
            assert_eq!(get(&settings, &environment).unwrap().as_deref(), Some("by descriptor"));
        }
        fs::write_whole(&dir.path().join("p-6.1.0-56-amd64"), b"by file", 0o600).unwrap();
        settings.mok_passphrase_file = Some(format!("{}/p-$kernelver", dir.path().display()));
        assert_eq!(get(&settings, &environment).unwrap().as_deref(), Some("by file"));
        assert_eq!(places(&settings, &environment).for_program().unwrap().get(PIN), Some("by file"));
        assert_eq!(places(&settings, &environment).warning(), None);
        fs::set_mode(&dir.path().join("p-6.1.0-56-amd64"), 0o644).unwrap();
        assert!(places(&settings, &environment).warning().unwrap().contains("/p-6.1.0-56-amd64`"));
        settings.mok_passphrase_file = Some(format!("{}/absent", dir.path().display()));
        let error = get(&settings, &environment).unwrap_err().to_string();
        assert!(error.contains("/absent`") && error.contains("No such file"), "{error}");
        settings.mok_passphrase_file = None;
        environment.set(DESCRIPTOR, "stdin");
        assert!(get(&settings, &environment).unwrap_err().to_string().contains("not the number"));
    }
}
