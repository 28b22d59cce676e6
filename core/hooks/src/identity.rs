//! Which module a folder of `/usr/src` is of, where its dkms.conf says another name or version
//! than the folder. Pure.
//!
//! `dkms install NAME/VERSION` goes by the folder, `/usr/src/NAME-VERSION`, and so do the
//! packages that call it.

use dkms_base::id::ModuleId;

/// The module whose source a folder is; `conf`: what its dkms.conf says. `None`: the folder's name is no name
/// and version, so that no command can name the module either.
#[must_use]
pub(crate) fn of_folder(folder: &str, conf: &ModuleId) -> Option<ModuleId> {
    if conf.dir_name() == folder {
        return Some(conf.clone());
    }
    let (name, version) = (conf.name.as_str(), conf.version.as_str());
    // One of both may be right, which tells where the other ends.
    let by_name = folder.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    let by_name = by_name.filter(|rest| is_like_a_version(rest)).map(|rest| (name, rest));
    let by_version = folder.strip_suffix(version).and_then(|rest| Some((rest.strip_suffix('-')?, version)));
    let (name, version) = by_name.or(by_version).or_else(|| folder.rsplit_once('-'))?;
    ModuleId::parse(name, version).ok()
}

/// `1.0`, `v1.0`, `r119.7df2680`: what a name doesn't go on with.
fn is_like_a_version(text: &str) -> bool {
    text.trim_start_matches(['r', 'v']).starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_counts_and_the_conf_tells_where_its_name_ends() {
        let conf = ModuleId::parse("nct", "1.0").unwrap();
        for (folder, module) in [
            ("nct-1.0", Some("nct/1.0")),
            ("nct-2.0-rc1", Some("nct/2.0-rc1")),
            ("nct-dkms-git-1.0", Some("nct-dkms-git/1.0")),
            ("my-nct6687-1.0", Some("my-nct6687/1.0")),
            ("broadcom-wl-6.30.223.271", Some("broadcom-wl/6.30.223.271")),
            ("nct-dkms-git-r119.7df2680", Some("nct-dkms-git/r119.7df2680")),
            ("nct", None),
            ("plain", None),
            ("-1", None),
        ] {
            let found = of_folder(folder, &conf).map(|id| id.to_string());
            assert_eq!(found.as_deref(), module, "{folder}");
        }
    }
}
