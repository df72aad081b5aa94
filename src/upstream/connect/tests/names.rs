use std::io;

use super::*;
use crate::name::HostName;
use crate::upstream::FRESH_FOR;

pub(super) fn named(port: u16) -> Member {
    member(TargetHost::Name(HostName::parse("app.internal").unwrap()), TargetPort::Fixed(port))
}

/// A resolver that answers every question with these addresses.
fn resolver(addresses: &[[u8; 4]]) -> Arc<Resolver> {
    let addresses: Vec<IpAddr> = addresses.iter().copied().map(IpAddr::from).collect();
    Resolver::new(move |_| Ok(addresses.clone()), 1, 1)
}

const ALIVE: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

#[tokio::test]
async fn a_name_is_resolved_and_its_next_address_tried_when_one_fails() {
    let (_listener, address) = listening().await;
    let world = World::new(vec![named(address.port())]).await;
    let connected = connect_with(&world.plan(), world.order(), &resolver(&[OTHER, ALIVE])).await.unwrap();
    assert_eq!(connected.address.socket(), address);
    assert_eq!(connected.target.label().to_string(), format!("app.internal:{}", address.port()));
    world.assert_recorded(&[(ConnectResult::Refused, 1), (ConnectResult::Connected, 1)], 1);
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_overtaken_and_recorded_as_cancelled() {
    let (_listener, address, silent) = Silent::beside_one_that_answers(OTHER).await;
    let world = World::new(vec![named(address.port())]).await;
    let start = Instant::now();
    let connected = connect_with(&world.plan(), world.order(), &resolver(&[OTHER, ALIVE])).await.unwrap();
    assert_eq!(connected.address.socket(), address);
    assert!(start.elapsed() >= ATTEMPT_DELAY);
    world.assert_recorded(&[(ConnectResult::Cancelled, 1), (ConnectResult::Connected, 1)], 1);
    assert_eq!(silent.waiting(), 0);
}

#[tokio::test]
async fn the_next_target_is_tried_when_no_address_of_a_name_answers() {
    let (_port, dead) = refusing();
    let (_listener, address) = listening().await;
    let world = World::new(vec![named(dead.port()), at(address)]).await;
    let connected = connect_with(&world.plan(), world.order(), &resolver(&[ALIVE, OTHER])).await.unwrap();
    assert_eq!(connected.address.socket(), address);
    world.assert_recorded(&[(ConnectResult::Refused, 2), (ConnectResult::Connected, 1)], 1);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_one_failed_attempt() {
    let resolver = Resolver::new(|_| Err(io::Error::other("no such name")), 1, 1);
    let world = World::new(vec![named(80)]).await;
    let error = connect_with(&world.plan(), world.order(), &resolver).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::new(Phase::Connect, Party::Target, Cause::ResolveFailed));
    assert_eq!(error.attempts[0].address, None);
    world.assert_recorded(&[(ConnectResult::ResolveFailed, 1)], 0);
}

#[tokio::test]
async fn a_resolver_that_does_not_answer_takes_the_time_of_one_attempt() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let resolver =
        Resolver::new(move |_| released.lock().unwrap().recv().map(|()| vec![]).map_err(io::Error::other), 1, 1);
    let (_listener, address) = listening().await;
    let mut world = World::new(vec![named(80), at(address)]).await;
    world.timeouts.connect = Duration::from_millis(20);
    let connected = connect_with(&world.plan(), world.order(), &resolver).await.unwrap();
    assert_eq!(connected.address.socket(), address);
    world.assert_recorded(&[(ConnectResult::ResolveFailed, 1), (ConnectResult::Connected, 1)], 1);
    drop(release);
}

/// Lets the answers of a resolver grow old, on a clock that goes on afterwards.
async fn grow_old() {
    tokio::time::pause();
    tokio::time::advance(FRESH_FOR + Duration::from_secs(1)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_target_stays_within_reach_when_its_name_is_lost_and_the_metrics_say_since_when() {
    let (answers, next) = std::sync::mpsc::channel::<io::Result<Vec<IpAddr>>>();
    let next = std::sync::Mutex::new(next);
    let resolver = Resolver::new(move |_| next.lock().unwrap().recv().map_err(io::Error::other)?, 1, 1);
    let (_listener, address) = listening().await;
    let mut world = World::new(vec![named(address.port())]).await;
    let resolved = |world: &World| {
        let text = world.meters.text();
        text.lines().find(|line| line.starts_with("smartproxy_target_resolved_timestamp")).unwrap().to_owned()
    };
    let connect = async |world: &World| connect_with(&world.plan(), world.order(), &resolver).await.unwrap();
    answers.send(Ok(vec![ALIVE.into()])).unwrap();
    connect(&world).await;
    let first = resolved(&world);
    // The system fails, and then it does not answer.
    grow_old().await;
    answers.send(Err(io::Error::other("no name server"))).unwrap();
    connect(&world).await;
    grow_old().await;
    connect(&world).await;
    assert_eq!(resolved(&world), first);
    answers.send(Ok(vec![ALIVE.into()])).unwrap();
    while resolver.addresses(&HostName::parse("app.internal").unwrap()).await.unwrap().stale {
        tokio::task::yield_now().await;
    }
    connect(&world).await;
    let second = resolved(&world);
    assert_ne!(second, first);
    // What has worked before is given its time.
    world.timeouts.connect = Duration::from_millis(20);
    grow_old().await;
    connect(&world).await;
    assert_eq!(resolved(&world), second);
    world.assert_recorded(&[(ConnectResult::Connected, 5)], 0);
}
