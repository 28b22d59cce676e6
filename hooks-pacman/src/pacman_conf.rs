//! Where pacman's database is, by pacman.conf. Pure.
//!
//! A hook isn't told; and a database named on pacman's command line is the caller's secret.

/// Where it is by default.
const USUAL: &str = "/var/lib/pacman";

/// Where the database may be, best first. We run below pacman's root: a path through it is
/// one below `/` for us.
#[must_use]
pub fn databases(conf: &str) -> Vec<String> {
    let root = value(conf, "RootDir").unwrap_or("/").trim_end_matches('/');
    let mut places = Vec::new();
    if let Some(path) = value(conf, "DBPath") {
        places.push(path);
        places.extend(path.strip_prefix(root).filter(|rest| !root.is_empty() && rest.starts_with('/')));
    }
    places.push(USUAL);
    places.into_iter().map(|path| format!("{}/", path.trim_end_matches('/'))).collect()
}

/// What the section `options` says, first wins.
fn value<'a>(conf: &'a str, name: &str) -> Option<&'a str> {
    let mut section = "";
    for line in conf.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = header;
        } else if let Some((key, value)) = line.split_once('=')
            && section == "options"
            && key.trim() == name
            && value.trim().starts_with('/')
        {
            return Some(value.trim());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_may_lie_elsewhere() {
        assert_eq!(databases(""), ["/var/lib/pacman/"]);
        let conf = "DBPath=/x\n[options]\n#DBPath = /y\nDBPath  =  /srv/root/db/\nRootDir = /srv/root\n[core]\nDBPath = /z";
        assert_eq!(databases(conf), ["/srv/root/db/", "/db/", "/var/lib/pacman/"]);
        assert_eq!(databases("[options]\nDBPath = /a\nRootDir = /"), ["/a/", "/var/lib/pacman/"]);
    }
}
