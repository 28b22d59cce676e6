//! What has to be built, as a list of jobs that don't need each other: the shape that matrices of GitHub and
//! GitLab, arrays of Slurm and indexed jobs of Kubernetes take. Plain data.

use serde::{Deserialize, Serialize};

use crate::id::{IdError, ModuleId, Target};

/// The jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// In their order.
    pub include: Vec<Job>,
}

/// One module for one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number, from 0.
    pub job: usize,
    /// `M/V`.
    pub module: String,
    /// The kernel's release.
    pub kernel: String,
    /// The architecture.
    pub arch: String,
    /// The package of the kernel's headers.
    #[serde(default)]
    pub headers: Headers,
    /// The key of all that the build depends on; null: it is not known here, where the headers aren't.
    #[serde(default)]
    pub inputs: Option<String>,
}

/// A package of headers; null is what is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// Its name.
    pub package: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// SHA-256 of its file.
    pub sha256: Option<String>,
}

impl Matrix {
    /// One of these jobs, which are numbered in their order.
    pub fn add(&mut self, id: &ModuleId, target: &Target, headers: Headers, inputs: Option<String>) {
        self.include.push(Job {
            job: self.include.len(),
            module: id.to_string(),
            kernel: target.kernel.to_string(),
            arch: target.arch.to_string(),
            headers,
            inputs,
        });
    }

    /// Reads one.
    ///
    /// # Errors
    /// A sentence about why it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    }

    /// The job of a number.
    #[must_use]
    pub fn job(&self, number: usize) -> Option<&Job> {
        self.include.iter().find(|job| job.job == number)
    }
}

impl Job {
    /// The module.
    ///
    /// # Errors
    /// [`IdError`] where it can't be one's name.
    pub fn id(&self) -> Result<ModuleId, IdError> {
        let (name, version) = self.module.split_once('/').unwrap_or((&self.module, ""));
        ModuleId::parse(name, version)
    }

    /// The kernel.
    ///
    /// # Errors
    /// [`IdError`] where it can't be one's name.
    pub fn target(&self) -> Result<Target, IdError> {
        Target::parse(&self.kernel, &self.arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_read_as_it_was_written() {
        let mut matrix = Matrix::default();
        let id = ModuleId::parse("foo", "1.0").unwrap();
        for kernel in ["6.1", "6.2"] {
            matrix.add(&id, &Target::parse(kernel, "x86_64").unwrap(), Headers::default(), None);
        }
        let text = serde_json::to_string(&matrix).unwrap();
        assert!(text.starts_with("{\"include\":[{\"job\":0,\"module\":\"foo/1.0\",\"kernel\":\"6.1\",\"arch\":\"x86_64\",\"headers\":{\"package\":null"), "{text}");
        assert_eq!(Matrix::parse(text.as_bytes()).unwrap(), matrix);
        assert_eq!(matrix.job(1).unwrap().target().unwrap().kernel.as_str(), "6.2");
        assert!(matrix.job(2).is_none() && Matrix::parse(b"[]").is_err());
        let short =
            Matrix::parse(br#"{"include":[{"job":7,"module":"../x","kernel":"a","arch":"b"}]}"#).unwrap();
        assert!(short.job(7).unwrap().id().is_err());
    }
}
