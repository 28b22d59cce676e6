//! Lines of a build's log that say that the sandbox refused something. Pure: text in, kinds out.
//!
//! The messages are those of the programs that builds run: curl, wget, git, apt, pip, coreutils, sudo,
//! mount and their kind.

/// What a sandbox refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalKind {
    /// A connection.
    Network,
    /// Another owner of a file, a mount, a device: what needs root's rights.
    Rights,
    /// Becoming root by sudo and its kind.
    BecomingRoot,
    /// A write outside of the build folder.
    Write,
    /// Reading what the build user may not, or what is hidden.
    Read,
}

impl std::fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Network => "builds have no network in the sandbox",
            Self::Rights => "builds have no rights of root in the sandbox",
            Self::BecomingRoot => "no program gets the rights of root in the sandbox",
            Self::Write => "builds can only write to their own folder in the sandbox",
            Self::Read => "this file is hidden in the sandbox, or the build user may not read it",
        })
    }
}

/// A line of a log, and what was refused there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What.
    pub kind: RefusalKind,
    /// The line.
    pub line: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: `{}`", self.kind, self.line)
    }
}

/// How a module gets what the sandbox refuses.
#[must_use]
pub fn exempt_hint(module: &str) -> String {
    format!("to build {module} without the sandbox, add it to `sandbox_exempt` in framework.conf")
}

/// The first line of each kind, in the order of the log.
pub(super) fn of(lines: &[&str]) -> Vec<Refusal> {
    let mut found: Vec<Refusal> = Vec::new();
    for line in lines {
        if let Some(kind) = kind_of(line)
            && !found.iter().any(|refusal| refusal.kind == kind)
        {
            found.push(Refusal { kind, line: shortened(line) });
        }
    }
    found
}

/// The kind of refusal that a line reports.
pub(super) fn kind_of(line: &str) -> Option<RefusalKind> {
    // Commands that make shows before they run, and what a compiler says of a source, are no
    // messages of the kind.
    if line.starts_with(['+', '\t', '#']) || line.contains(": warning: ") || line.contains(": note: ") {
        return None;
    }
    let text = line.to_lowercase();
    if is_answer_of_configure(&text) {
        return None;
    }
    let any = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // The bus and a mount of root's are no connections and no files.
    if text.contains("connect to bus") || text.contains("mount: ") && text.contains("permission denied") {
        return Some(RefusalKind::Rights);
    }
    if any(NETWORK) || any(CONNECTING) && any(&["permission denied", "not permitted"]) {
        return Some(RefusalKind::Network);
    }
    if any(BECOMING_ROOT) {
        return Some(RefusalKind::BecomingRoot);
    }
    if text.contains("read-only file system") {
        return Some(RefusalKind::Write);
    }
    if any(RIGHTS) {
        return Some(RefusalKind::Rights);
    }
    if text.contains("permission denied") && !super::error::is_not_executable(line) {
        return Some(if is_write(&text) { RefusalKind::Write } else { RefusalKind::Read });
    }
    (text.contains("no such file or directory") && names_hidden(&text)).then_some(RefusalKind::Read)
}

/// Whether configure or cmake says whether it has found something; it may be called as a message is worded.
/// What a program wrote behind the question, in the same line, names that program.
fn is_answer_of_configure(text: &str) -> bool {
    let question = text.strip_prefix("checking ").or_else(|| text.strip_prefix("-- looking for "));
    question.is_some_and(|question| !question.rsplit("... ").next().unwrap_or_default().contains(": "))
}

/// What comes before why a connection was refused.
const CONNECTING: &[&str] =
    &["connect to ", "connecting to ", "connection to ", "connect: ", "udp setup with ", "tcp setup with "];

const NETWORK: &[&str] = &[
    "connect eacces",
    "connect eperm",
    "connect enetunreach",
    "econnrefused",
    "... failed: permission denied",
    "could not resolve",
    "couldn't resolve",
    "unable to resolve",
    "cannot resolve",
    "failed to resolve",
    "failure in name resolution",
    "temporary failure resolving",
    "failed to lookup address",
    "name or service not known",
    "nodename nor servname",
    "no address associated with hostname",
    "name resolution failed",
    "unknown host",
    "unknownhostexception",
    "bad address '",
    "getaddrinfo",
    "eai_again",
    "enotfound",
    "dial tcp",
    "dial udp",
    "network is unreachable",
    "no route to host",
    "failed to connect to",
    "couldn't connect to server",
    "could not connect to",
    "unable to connect to",
    "can't connect to",
    "cannot connect to",
    "connection refused",
    "failed to establish a new connection",
    "no servers could be reached",
    "connection timed out; no servers",
    "failed to fetch http",
    "failed to download",
    "unable to access 'http",
    "unable to access \"http",
    "urlopen error",
    "/dev/tcp/",
    "/dev/udp/",
    ": socket: permission denied",
    ": socket: operation not permitted",
    "socket: permission denied",
    "io::socket",
    "netlink socket: permission denied",
    "errno=permission denied",
    "curl: (6)",
    "curl: (7)",
    "curl error (6)",
    "curl error (7)",
    "name resolution for ",
    "could not contact dns",
    "no keyserver available",
    "no such host",
    "gethostbyname",
    "host not found",
    "host is unreachable",
    "network unreachable",
    "network is down",
    "connection timed out",
    "address family not supported",
    "no internet",
    "no network connection",
    "could not read from remote repository",
];

