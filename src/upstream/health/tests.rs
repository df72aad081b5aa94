use super::*;

const PERIOD: Duration = Duration::from_secs(10);

fn health(failures: u32) -> Health {
    Health::new(HealthPolicy { failures: NonZeroU32::new(failures).unwrap(), set_aside: PERIOD })
}

fn fail(health: &Health) -> bool {
    health.failed(Cause::Refused, Instant::now())
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_is_set_aside_for_the_period_and_then_probed_by_one() {
    let health = health(1);
    assert!(matches!(health.ask(), Verdict::Use));
    assert!(!health.was_set_aside());
    assert!(fail(&health));
    let since = Instant::now();
    assert_eq!(health.set_aside(), Some(SetAside { cause: Cause::Refused, since }));
    tokio::time::advance(PERIOD - Duration::from_millis(1)).await;
    assert!(health.waits() && matches!(health.ask(), Verdict::Wait));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!health.waits());
    let Verdict::Probe(probe) = health.ask() else { panic!("its time is over") };
    assert!(health.waits() && matches!(health.ask(), Verdict::Wait), "one probes, not two");
    assert_eq!(health.succeeded(), Some(PERIOD));
    drop(probe);
    assert!(matches!(health.ask(), Verdict::Use));
    assert_eq!(health.set_aside(), None);
    assert!(health.was_set_aside());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_sets_it_aside_anew_and_one_that_is_dropped_leaves_it_to_the_next() {
    let health = health(1);
    fail(&health);
    pass(10).await;
    let Verdict::Probe(probe) = health.ask() else { panic!() };
    drop(probe);
    let Verdict::Probe(probe) = health.ask() else { panic!("the one before has found out nothing") };
    assert!(!fail(&health), "it was said already");
    drop(probe);
    pass(9).await;
    assert!(health.waits());
    pass(1).await;
    assert!(!health.waits());
}

#[tokio::test(start_paused = true)]
async fn only_failures_in_a_row_count() {
    let health = health(3);
    for _ in 0..3 {
        assert!(!fail(&health) && !fail(&health));
        assert!(matches!(health.ask(), Verdict::Use));
        assert_eq!(health.succeeded(), None);
    }
    assert!(!fail(&health) && !fail(&health) && fail(&health));
    assert!(health.waits());
}

#[tokio::test(start_paused = true)]
async fn whoever_connects_brings_it_back_and_who_began_before_does_not_count_any_more() {
    let health = health(1);
    let early = Instant::now();
    pass(1).await;
    fail(&health);
    pass(1).await;
    assert_eq!(health.succeeded(), Some(Duration::from_secs(1)));
    assert!(!health.failed(Cause::ConnectTimeout, early));
    assert!(matches!(health.ask(), Verdict::Use));
}

#[tokio::test(start_paused = true)]
async fn the_period_counts_from_the_last_failure() {
    let health = health(1);
    fail(&health);
    pass(4).await;
    assert!(!health.failed(Cause::ConnectTimeout, Instant::now()));
    pass(6).await;
    assert!(health.waits());
    assert_eq!(health.set_aside().map(|aside| aside.cause), Some(Cause::ConnectTimeout));
    pass(4).await;
    assert!(!health.waits());
}

#[tokio::test(start_paused = true)]
async fn a_late_probe_does_not_end_that_of_another() {
    let health = health(1);
    fail(&health);
    pass(10).await;
    let Verdict::Probe(late) = health.ask() else { panic!() };
    health.succeeded();
    fail(&health);
    pass(10).await;
    let Verdict::Probe(_probe) = health.ask() else { panic!() };
    drop(late);
    assert!(health.waits());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_and_goes_is_told_of_once_in_a_period_and_one_that_stays_away_is_told_of() {
    let health = health(1);
    assert!(fail(&health));
    assert_eq!(health.succeeded(), Some(Duration::ZERO));
    for _ in 0..3 {
        pass(3).await;
        assert!(!fail(&health));
        assert_eq!(health.succeeded(), None, "who was not told that it went is not told that it came back");
    }
    pass(0).await;
    assert!(!fail(&health));
    pass(1).await;
    assert!(fail(&health), "it is still away");
    assert_eq!(health.succeeded(), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_period_past_the_end_of_the_clock_is_a_long_one() {
    let health = Health::new(HealthPolicy { failures: NonZeroU32::MIN, set_aside: Duration::MAX });
    fail(&health);
    pass(3600).await;
    assert!(health.waits());
}
