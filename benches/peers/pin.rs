//! Which core a process runs on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `work` with this thread on the core of the peers, so that a process started in it stays there, and goes back to the
/// other one, where the load and the backends are.
///
/// With one core for everything nothing is pinned.
pub(crate) fn on_peers_core<R>(work: impl FnOnce() -> R) -> R {
    let cores = cores();
    let (Some(peers), Some(load)) = (cores.first(), cores.get(1)) else { return work() };
    set(*peers);
    let result = work();
    set(*load);
    result
}

/// Puts this thread, and those that it starts from now on, on the core of the load.
pub(crate) fn on_loads_core() {
    on_peers_core(|| {});
}

fn set(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).unwrap();
}

/// The cores that this process could use when it began.
fn cores() -> &'static [usize] {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    CORES.get_or_init(|| {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    })
}
