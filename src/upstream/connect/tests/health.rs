use std::num::NonZeroU32;

use super::failing::Lines;
use super::securing::{Authority, echo, policy};
use super::*;
use crate::upstream::health::HealthPolicy;

const PERIOD: Duration = Duration::from_secs(10);

/// The same target, to be set aside after so many failures.
fn watched(member: Member, failures: u32) -> Member {
    let policy = HealthPolicy { failures: NonZeroU32::new(failures).unwrap(), set_aside: PERIOD };
    Member { health: Some(Arc::new(Health::new(policy))), ..member }
}

/// Which targets are set aside, and why.
fn set_aside(world: &World) -> Vec<Option<Cause>> {
    world.targets.all().map(|(_, health)| health?.set_aside().map(|aside| aside.cause)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_silent_target_costs_one_connection_the_timeout_and_not_the_next() {
    let silent = Silent::anywhere();
    let (_listener, alive) = listening().await;
    let mut world = World::new(vec![watched(at(silent.address), 1), watched(at(alive), 1)]).await;
    world.timeouts.connect = Duration::from_secs(5);
    let start = Instant::now();
    assert_eq!(world.connect().await.unwrap().address.socket(), alive);
    assert_eq!(start.elapsed().as_secs(), 5);
    assert_eq!(set_aside(&world), [Some(Cause::ConnectTimeout), None]);
    for _ in 0..9 {
        assert_eq!(world.connect().await.unwrap().address.socket(), alive);
    }
    assert_eq!(start.elapsed().as_secs(), 5);
    world.assert_recorded(&[(ConnectResult::Timeout, 1), (ConnectResult::Connected, 10)], 0);

    tokio::time::advance(PERIOD).await;
    let start = Instant::now();
    let took = |result: Result<Connected, ConnectError>| result.map(|_| start.elapsed().as_secs()).unwrap();
    let (a, b, c, d) = tokio::join!(
        async { took(world.connect().await) },
        async { took(world.connect().await) },
        async { took(world.connect().await) },
        async { took(world.connect().await) },
    );
    let mut all = [a, b, c, d];
    all.sort_unstable();
    assert_eq!(all, [0, 0, 0, 5], "one has probed");
    world.assert_recorded(&[(ConnectResult::Timeout, 2), (ConnectResult::Connected, 14)], 0);
}

#[tokio::test(start_paused = true)]
async fn the_only_target_is_always_tried_and_back_as_soon_as_it_answers() {
    let (port, address) = refusing();
    let world = World::new(vec![watched(at(address), 1)]).await;
    for _ in 0..3 {
        assert_eq!(world.connect().await.unwrap_err().outcome().cause, Cause::Refused);
    }
    assert_eq!(set_aside(&world), [Some(Cause::Refused)]);
    port.listen(8).unwrap();
    world.connect().await.unwrap();
    assert_eq!(set_aside(&world), [None]);
    world.assert_recorded(&[(ConnectResult::Refused, 3), (ConnectResult::Connected, 1)], 0);
}

#[tokio::test(start_paused = true)]
async fn so_many_failures_in_a_row_as_are_asked_for_set_a_target_aside() {
    let (_port, address) = refusing();
    let (_listener, alive) = listening().await;
    let world = World::new(vec![watched(at(address), 3), watched(at(alive), 3)]).await;
    for _ in 0..20 {
        assert_eq!(world.connect().await.unwrap().address.socket(), alive);
    }
    world.assert_recorded(&[(ConnectResult::Refused, 3), (ConnectResult::Connected, 20)], 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_says_nothing_of_the_target_and_leaves_the_probe_to_the_next() {
    let silent = Silent::anywhere();
    let world = World::new(vec![watched(at(silent.address), 1)]).await;
    let leave = async || tokio::time::timeout(Duration::from_secs(1), world.connect()).await.unwrap_err();
    leave().await;
    assert_eq!(set_aside(&world), [None]);
    assert!(world.connect().await.is_err());
    tokio::time::advance(PERIOD).await;
    let health = world.targets.all().next().unwrap().1.unwrap();
    leave().await;
    assert!(!health.waits(), "nobody probes any more");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_not_given_its_time_says_nothing_of_the_target() {
    let silent = [Silent::anywhere(), Silent::anywhere()];
    let mut world = World::new(silent.iter().map(|silent| watched(at(silent.address), 1)).collect()).await;
    world.timeouts.connect = Duration::from_secs(5);
    world.timeouts.connect_total = Duration::from_secs(8);
    assert_eq!(world.connect().await.unwrap_err().attempts.len(), 2);
    assert_eq!(set_aside(&world), [Some(Cause::ConnectTimeout), None]);

    let mut world = World::new(vec![watched(at(silent[0].address), 1)]).await;
    world.timeouts.connect = Duration::from_secs(30);
    world.timeouts.connect_total = Duration::from_secs(8);
    assert!(world.connect().await.is_err());
    assert_eq!(set_aside(&world), [Some(Cause::ConnectTimeout)], "it had all the time there is");
}

#[tokio::test(start_paused = true)]
async fn what_the_proxy_lacks_is_not_the_targets_fault() {
    let world = World::new(Vec::new()).await;
    let plan = world.plan();
    let course = Course { plan: &plan, resolver: Resolver::system(), deadline: Instant::now() };
    let emfile = Failure::OutOfDescriptors(std::io::Error::from_raw_os_error(libc::EMFILE));
    assert!(!course.counts(&emfile, Instant::now()));
    let unresolved = Failure::ResolveFailed(ResolveError::NoAddress);
    for failure in [Failure::Refused, Failure::Timeout, Failure::Reset, Failure::TlsTimeout, unresolved] {
        assert!(course.counts(&failure, Instant::now()), "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_each_turn_tries_the_target() {
    let (_port, dead) = refusing();
    let (_listener, alive) = listening().await;
    let world = World::new(vec![at(dead), at(alive)]).await;
    for _ in 0..4 {
        world.connect().await.unwrap();
    }
    world.assert_recorded(&[(ConnectResult::Refused, 2), (ConnectResult::Connected, 4)], 0);
}

#[tokio::test]
async fn one_address_of_a_name_that_fails_is_not_the_targets_failure_and_all_of_them_are() {
    let (listener, address) = listening().await;
    let (dead, alive) = (IpAddr::from([127, 0, 0, 2]), address.ip());
    let resolver = Resolver::new(move |_| Ok(vec![dead, alive]), 1, 1);
    let world = World::new(vec![watched(names::named(address.port()), 1)]).await;
    connect_with(&world.plan(), world.order(), &resolver).await.unwrap();
    world.assert_recorded(&[(ConnectResult::Refused, 1), (ConnectResult::Connected, 1)], 0);
    assert_eq!(set_aside(&world), [None]);
    drop(listener);
    connect_with(&world.plan(), world.order(), &resolver).await.unwrap_err();
    assert_eq!(set_aside(&world), [Some(Cause::Refused)]);
}

#[tokio::test]
async fn a_target_whose_certificate_does_not_verify_is_set_aside() {
    let (listener, address) = listening().await;
    tokio::spawn(echo(listener, Authority::new().server(), 0));
    let world = World::new(vec![watched(at(address), 1)]).await;
    let policy = policy(&Authority::new(), Some("app.internal"));
    connect(&Plan { tls: Some(&policy), ..world.plan() }).await.unwrap_err();
    assert_eq!(set_aside(&world), [Some(Cause::UpstreamTls)]);
}

#[tokio::test(start_paused = true)]
async fn the_log_says_once_that_a_target_is_set_aside_and_once_that_it_is_back() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("smartproxy::health=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let (port, address) = refusing();
    let world = World::new(vec![watched(at(address), 1)]).await;
    let _default = tracing::subscriber::set_default(subscriber);
    for _ in 0..3 {
        world.connect().await.unwrap_err();
        tokio::time::advance(PERIOD).await;
    }
    port.listen(8).unwrap();
    world.connect().await.unwrap();
    world.connect().await.unwrap();
    let text = lines.text();
    let told: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(" smartproxy::health: ")).map(|(_, rest)| rest).collect();
    let expected = [
        format!(
            "the target is set aside: it is tried only where no other is left route=shop target={address} \
             cause=\"refused\" error=the target refused the connection; does it run, and on this port? set_aside=10s"
        ),
        format!("the target is back route=shop target={address} after=30s"),
    ];
    assert_eq!(told, expected, "{text}");
    assert!(text.contains(" WARN ") && text.contains(" INFO "), "{text}");
}