const BECOMING_ROOT: &[&str] = &[
    "no new privileges",
    "sudo: ",
    "doas: ",
    "must be setuid root",
    "runuser: may not be used by non-root",
    "su: authentication failure",
    "su: system error",
    "su: permission denied",
    "su: must be run from",
    "su: cannot set",
    "effective uid is not 0",
];

const RIGHTS: &[&str] = &[
    "operation not permitted",
    "must be superuser",
    "only root can",
    "only root may",
    "you must be root",
    "must be root",
    "must be run as root",
    "must be run by root",
    "must run as root",
    "run this as root",
    "run as root",
    "executed as root",
    "run with sudo",
    "try with sudo",
    "using sudo",
    "root access",
    "root rights",
    "not superuser",
    "the superuser",
    "insufficient privileges",
    "insufficient permission",
    "elevated privileges",
    "administrator privileges",
    "cap_sys_",
    "loop device",
    "no permission to ",
    "not been booted with systemd",
    "message bus: ",
    "are you root",
    "need to be root",
    "needs to be root",
    "requires root",
    "require root",
    "needs root",
    "root privileges",
    "root permission",
    "superuser privilege",
    "not running as root",
    "cannot change ownership",
    "changing ownership of",
    "failed to preserve ownership",
    "permission denied on key",
    "could not open lock file",
    "unable to lock directory",
    "/dev/mem:",
    "/dev/kmem:",
    "/sys/firmware/",
    "can't create temporary cache file",
    "audit interface - aborting",
    "unless you are root",
    "super-user",
    "super user",
];

/// Whether a message of "permission denied" is about making or changing a file.
fn is_write(text: &str) -> bool {
    let parts = [
        "cannot create",
        "can't create",
        "cannot touch",
        "cannot remove",
        "cannot move",
        "cannot overwrite",
        "couldn't open temporary file",
        "failed to create",
        "for writing",
        "cannot write",
        "unable to write",
        "changing permissions",
        "creating ",
    ];
    parts.iter().any(|part| text.contains(part))
}

/// Whether a message names a path in a place that the sandbox hides.
fn names_hidden(text: &str) -> bool {
    let is_path_end = |c: char| c.is_whitespace() || "'\"`‘’:,;()".contains(c);
    let hidden = ["/home/", "/root/", "/run/", "/var/run/", "/dev/"];
    let shown = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/std", "/dev/fd"];
    text.split(is_path_end).any(|word| {
        hidden.iter().any(|place| word.starts_with(place) && word.len() > place.len())
            && !shown.iter().any(|place| word.starts_with(place))
    })
}

