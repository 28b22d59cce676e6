//! Manuals and completions, from the definitions of the command lines; framework.conf, from
//! the table of settings.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use dkms_cli::help;
use dkms_conf::table;

use crate::roff::Page;

/// All of them by the names in `install.list`.
///
/// # Errors
/// Where one can't be rendered.
pub fn all() -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    for (shell, name) in [(Shell::Bash, "dkms.bash"), (Shell::Fish, "dkms.fish"), (Shell::Zsh, "dkms.zsh")] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut dkms_cli::args::Args::command(), "dkms", &mut text);
        pages.insert(name.to_owned(), String::from_utf8(text)?);
    }
    pages.insert("dkms.8".to_owned(), dkms()?);
    pages.insert("dh_dkms.1".to_owned(), dh_dkms()?);
    pages.insert("framework.conf".to_owned(), table::framework_conf());
    Ok(pages)
}

/// What every page begins with: title, name, synopsis, options.
fn begin(command: Command, section: &str) -> Result<Page> {
    let date = String::new();
    let man = Man::new(command.after_help("").version(env!("CARGO_PKG_VERSION")))
        .section(section)
        .date(date)
        .source(concat!("dkms ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    Ok(Page::begin(&String::from_utf8(text)?))
}

fn dkms() -> Result<String> {
    let mut page = begin(dkms_cli::args::Args::command().override_usage("dkms ACTION [M/V] [OPTIONS]"), "8")?;
    page.section("ACTIONS");
    for entry in help::entries() {
        let lines: Vec<_> = entry.synopsis().collect();
        let codes: Vec<_> = entry.exit_codes().map(|(code, _)| code.to_string()).collect();
        page.item(&lines.join(", "), &format!("{} Exit codes: {}.", entry.about, codes.join(", ")));
    }
    page.section("FILES");
    for (name, text) in [
        ("/usr/src/M-V", "Source of module `M` in version `V`, with its `dkms.conf`."),
        ("/var/lib/dkms", "What was added and built; logs are in `M/V/K/A/log`."),
        ("/lib/modules/K/updates/dkms", "What is installed for kernel `K`, on Debian and Ubuntu."),
        ("/usr/lib/sysimage/dkms/manifest.json", "What `bake` has made part of the image of this system."),
        (
            "/etc/dkms/framework.conf, /etc/dkms/framework.conf.d/*.conf",
            "Settings, explained below and in the file.",
        ),
        (
            "/etc/dkms/M.conf, M-V.conf, M-V-K.conf, M-V-K-A.conf",
            "Directives over those of the module's `dkms.conf`.",
        ),
    ] {
        page.item(name, text);
    }
    page.section("SETTINGS");
    for table::Setting { name, shown, about, .. } in table::all() {
        let default = match shown {
            table::Shown::Default("") => "Default: empty.".to_owned(),
            table::Shown::Default(text) => format!("Default: `{text}`."),
            table::Shown::Example(text) => format!("Example: `{text}`."),
        };
        page.item(name, &format!("{about} {default}"));
    }
    page.section("EXIT STATUS");
    for (code, meaning) in help::EXITS {
        page.item(&code.to_string(), meaning);
    }
    page.section("SEE ALSO");
    page.paragraph("`modprobe`(8), `depmod`(8), `dh_dkms`(1)");
    Ok(page.finish())
}

fn dh_dkms() -> Result<String> {
    let mut page = begin(dh_dkms::args::Args::command(), "1")?;
    page.section("FILES");
    page.item(
        "debian/PACKAGE.dkms",
        "The `dkms.conf` of the module in the package (for the main package: `debian/dkms`), or the name of the one file that is. \
         It is installed as `usr/src/NAME-VERSION/dkms.conf`, and the package's scripts get what adds the module to DKMS and removes it.",
    );
    page.section("NOTES");
    page.paragraph(
        "With `dh`, build-depend on `dh-sequence-dkms`. The module's source is installed to the same folder by `dh_install` or the like. \
         The package gets a dependency on dkms through `${misc:Depends}`.",
    );
    page.section("SEE ALSO");
    page.paragraph("`debhelper`(7), `dh`(1), `dkms`(8)");
    Ok(page.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_every_action_and_option() {
        let pages = all().unwrap();
        let plain = |name: &str| pages[name].replace("\\-", "-");
        for part in ["autoinstall", "kernel_preinst", "--force-version-override", "mktarball", "completions"]
        {
            assert!(plain("dkms.8").contains(part), "{part}");
        }
        for part in ["--legacy", "--check", "-V", "#MODULE_VERSION#", "debian/PACKAGE.dkms"] {
            assert!(plain("dh_dkms.1").contains(part), "{part}");
        }
        for name in ["dkms.bash", "dkms.fish", "dkms.zsh"] {
            assert!(pages[name].contains("templatekernel"), "{name}");
        }
    }
}
