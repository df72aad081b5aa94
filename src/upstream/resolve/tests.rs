use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A resolver that counts how often it asks, and knows every name but `missing` and `empty`.
fn counting(names_max: usize) -> (Arc<Resolver>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let ask = move |name: &HostName| {
        counter.fetch_add(1, Ordering::SeqCst);
        match name.as_str() {
            "missing" => Err(io::Error::other("no such name")),
            "empty" => Ok(Vec::new()),
            _ => Ok(vec![ADDRESS]),
        }
    };
    (Resolver::new(ask, names_max), asked)
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_until_it_is_no_longer_fresh() {
    let (resolver, asked) = counting(NAMES_MAX);
    for _ in 0..3 {
        assert_eq!(*resolver.addresses(&name("app")).await.unwrap(), [ADDRESS]);
    }
    tokio::time::advance(FRESH_FOR - Duration::from_millis(1)).await;
    resolver.addresses(&name("app")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    resolver.addresses(&name("app")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_a_shorter_while() {
    let (resolver, asked) = counting(NAMES_MAX);
    for _ in 0..2 {
        assert!(matches!(resolver.addresses(&name("missing")).await, Err(ResolveError::System(_))));
        assert!(matches!(resolver.addresses(&name("empty")).await, Err(ResolveError::NoAddress)));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    tokio::time::advance(FAILED_FOR).await;
    assert!(resolver.addresses(&name("missing")).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

/// A resolver that announces each question and waits to be told the end of it.
fn held() -> (Arc<Resolver>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (announce, announced) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let ask = move |_: &HostName| {
        announce.send(()).unwrap();
        released.lock().unwrap().recv().map(|()| vec![ADDRESS]).map_err(io::Error::other)
    };
    (Resolver::new(ask, 2), announced, release)
}

#[tokio::test]
async fn of_many_who_want_a_name_one_asks_and_its_leaving_harms_nobody() {
    let (resolver, announced, release) = held();
    let wait = |resolver: &Arc<Resolver>| {
        let resolver = Arc::clone(resolver);
        tokio::spawn(async move { resolver.addresses(&name("app")).await })
    };
    let first = wait(&resolver);
    tokio::task::yield_now().await;
    announced.recv().unwrap();
    let others: Vec<_> = (0..8).map(|_| wait(&resolver)).collect();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    for other in others {
        assert_eq!(*other.await.unwrap().unwrap(), [ADDRESS]);
    }
    assert!(announced.try_recv().is_err());
}

#[test]
fn a_runtime_that_ends_before_its_question_was_asked_leaves_it_to_the_next() {
    let (resolver, asked) = counting(NAMES_MAX);
    let runtime = || tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let ending = runtime();
    let (release, released) = mpsc::channel::<()>();
    let (began, begun) = mpsc::channel();
    // Its only blocking thread is taken, so that the question stays in the queue.
    ending.spawn_blocking(move || {
        began.send(()).unwrap();
        let _ = released.recv();
    });
    begun.recv().unwrap();
    ending.spawn({
        let resolver = Arc::clone(&resolver);
        async move { resolver.addresses(&name("app")).await }
    });
    ending.block_on(tokio::task::yield_now());
    assert!(matches!(resolver.names().get(&name("app")), Some(Entry::Pending(_))));

    let waiting = std::thread::spawn({
        let resolver = Arc::clone(&resolver);
        move || runtime().block_on(resolver.addresses(&name("app")))
    });
    ending.shutdown_background();
    drop(release);
    assert_eq!(*waiting.join().unwrap().unwrap(), [ADDRESS]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_question_that_panics_is_an_error_and_may_be_asked_again() {
    let resolver = Resolver::new(|_: &HostName| panic!("as a fault of ours would"), 1);
    for _ in 0..2 {
        assert!(matches!(resolver.addresses(&name("app")).await, Err(ResolveError::Abandoned)));
    }
    assert!(resolver.names().is_empty());
}

#[tokio::test]
async fn no_more_names_are_remembered_than_the_limit() {
    let (resolver, asked) = counting(2);
    for text in ["a", "b", "c", "c"] {
        resolver.addresses(&name(text)).await.unwrap();
        assert!(resolver.names().len() <= 2);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    // The one that expires next has made room: the oldest.
    assert!(!resolver.names().contains_key(&name("a")));
}

#[tokio::test]
async fn one_name_above_the_limit_is_refused_while_all_others_are_being_resolved() {
    let (resolver, announced, release) = held();
    let waiting: Vec<_> = ["a", "b"]
        .map(|text| {
            let resolver = Arc::clone(&resolver);
            tokio::spawn(async move { resolver.addresses(&name(text)).await })
        })
        .into();
    tokio::task::yield_now().await;
    announced.recv().unwrap();
    assert!(matches!(resolver.addresses(&name("c")).await, Err(ResolveError::TooMany)));
    for task in waiting {
        release.send(()).unwrap();
        task.await.unwrap().unwrap();
    }
    release.send(()).unwrap();
    assert!(resolver.addresses(&name("c")).await.is_ok());
}

#[tokio::test]
async fn the_systems_resolver_knows_the_local_host() {
    let addresses = Resolver::system().addresses(&name("localhost")).await.unwrap();
    assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
}
