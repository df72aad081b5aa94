use std::time::{Duration, SystemTime};

use prometheus::{CounterVec, Gauge, GaugeVec, IntGauge, IntGaugeVec};

use super::catalogue::Catalogue;
use super::meters::{Level, Meters};
use super::unix_seconds;
use super::words::{DaemonState, LeakKind, ReloadResult};

/// What is not counted when it happens, but looked at when somebody asks.
#[derive(Debug)]
pub(super) struct MomentSeries {
    idle_upstream: IntGaugeVec,
    standing_upstream: IntGaugeVec,
    busy: CounterVec,
    tasks: IntGaugeVec,
    set_aside: IntGaugeVec,
    certificates: GaugeVec,
    generation: IntGauge,
    reload_successful: IntGauge,
    reloaded: Gauge,
    states: [IntGauge; DaemonState::ALL.len()],
    draining: IntGauge,
    limit: IntGauge,
    leak_suspects: [IntGauge; LeakKind::ALL.len()],
}

/// One worker, looked at.
#[derive(Clone, Copy, Debug)]
pub struct WorkerMoment {
    /// Its number.
    pub index: usize,
    /// How long it has been busy since it began.
    pub busy: Duration,
    /// Its tasks that live.
    pub tasks: usize,
}

impl MomentSeries {
    pub(super) fn new(make: &mut Catalogue) -> Self {
        let states = make.gauges("smartproxy_state", "1 for what the daemon is up to, 0 for the others.", &["state"]);
        let leak_suspects = make.gauges(
            "smartproxy_leak_suspects",
            "What seems to have leaked, as of the last look; 0 is as it has to be.",
            &["kind"],
        );
        Self {
            idle_upstream: make.gauges(
                "smartproxy_upstream_idle_connections",
                "Pooled connections to targets that no request uses, as of the last second.",
                &["worker"],
            ),
            standing_upstream: make.gauges(
                "smartproxy_upstream_pool_connections",
                "Connections to targets that requests go over, idle or in use, as of the last second.",
                &["worker"],
            ),
            busy: make.seconds_of(
                "smartproxy_worker_busy_seconds_total",
                "How long a worker thread has been busy; its rate is the share of its time.",
                &["worker"],
            ),
            tasks: make.gauges("smartproxy_worker_tasks", "Tasks that live on a worker thread.", &["worker"]),
            set_aside: make.gauges(
                "smartproxy_upstream_target_set_aside",
                "Whether a target is set aside (1) since it could not be connected to, or was once (0).",
                &["route", "target"],
            ),
            certificates: make.moments(
                "smartproxy_certificate_expiry_timestamp_seconds",
                "When a certificate of the running configuration expires, in seconds since 1970.",
                &["certificate"],
            ),
            generation: make.gauge(
                "smartproxy_config_generation",
                "The number of the running configuration: 1 at start, one more for each reload.",
            ),
            reload_successful: make.gauge(
                "smartproxy_config_last_reload_successful",
                "Whether the last reload was done (1) or refused (0); 1 before the first.",
            ),
            reloaded: make.moment(
                "smartproxy_config_last_reload_success_timestamp_seconds",
                "When the running configuration came into force, in seconds since 1970.",
            ),
            states: DaemonState::ALL.map(|state| states.with_label_values(&[state.as_str()])),
            draining: make.gauge(
                "smartproxy_draining_connections",
                "Live client connections that are told to end, by a stop or since their address is gone.",
            ),
            limit: make.gauge(
                "smartproxy_connections_max",
                "How many client connections there may be at once (server.max_connections).",
            ),
            leak_suspects: LeakKind::ALL.map(|kind| leak_suspects.with_label_values(&[kind.as_str()])),
        }
    }

    pub(super) fn reloaded(&self, result: ReloadResult) {
        self.reload_successful.set(i64::from(result == ReloadResult::Done));
    }
}

impl Meters {
    /// The level of one worker's pool of idle upstream connections.
    #[must_use]
    pub fn idle_upstream(&self, worker: usize) -> Level {
        Level(self.moment.idle_upstream.with_label_values(&[&worker.to_string()]))
    }

    /// The level of one worker's upstream connections that requests go over.
    #[must_use]
    pub fn standing_upstream(&self, worker: usize) -> Level {
        Level(self.moment.standing_upstream.with_label_values(&[&worker.to_string()]))
    }

    /// What a worker has done, and has to do.
    pub fn worker(&self, worker: WorkerMoment) {
        let label = worker.index.to_string();
        let busy = self.moment.busy.with_label_values(&[&label]);
        busy.inc_by((worker.busy.as_secs_f64() - busy.get()).max(0.0));
        self.moment.tasks.with_label_values(&[&label]).set(i64::try_from(worker.tasks).unwrap_or(i64::MAX));
    }

    /// Which targets of which routes are set aside now, of those that ever were; all that was said before is forgotten.
    pub fn set_aside<'a>(&self, targets: impl Iterator<Item = (&'a str, &'a str, bool)>) {
        self.moment.set_aside.reset();
        for (route, target, aside) in targets {
            self.moment.set_aside.with_label_values(&[route, target]).set(i64::from(aside));
        }
    }

    /// A configuration comes into force: its number, and when its certificates expire, by what they are called there.
    pub fn in_force<'a>(&self, generation: u64, certificates: impl Iterator<Item = (&'a str, SystemTime)>) {
        self.moment.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.moment.reload_successful.set(1);
        self.moment.reloaded.set(unix_seconds(SystemTime::now()));
        self.moment.certificates.reset();
        for (certificate, expires) in certificates {
            self.moment.certificates.with_label_values(&[certificate]).set(unix_seconds(expires));
        }
    }

    /// What the daemon is up to, and how many connections may live and are told to end.
    pub fn daemon(&self, now: DaemonState, limit: usize, draining: usize) {
        for (state, gauge) in DaemonState::ALL.iter().zip(&self.moment.states) {
            gauge.set(i64::from(*state == now));
        }
        self.moment.limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
        self.moment.draining.set(i64::try_from(draining).unwrap_or(i64::MAX));
    }

    /// How much of a kind seems to have leaked.
    pub fn leak_suspects(&self, kind: LeakKind, count: usize) {
        if let Some(gauge) = self.moment.leak_suspects.get(kind as usize) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
