//! The one home of `unsafe`: calls into libc that no safe crate offers. Each block says why it is sound.
#![expect(unsafe_code, reason = "this is its home")]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

/// A POSIX extended regular expression, compiled by libc's `regcomp`.
pub struct Regex(Box<libc::regex_t>);

// SAFETY: a compiled regex_t is not tied to the thread that made it; POSIX lets any thread use it.
unsafe impl Send for Regex {}
// SAFETY: regexec takes it as const and is thread-safe by POSIX; glibc locks what it caches in there.
unsafe impl Sync for Regex {}

impl Regex {
    /// Compiles `pattern`; matching is by bytes, as the C locale (which a Rust process has) does.
    ///
    /// # Errors
    /// libc's words for what is wrong.
    pub fn new(pattern: &CStr) -> Result<Self, String> {
        let mut regex = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: the first argument is writable memory for a regex_t, the second a NUL-terminated text; both outlive the call.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code == 0 {
            // SAFETY: regcomp returned 0, so it has filled the regex_t.
            return Ok(Self(unsafe { regex.assume_init() }));
        }
        let mut text = vec![0_u8; 256];
        // SAFETY: after a failed regcomp its regex_t may be given to regerror, which writes at most `len` bytes to the
        // buffer, the last of them NUL. A regex_t of a failed regcomp must not be freed by regfree.
        unsafe { libc::regerror(code, regex.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        Err(CStr::from_bytes_until_nul(&text)
            .map_or_else(|_| "it can't be compiled".to_owned(), |text| text.to_string_lossy().into_owned()))
    }

    /// Whether it matches anywhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &CString) -> bool {
        // SAFETY: the regex_t was filled by a successful regcomp, the text is NUL-terminated, and with REG_NOSUB and 0
        // matches asked for regexec writes nowhere.
        unsafe { libc::regexec(&raw const *self.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) == 0 }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: it was filled by a successful regcomp, and nobody can use it afterwards.
        unsafe { libc::regfree(&raw mut *self.0) };
    }
}

impl std::fmt::Debug for Regex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Regex")
    }
}

/// A folder put over another, for one process and its children only.
#[derive(Debug, Clone)]
pub struct Overmount {
    folder: CString,
    over: CString,
    dir: CString,
    /// `uid_map` and `gid_map` where we aren't root: the process needs a user namespace then.
    maps: Option<[CString; 2]>,
}

impl Overmount {
    /// Shows `folder` at `over`, which must be a folder too; the process begins in `dir`, looked up after that.
    ///
    /// # Errors
    /// A path that has a NUL byte.
    pub fn new(folder: &Path, over: &Path, dir: &Path) -> Result<Self, std::ffi::NulError> {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes());
        let uid = rustix::process::geteuid();
        let own = [uid.as_raw(), rustix::process::getegid().as_raw()];
        let maps = (!uid.is_root()).then(|| own.map(|id| CString::new(format!("{id} {id} 1"))));
        Ok(Self {
            folder: text(folder)?,
            over: text(over)?,
            dir: text(dir)?,
            maps: match maps {
                Some([uid, gid]) => Some([uid?, gid?]),
                None => None,
            },
        })
    }

    /// Has the process of `command` see it; where that can't be, the process doesn't start.
    pub fn apply_to(self, command: &mut std::process::Command) {
        // SAFETY: between fork and exec only system calls are made (rustix calls the kernel directly), with strings that
        // were made before: nothing is allocated, no lock is taken.
        unsafe { command.pre_exec(move || self.enter().map_err(Into::into)) };
    }

    fn enter(&self) -> rustix::io::Result<()> {
        use rustix::mount::{MountPropagationFlags, mount_bind_recursive, mount_change};
        use rustix::thread::UnshareFlags;
        let flags = match self.maps {
            Some(_) => UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
            None => UnshareFlags::NEWNS,
        };
        // SAFETY: a child between fork and exec has one thread, and no file descriptor table is shared or unshared.
        unsafe { rustix::thread::unshare_unsafe(flags)? };
        if let Some([uid, gid]) = &self.maps {
            write(c"/proc/self/setgroups", c"deny")?;
            write(c"/proc/self/uid_map", uid)?;
            write(c"/proc/self/gid_map", gid)?;
        }
        mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount_bind_recursive(self.folder.as_c_str(), self.over.as_c_str())?;
        rustix::process::chdir(self.dir.as_c_str())
    }
}

fn write(path: &CStr, text: &CStr) -> rustix::io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.to_bytes()).map(|_| ())
}
