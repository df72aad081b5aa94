use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::securing::{Authority, policy};
use super::*;

/// Polls until the condition holds; the future must not end before.
async fn until<T: std::fmt::Debug>(mut future: std::pin::Pin<&mut impl Future<Output = T>>, holds: impl Fn() -> bool) {
    poll_fn(|context| {
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            panic!("it ended: {result:?}");
        }
        if holds() {
            return Poll::Ready(());
        }
        // What is waited for may wake nobody, and the kernel's table may miss a row while others change.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[tokio::test]
async fn b17_a_client_that_leaves_while_the_target_is_connected_to_leaves_no_socket() {
    let silent = Silent::anywhere();
    let world = World::new(vec![at(silent.address)]).await;
    {
        let mut connecting = pin!(world.connect());
        until(connecting.as_mut(), || silent.waiting() == 1).await;
        world.assert_recorded(&[], 1);
    }
    world.assert_recorded(&[(ConnectResult::Cancelled, 1)], 0);
    assert_eq!(silent.waiting(), 0);
    assert!(!world.guard.connection().reached_target());
}

#[tokio::test]
async fn a_client_that_leaves_during_the_targets_handshake_closes_it() {
    let (listener, address) = listening().await;
    let world = World::new(vec![at(address)]).await;
    let policy = policy(&Authority::new(), None);
    let mut peer = {
        let plan = Plan { tls: Some(&policy), ..world.plan() };
        let mut connecting = pin!(connect(&plan));
        let mut accepting = pin!(listener.accept());
        poll_fn(|context| {
            assert!(connecting.as_mut().poll(context).is_pending());
            accepting.as_mut().poll(context)
        })
        .await
        .unwrap()
        .0
    };
    world.assert_recorded(&[(ConnectResult::Cancelled, 1)], 0);
    // Ends only when our side is closed: in order or, with something unread, by a reset.
    let _ = peer.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_a_name_is_resolved_is_recorded_once() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let resolver = Resolver::new(
        move |_| {
            let _ = released.lock().unwrap().recv();
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        },
        1,
        1,
    );
    let world = World::new(vec![names::named(9)]).await;
    {
        let plan = world.plan();
        let mut connecting = pin!(connect_with(&plan, world.order(), &resolver));
        until(connecting.as_mut(), || true).await;
        world.assert_recorded(&[], 1);
    }
    world.assert_recorded(&[(ConnectResult::Cancelled, 1)], 0);
    drop(release);
}

#[tokio::test]
async fn a_call_that_is_never_polled_records_nothing() {
    let (_listener, address) = listening().await;
    let world = World::new(vec![at(address)]).await;
    drop(world.connect());
    world.assert_recorded(&[], 0);
    assert_eq!(world.guard.connection().state(), State::Accepted);
}
