//! What this machine says of architectures: dpkg's word, asked for only where a package makes it matter.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dkms_base::host::Environment;
use dkms_base::host::process::Process;

use crate::error::Error;

/// The machine that packages are built for.
#[derive(Debug)]
pub struct Host<'a> {
    environment: &'a Environment,
    answers: RefCell<BTreeMap<String, String>>,
}

impl<'a> Host<'a> {
    /// As the environment says, and dpkg where that says nothing.
    #[must_use]
    pub fn new(environment: &'a Environment) -> Self {
        Self { environment, answers: RefCell::default() }
    }

    /// One of the variables of dpkg-architecture(1), such as `DEB_HOST_ARCH`.
    ///
    /// # Errors
    /// [`Error::Process`] where it can't be run.
    pub fn variable(&self, name: &str) -> Result<String, Error> {
        if let Some(value) = self.environment.get_filled(name) {
            return Ok(value.to_owned());
        }
        if let Some(value) = self.answers.borrow().get(name) {
            return Ok(value.clone());
        }
        let ended = Process::new("dpkg-architecture", ["-q", name], self.environment).capture_stdout()?;
        let value = ended.text().trim().to_owned();
        self.answers.borrow_mut().insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// Whether it is one of those that a field `Architecture` names.
    ///
    /// # Errors
    /// [`Error::Process`] where dpkg can't be asked.
    pub fn is_any(&self, names: &str) -> Result<bool, Error> {
        for name in names.split_whitespace() {
            if name == "any" {
                return Ok(true);
            }
            let ours = self.variable("DEB_HOST_ARCH")?;
            if name == ours {
                return Ok(true);
            }
            if name.starts_with("any-") || name.ends_with("-any") || name.contains("-any-") {
                let words = ["-a", ours.as_str(), "-i", name];
                if Process::new("dpkg-architecture", words, self.environment).capture()?.code() == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
