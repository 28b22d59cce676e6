//! What is tried: every action that changes something, in a state where it has much to do.

/// A command in a state.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// How messages call it.
    pub name: &'static str,
    /// Makes the state, as a line of shell.
    pub before: &'static str,
    /// The words after `dkms`.
    pub words: &'static str,
    /// Another command, for when this one was killed.
    pub other: &'static str,
}

/// The sources that are there: name, version, further line of the conf.
pub const MODULES: [(&str, &str, &str); 4] =
    [("foo", "1.0", ""), ("foo", "2.0", ""), ("bar", "1.0", "BUILD_DEPENDS=foo"), ("baz", "1.0", "")];

/// Puts a module of the kernel in place, older than ours.
const ORIGINAL: &str = "mkdir -p /lib/modules/$K/kernel/drivers/misc
    cp /srv/ready/foo-0.1.ko /lib/modules/$K/kernel/drivers/misc/foo.ko; depmod $K";

/// All of them; `ORIGINAL` stands for [`ORIGINAL`](self::ORIGINAL).
const TABLE: [Action; 24] = [
    action("add by name", "", "add foo/1.0", "install foo/1.0 -k $K"),
    action("add a folder", "mv /usr/src/foo-1.0 /srv/new", "add /srv/new", "add /srv/new --force"),
    action(
        "add a folder over one",
        "cp -r /usr/src/foo-1.0 /srv/new; touch /srv/new/more; dkms add foo/1.0; dkms remove foo/1.0",
        "add /srv/new --force",
        "add foo/1.0",
    ),
    action("build", "dkms add foo/1.0", "build foo/1.0 -k $K", "remove foo/1.0 --all"),
    action("build again", "dkms build foo/1.0 -k $K", "build foo/1.0 -k $K --force", "install foo/1.0 -k $K"),
    action(
        "build of what is installed",
        "dkms install foo/1.0 -k $K",
        "build foo/1.0 -k $K --force",
        "uninstall foo/1.0 -k $K",
    ),
    action("install", "dkms build foo/1.0 -k $K", "install foo/1.0 -k $K", "remove foo/1.0 --all"),
    action("install from nothing", "", "install foo/1.0 -k $K", "install foo/2.0 -k $K"),
    action(
        "install over an original",
        "ORIGINAL; dkms add foo/1.0",
        "install foo/1.0 -k $K",
        "remove foo/1.0 --all",
    ),
    action(
        "install over another version",
        "ORIGINAL; dkms install foo/1.0 -k $K; dkms build foo/2.0 -k $K",
        "install foo/2.0 -k $K",
        "uninstall foo/1.0 -k $K",
    ),
    action(
        "install over a newer version",
        "dkms install foo/2.0 -k $K",
        "install foo/1.0 -k $K --force",
        "remove foo/2.0 --all",
    ),
    action(
        "install again",
        "ORIGINAL; dkms install foo/1.0 -k $K",
        "install foo/1.0 -k $K --force",
        "uninstall foo/1.0 -k $K",
    ),
    action("install on two kernels", "dkms add foo/1.0", "install foo/1.0 -k $K -k $K2", "autoinstall -k $K"),
    action(
        "uninstall",
        "dkms install foo/1.0 -k $K; dkms install baz/1.0 -k $K",
        "uninstall foo/1.0 -k $K",
        "install foo/1.0 -k $K",
    ),
    action(
        "uninstall back to an original",
        "ORIGINAL; dkms install foo/1.0 -k $K",
        "uninstall foo/1.0 -k $K",
        "install foo/1.0 -k $K",
    ),
    action(
        "unbuild",
        "ORIGINAL; dkms install foo/1.0 -k $K",
        "unbuild foo/1.0 -k $K",
        "install foo/2.0 -k $K",
    ),
    action(
        "remove",
        "ORIGINAL; dkms install foo/1.0 -k $K; dkms install foo/1.0 -k $K2; dkms build foo/2.0 -k $K",
        "remove foo/1.0 --all",
        "install foo/2.0 -k $K",
    ),
    action("remove the last one", "dkms build foo/1.0 -k $K", "remove foo/1.0 --all", "add foo/1.0"),
    action(
        "autoinstall",
        "ORIGINAL; dkms add bar/1.0; dkms add foo/1.0",
        "autoinstall -k $K",
        "kernel_prerm -k $K",
    ),
    action(
        "kernel_prerm",
        "ORIGINAL; dkms install foo/1.0 -k $K; dkms install baz/1.0 -k $K; dkms build bar/1.0 -k $K",
        "kernel_prerm -k $K",
        "autoinstall -k $K",
    ),
    action(
        "match",
        "dkms install foo/1.0 -k $K; dkms install baz/1.0 -k $K",
        "match --templatekernel $K -k $K2",
        "remove foo/1.0 --all",
    ),
    action(
        "ldtarball",
        "dkms build foo/1.0 -k $K; SOURCE_DATE_EPOCH=0 dkms mktarball foo/1.0 -k $K --archive /srv/foo.tar.gz; dkms remove foo/1.0 --all; rm -r /usr/src/foo-1.0",
        "ldtarball /srv/foo.tar.gz",
        "ldtarball /srv/foo.tar.gz --force",
    ),
    action("mktarball", "dkms build foo/1.0 -k $K", "mktarball foo/1.0 -k $K", "remove foo/1.0 --all"),
    action("generate_mok", "", "generate_mok", "install foo/1.0 -k $K"),
];

const fn action(
    name: &'static str,
    before: &'static str,
    words: &'static str,
    other: &'static str,
) -> Action {
    Action { name, before, words, other }
}

impl Action {
    /// The line of shell that makes its state.
    #[must_use]
    pub fn setup(&self) -> String {
        format!("rm -rf /srv/new /srv/foo.tar.gz\n{}", self.before.replace("ORIGINAL", ORIGINAL))
    }

    /// All of them, or those whose names contain this.
    #[must_use]
    pub fn all(only: &str) -> Vec<Self> {
        TABLE.into_iter().filter(|action| action.name.contains(only)).collect()
    }
}