/// A line as it fits into a message.
fn shortened(line: &str) -> String {
    const MOST: usize = 200;
    let line = line.trim();
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What curl 7.88, wget 1.21, git 2.39, apt 2.6, pip 23, coreutils 9.1 and others write in a sandbox.
    #[test]
    fn messages_of_programs_that_were_refused_something() {
        use RefusalKind::{BecomingRoot, Network, Read, Rights, Write};
        for (line, kind) in [
            ("curl: (6) Could not resolve host: example.org", Network),
            (
                "curl: (7) Failed to connect to 192.0.2.1 port 80 after 0 ms: Couldn't connect to server",
                Network,
            ),
            ("wget: unable to resolve host address ‘example.org’", Network),
            ("Connecting to 192.0.2.1:80... failed: Permission denied.", Network),
            ("fatal: unable to access 'https://x.org/x.git/': Could not resolve host: x.org", Network),
            ("192.0.2.1[0: 192.0.2.1]: errno=Permission denied", Network),
            (
                "Err:1 http://deb.debian.org/debian x InRelease  Temporary failure resolving 'deb.debian.org'",
                Network,
            ),
            (
                "urllib.error.URLError: <urlopen error [Errno -3] Temporary failure in name resolution>",
                Network,
            ),
            (
                "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
                Network,
            ),
            ("ping: example.org: Temporary failure in name resolution", Network),
            ("bash: line 1: /dev/tcp/192.0.2.1/80: Permission denied", Network),
            ("ssh: Could not resolve hostname x.org: Temporary failure in name resolution", Network),
            ("IO::Socket::INET: Permission denied at -e line 1.", Network),
            ("wget: bad address 'example.org'", Network),
            ("errorCode=19 Name resolution for x.org failed:Could not contact DNS servers", Network),
            ("gpg: keyserver receive failed: No keyserver available", Network),
            ("go: Get \"https://x.org/\": lookup x.org on [::1]:53: no such host", Network),
            ("curl: (28) Connection timed out after 300 milliseconds", Network),
            ("socket: Address family not supported by protocol", Network),
            ("Connecting to proxy:3128... failed: Permission denied.", Network),
            ("ssh: connect to host x.org port 22: Permission denied", Network),
            ("nc: connect to x.org port 80 (tcp) failed: Permission denied", Network),
            (";; UDP setup with 192.0.2.1#53(192.0.2.1) for x.org failed: permission denied.", Network),
            ("Error: connect EACCES 192.0.2.1:443 - Local (undefined:undefined)", Network),
            ("Failed to connect to bus: No such file or directory", Rights),
            ("mount: /mnt: permission denied.", Rights),
            ("E: you cannot perform this operation unless you are root.", Rights),
            ("Please run this program as super-user", Rights),
            ("losetup: cannot find an unused loop device: Permission denied", Rights),
            ("Swap: swapon: Not superuser.", Rights),
            (
                "checking for loop devices... losetup: cannot find an unused loop device: Permission denied",
                Rights,
            ),
            ("You need root access", Rights),
            ("losetup: cannot find an unused loop device: No such file or directory", Rights),
            ("Error: No permission to enable cycles event.", Rights),
            ("System has not been booted with systemd as init system (PID 1). Can't operate.", Rights),
            ("pkexec must be setuid root", BecomingRoot),
            ("runuser: may not be used by non-root users", BecomingRoot),
            ("chown: changing ownership of 'x': Operation not permitted", Rights),
            ("install: cannot change ownership of 'y': Operation not permitted", Rights),
            ("cp: failed to preserve ownership for 'y': Operation not permitted", Rights),
            ("mount: /mnt: must be superuser to use mount.", Rights),
            ("mknod: a: Operation not permitted", Rights),
            ("/sys/firmware/dmi/tables/smbios_entry_point: Permission denied", Rights),
            ("/dev/mem: No such file or directory", Rights),
            ("dpkg: error: requested operation requires superuser privilege", Rights),
            ("E: Could not open lock file /var/lib/apt/lists/lock - open (13: Permission denied)", Rights),
            ("This script must be run as root", Rights),
            (
                "sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.",
                BecomingRoot,
            ),
            (
                "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set?",
                BecomingRoot,
            ),
            ("Password: su: System error", BecomingRoot),
            ("ldconfig: Can't create temporary cache file /etc/ld.so.cache~: Read-only file system", Write),
            ("mkdir: cannot create directory ‘/var/lib/x’: Read-only file system", Write),
            ("mkdir: cannot create directory ‘/var/lib/x’: Permission denied", Write),
            ("sed: couldn't open temporary file /etc/sedyfaKC4: Read-only file system", Write),
            ("cat: /etc/shadow: Permission denied", Read),
            ("cat: /root/x: No such file or directory", Read),
            ("cp: cannot stat '/home/u/key': No such file or directory", Read),
            ("bash: line 1: /home/u/run.sh: No such file or directory", Read),
        ] {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_refusals() {
        for line in [
            "  CC [M]  /var/lib/dkms/foo/1.0/build/network.o",
            "/b/foo.c:4:10: fatal error: drm/drmP.h: No such file or directory",
            "cc1: fatal error: x.c: No such file or directory",
            "make[1]: *** No rule to make target 'x'.  Stop.",
            "+ chown root:root x || echo must be root",
            "# command: sudo: x",
            "cat: /dev/null/x: No such file or directory",
            "/b/foo.c:1:1: warning: unused variable ‘sudo: x’",
            "checking for connect in -lsocket... yes",
            "checking for gethostbyname... yes",
            "checking whether loop device support is built in... no",
            "-- Looking for gethostbyname - found",
            "Can't exec \"./x\": Permission denied at ./configure line 3.",
        ] {
            assert_eq!(kind_of(line), None, "{line}");
        }
    }

    #[test]
    fn the_first_line_of_each_kind_is_told() {
        let found = of(&["curl: (6) a", "curl: (7) b", "mknod: a: Operation not permitted", "ok"]);
        let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "builds have no network in the sandbox: `curl: (6) a`",
                "builds have no rights of root in the sandbox: `mknod: a: Operation not permitted`"
            ]
        );
    }
}
