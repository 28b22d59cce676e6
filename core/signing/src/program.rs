//! Signing with the kernel's own program, `sign-file`, or Ubuntu's `kmodsign`, which
//! takes the same arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkms_base::host::Environment;
use dkms_base::host::fs;
use dkms_base::host::process::Process;

use super::own::FILE_LIMIT;
use super::{KeyPlaces, SignError, Signature, Signer, SigningCertificate, Unverified};

/// Runs the kernel's program for each module.
#[derive(Debug, Clone)]
pub struct KernelSignFile {
    /// The program.
    pub program: PathBuf,
    /// `CONFIG_MODULE_SIG_HASH` of the kernel.
    pub hash: String,
    /// Key and certificate; both exist, or the key is a token's URI.
    pub places: KeyPlaces,
    /// The program's environment (`KBUILD_SIGN_PIN` reaches it there).
    pub environment: Environment,
}

/// More of its output than this helps nobody.
const OUTPUT_LIMIT: usize = 2000;

/// How long it may take: a person may have to touch a token.
const TIME_LIMIT: Duration = Duration::from_secs(10 * 60);

impl KernelSignFile {
    fn process(&self, module: &Path, variables: &[(&str, &str)]) -> Process {
        let files = [&self.places.key, &self.places.certificate, module].map(OsString::from);
        let args = std::iter::once(OsString::from(&self.hash)).chain(files);
        let process = Process::new(&self.program, args, &self.environment).time_limit(TIME_LIMIT);
        // The module lies in a folder that is gone when a user reads of it.
        let process = process.called(format!("{} … {}", self.program.display(), name(module)));
        variables.iter().fold(process, |process, (name, value)| process.env(name, value))
    }

