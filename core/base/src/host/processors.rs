//! How many processors there are for us.

use std::path::Path;

use super::environment::Environment;
use super::fs;

/// How many this process may use; 1 where that isn't known.
#[must_use]
pub fn count() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

/// What `nproc` would print in this environment; `None` where that isn't certain without running it: another
/// program of that name comes first, a variable has a say, or a control group limits us, which not every
/// version of it honours.
#[must_use]
pub fn nproc(environment: &Environment) -> Option<usize> {
    let path = environment.get("PATH")?;
    let program =
        path.split(':').map(|dir| Path::new(dir).join("nproc")).find(|program| fs::exists(program))?;
    let usual = ["/usr/bin/nproc", "/bin/nproc"].iter().any(|usual| program == Path::new(usual));
    let ruled = ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"].iter().any(|name| environment.get(name).is_some());
    let allowed = rustix::thread::sched_getaffinity(None).ok()?.count() as usize;
    let available = std::thread::available_parallelism().ok()?.get();
    (usual && !ruled && allowed == available && fs::is_executable(&program)).then_some(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::process::Process;

    #[test]
    fn it_is_what_the_program_prints() {
        let environment: Environment = [("PATH", "/usr/bin:/bin")].into_iter().collect();
        match nproc(&environment) {
            Some(number) => {
                let printed = Process::new("nproc", [""; 0], &environment).capture().unwrap().text();
                assert_eq!(printed.trim(), number.to_string());
            }
            // The one uncertainty that this environment leaves: a control group that limits this machine.
            None => assert_ne!(count(), rustix::thread::sched_getaffinity(None).unwrap().count()),
        }
    }

    #[test]
    fn it_is_unsure_where_something_else_has_a_say() {
        assert_eq!(nproc(&Environment::default()), None);
        let ruled = [("PATH", "/usr/bin"), ("OMP_NUM_THREADS", "1")].into_iter().collect();
        assert_eq!(nproc(&ruled), None);
        assert_eq!(
            nproc(&[("PATH", ".:/usr/bin:/no")].into_iter().collect()).is_some(),
            !fs::exists(Path::new("./nproc"))
        );
    }
}
