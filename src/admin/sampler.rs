use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::connection::{Registry, SHARDS};

/// How often it is marked what each connection has moved; for 50,000 of them it takes some milliseconds of the control plane's
/// time, and nothing of the workers'.
const EVERY: Duration = Duration::from_secs(1);

/// Marks, for as long as it is polled, what each live connection has moved, so that rates are of the last few seconds.
pub(super) async fn mark_paces(registry: Arc<Registry>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for shard in 0..SHARDS {
            registry.mark_pace(shard);
            tokio::task::yield_now().await;
        }
    }
}