    /// Runs the program on a module, and reads back what it did.
    fn run(&self, module: &Path, variables: &[(&str, &str)]) -> Result<(), SignError> {
        let process = self.process(module, variables);
        let ended = process.capture()?;
        if !ended.status.success() {
            let text = ended.text();
            let from = text.len().saturating_sub(OUTPUT_LIMIT);
            let from = (from..).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            let output: Vec<&str> =
                text[from..].lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let (line, output) = (process.line(), output.join("; "));
            return Err(SignError::Program { line, code: ended.code(), output });
        }
        let signature = Signature::of_file(module)
            .map_err(|error| SignError::Failed { module: name(module).into(), why: error.to_string() })?;
        let Some(signature) = signature.filter(|found| found.info.hash.is_none_or(|hash| hash == self.hash))
        else {
            let (line, hash) = (process.line(), self.hash.clone());
            return Err(SignError::NotSigned { line, hash });
        };
        let certificate = SigningCertificate::parse(&fs::read_limited(&self.places.certificate, FILE_LIMIT)?);
        match certificate.map(|certificate| signature.verify(&certificate)) {
            Ok(Err(why @ Unverified::Wrong)) => {
                Err(SignError::Failed { module: name(module).into(), why: why.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// A module's name.
fn name(module: &Path) -> String {
    module.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Signer for KernelSignFile {
    fn sign(&self, module: &Path, variables: &[(&str, &str)]) -> Result<(), SignError> {
        // On a copy, so that a program that dies half-way leaves the module alone; with the module's name, by
        // which an admin's program may choose; in a folder of its own, in which it may leave what it likes.
        let folder = fs::temporary_beside(module);
        let copy = folder.join(module.file_name().unwrap_or_default());
        let signed = || -> Result<(), SignError> {
            fs::create_dir_all(&folder)?;
            fs::copy_file(module, &copy)?;
            self.run(&copy, variables)?;
            fs::rename(&copy, module)?;
            Ok(())
        };
        let signed = signed();
        let removed = fs::remove_any(&folder);
        signed.and(removed.map_err(SignError::Fs))
    }

    fn describe(&self) -> String {
        let words = [&self.program, &self.places.key, &self.places.certificate].map(|path| path.display());
        format!("`{}` with {}, key `{}`, certificate `{}`", words[0], self.hash, words[1], words[2])
    }

    fn warnings(&self) -> Vec<String> {
        self.places.warning().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::super::places::Maker;
    use super::*;

    fn signer(dir: &Path, script: &str) -> KernelSignFile {
        let program = dir.join("sign-file");
        fs::write_whole(&program, format!("#!/bin/sh\n{script}\n").as_bytes(), 0o755).unwrap();
        KernelSignFile {
            program,
            hash: "sha256".into(),
            places: KeyPlaces {
                key: dir.join("mok.key"),
                certificate: dir.join("mok.pub"),
                maker: Maker::Ourselves,
            },
            environment: [("PATH", "/usr/bin:/bin")].into_iter().collect(),
        }
    }

    fn module(dir: &Path) -> PathBuf {
        let path = dir.join("hi.ko");
        fs::write_whole(&path, b"module", 0o644).unwrap();
        path
    }

    #[test]
    fn a_failing_program_leaves_the_module() {
        let dir = tempfile::tempdir().unwrap();
        let module = module(dir.path());
        let error = |script: &str| {
            let error = signer(dir.path(), script).sign(&module, &[]).unwrap_err();
            assert_eq!(fs::read(&module).unwrap(), b"module");
            assert_eq!(fs::list(dir.path()).unwrap().len(), 2, "{script}");
            error
        };
        let failed = error("echo broken > \"$4\"; echo half > \"$4.~signed~\"; echo no such key; exit 3");
        assert!(matches!(failed, SignError::Program { code: 3, ref output, .. } if output == "no such key"));
        let program = dir.path().join("sign-file").display().to_string();
        assert_eq!(failed.to_string(), format!("`{program} … hi.ko` failed with exit code 3: no such key"));
        let failed = error("echo one; echo; echo ' two'; exit 1").to_string();
        assert_eq!(failed, format!("`{program} … hi.ko` failed with exit code 1: one; two"));
        assert_eq!(error("exit 1").to_string(), format!("`{program} … hi.ko` failed with exit code 1"));
        let not_signed = error("echo more >> \"$4\"");
        assert!(matches!(not_signed, SignError::NotSigned { .. }));
        let told =
            format!("`{program} … hi.ko` ended with exit code 0, but put no sha256 signature on the module");
        assert_eq!(not_signed.to_string(), told);
    }

    #[test]
    fn the_program_sees_what_it_signs_for_and_the_modules_name() {
        let dir = tempfile::tempdir().unwrap();
        let module = module(dir.path());
        let script = "echo \"$kernelver ${4##*/} $#\" >\"${0%/*}/seen\"; exit 1";
        signer(dir.path(), script).sign(&module, &[("kernelver", "6.1")]).unwrap_err();
        assert_eq!(fs::read_lossy(&dir.path().join("seen")).unwrap(), "6.1 hi.ko 4\n");
    }

    #[test]
    fn the_kernels_program_signs_with_a_pair_of_ours() {
        let program = super::super::testing::sign_file();
        let dir = tempfile::tempdir().unwrap();
        let module = module(dir.path());
        for hash in ["sha256", "sha512"] {
            let signer =
                KernelSignFile { program: program.clone(), hash: hash.into(), ..signer(dir.path(), "") };
            keys::ensure(&signer.places.key, &signer.places.certificate).unwrap();
            fs::write_whole(&module, b"module", 0o640).unwrap();
            signer.sign(&module, &[]).unwrap();
            let bytes = fs::read(&module).unwrap();
            assert_eq!(dkms_kernel::modfile::signature_of(&bytes).unwrap().hash, Some(hash));
            assert_eq!(dkms_kernel::modfile::without_signature(&bytes), b"module");
        }
        // One that signs something else.
        let script =
            format!("echo more >> \"$4\" && {} \"$@\" && sed -i s/more/less/ \"$4\"", program.display());
        fs::write_whole(&module, b"module", 0o640).unwrap();
        let error = signer(dir.path(), &script).sign(&module, &[]).unwrap_err();
        assert!(matches!(error, SignError::Failed { .. }), "{error}");
        assert_eq!(fs::read(&module).unwrap(), b"module");
    }
}
