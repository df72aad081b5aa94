use super::control::{Readiness, Shared};
use crate::telemetry::{DaemonState, WorkerMoment};

impl Shared {
    /// The metrics' text. What is not counted when it happens is looked at here, by who asks and not by those who work.
    pub(super) fn metrics(&self) -> String {
        let meters = self.registry.meters();
        let generation = self.current.load();
        let troubled = generation.troubled();
        meters
            .set_aside(troubled.map(|one| (&**one.route.meter.name(), &**one.target.label(), one.set_aside.is_some())));
        for target in self.targets() {
            target.show_in_flight();
        }
        for (index, worker) in self.workers().into_iter().enumerate() {
            // Each worker's runtime has one thread, which is its first.
            let busy = worker.runtime.worker_total_busy_duration(0);
            meters.worker(WorkerMoment { index, busy, tasks: worker.runtime.num_alive_tasks() });
        }
        let state = match self.readiness() {
            Readiness::Starting => DaemonState::Starting,
            Readiness::Ready => DaemonState::Ready,
            Readiness::Draining => DaemonState::Draining,
        };
        let draining = self.registry.settle();
        meters.daemon(state, self.gate.limit(), draining);
        meters.text()
    }
}
