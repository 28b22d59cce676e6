//! The command line.

use std::ffi::OsString;

use crate::fault::Fault;
use crate::name::is_of_bundle;
use crate::place::Place;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// From where.
    pub place: Place,
    /// What of it.
    pub wanted: Wanted,
    /// Whether a login follows on standard input.
    pub has_login: bool,
}

/// What of a place is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The names of its files.
    List,
    /// One file.
    File(String),
}

const USAGE: &str = "usage: dkms-fetch [--login] list URL | get URL NAME";

impl Request {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// [`Fault::Usage`]. No word is repeated: one may be a password.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Fault> {
        let usage = || Fault::Usage(USAGE.to_owned());
        let words: Option<Vec<String>> = words.into_iter().map(|word| word.into_string().ok()).collect();
        let words = words.ok_or_else(usage)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (has_login, words) = match words.split_first() {
            Some((&"--login", rest)) => (true, rest),
            _ => (false, words.as_slice()),
        };
        let (url, wanted) = match words {
            ["list", url] => (url, Wanted::List),
            ["get", url, name] if is_of_bundle(name) => (url, Wanted::File((*name).to_owned())),
            ["get", _, _] => return Err(Fault::Usage("the name is not one of a bundle".to_owned())),
            _ => return Err(usage()),
        };
        let place = Place::parse(url).ok_or_else(|| Fault::Usage("the URL is invalid".to_owned()))?;
        Ok(Self { place, wanted, has_login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_commands_are_known() {
        let parse = |line: &str| Request::parse(line.split(' ').map(OsString::from));
        assert_eq!(parse("list http://h/").unwrap().wanted, Wanted::List);
        assert!(parse("--login get https://h/ a-1.dkms.tar").unwrap().has_login);
        for line in
            ["", "list", "list http://h/ x", "get http://h/", "put http://h/ a-1.dkms.tar", "list ftp://h/"]
        {
            assert!(matches!(parse(line), Err(Fault::Usage(_))), "{line}");
        }
        let fault = parse("get http://h/ ../../etc/shadow").unwrap_err();
        assert_eq!(fault.to_string(), "the name is not one of a bundle");
        let fault = parse("list http://user:secret@h/").unwrap_err();
        assert!(!fault.to_string().contains("secret"), "{fault}");
    }
}
