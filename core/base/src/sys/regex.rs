//! Regular expressions, by libc.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;

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
        // SAFETY: the first argument is writable memory for a regex_t, the second a NUL-terminated text;
        // both outlive the call.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code == 0 {
            // SAFETY: regcomp returned 0, so it has filled the regex_t.
            return Ok(Self(unsafe { regex.assume_init() }));
        }
        let mut text = vec![0_u8; 256];
        // SAFETY: after a failed regcomp its regex_t may be given to regerror, which writes at most
        // `len` bytes to the buffer, the last of them NUL. A regex_t of a failed regcomp must not
        // be freed by regfree.
        unsafe { libc::regerror(code, regex.as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        Err(CStr::from_bytes_until_nul(&text)
            .map_or_else(|_| "it can't be compiled".to_owned(), |text| text.to_string_lossy().into_owned()))
    }

    /// Whether it matches anywhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &CString) -> bool {
        // SAFETY: the regex_t was filled by a successful regcomp, the text is NUL-terminated, and with
        // REG_NOSUB and 0 matches asked for regexec writes nowhere.
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
