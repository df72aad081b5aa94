use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::http2::{Client, text};
use super::world::{Route, Scripted, World, milliseconds, until};

/// A target that answers when it is told to, and counts the requests that wait for that.
async fn held() -> (Scripted, Arc<AtomicUsize>, Arc<Notify>) {
    let (asked, told) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let (counted, hears) = (Arc::clone(&asked), Arc::clone(&told));
    let target = Scripted::new(move |mut peer, _| {
        let (counted, hears) = (Arc::clone(&counted), Arc::clone(&hears));
        async move {
            loop {
                peer.head().await;
                counted.fetch_add(1, Ordering::SeqCst);
                hears.notified().await;
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    (target, asked, told)
}

#[tokio::test]
async fn of_a_clients_streams_one_has_its_own_connection_and_the_others_wait_for_a_place() {
    let (target, asked, told) = held().await;
    let world = World::http2(Route::to(&[target.address])).await;
    world.registry.streams().set_limit(1);
    let mut client = Client::new(&world).await;
    let answers: Vec<_> = (0..4).map(|_| client.get("/")).collect();
    until(|| asked.load(Ordering::SeqCst) == 2).await;
    // One that asks no target is answered beside them, so all that was sent has been looked at.
    assert_eq!(client.get("/own").await.unwrap().status(), 200);
    assert_eq!((asked.load(Ordering::SeqCst), world.route.in_flight()), (2, 2));
    let releasing = tokio::spawn(async move {
        loop {
            told.notify_one();
            tokio::task::yield_now().await;
        }
    });
    for answer in answers {
        assert_eq!(text(answer.await.unwrap()).await.unwrap().0, "ok");
    }
    releasing.abort();
    assert!(target.accepted() <= 2, "no more than two at once");
    drop(client);
    assert_eq!(world.registry.streams().live(), 0);
    world.end().await;
}

#[tokio::test]
async fn who_finds_no_place_in_time_is_told_so_and_one_that_leaves_while_waiting_holds_none() {
    let (target, asked, told) = held().await;
    let mut route = Route::to(&[target.address]);
    route.connect.connect_total = milliseconds(50);
    let world = World::http2(route).await;
    world.registry.streams().set_limit(0);
    let mut client = Client::new(&world).await;
    let first = client.get("/");
    until(|| asked.load(Ordering::SeqCst) == 1).await;
    drop(client.get("/left"));
    assert_eq!(client.get("/late").await.unwrap().status(), 503);
    told.notify_one();
    assert_eq!(text(first.await.unwrap()).await.unwrap().0, "ok");
    drop(client);
    let lines = world.end().await;
    let late = lines.iter().find(|line| line.contains("/late")).unwrap();
    assert!(late.contains("phase=connect party=proxy cause=out_of_descriptors"), "{late}");
    assert_eq!(target.accepted(), 1);
}
