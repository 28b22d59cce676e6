//! Work shared by several roots.

use std::sync::Mutex;

use anyhow::Result;

/// How many roots work at once: other tests run beside this one, and at the end of a run it is alone.
fn roots() -> usize {
    usize::try_from(dkms_base::host::processors::count() / 2).map_or(2, |half| half.max(2))
}

/// Does every task, each with one of a few worlds; the results, in no order.
///
/// # Errors
/// The first that a world or a task had.
pub fn all<W, T: Send, R: Send>(
    tasks: Vec<T>,
    world: impl Fn() -> Result<W> + Sync,
    work: impl Fn(&W, T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    among(roots(), tasks, world, work)
}

/// The same with so many worlds.
///
/// # Errors
/// As [`all`].
pub fn among<W, T: Send, R: Send>(
    worlds: usize,
    tasks: Vec<T>,
    world: impl Fn() -> Result<W> + Sync,
    work: impl Fn(&W, T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let tasks = Mutex::new(tasks);
    // A lock is poisoned only by a panic, which the scope passes on.
    let next = || tasks.lock().ok().and_then(|mut tasks| tasks.pop());
    let one = || -> Result<Vec<R>> {
        let Some(first) = next() else { return Ok(Vec::new()) };
        let world = world()?;
        std::iter::once(first).chain(std::iter::from_fn(next)).map(|task| work(&world, task)).collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..worlds).map(|_| scope.spawn(one)).collect();
        let ended = workers.into_iter().map(|worker| worker.join());
        let mut results = Vec::new();
        for result in ended {
            results.extend(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(results)
    })
}
