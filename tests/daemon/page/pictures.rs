//! The pictures of the page in `docs/`.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{TOKEN, echoing, renewed, url};
use crate::harness::{Browser, CERTIFICATES, Peer, Proxy, Refusing, Target, Way};

/// The pictures in `docs/`, made anew by `UPDATE_PICTURES=1 cargo test --test daemon pictures`.
#[test]
fn the_pictures_of_the_page_are_made_when_asked_for() {
    if std::env::var_os("UPDATE_PICTURES").is_none() {
        return;
    }
    let Some(browser) = Browser::found() else { return };
    let (echo, shop, refusing) = (Target::echo(), Target::http("shop"), Refusing::new());
    let shop_targets = format!("{}\", \"{}", shop.address, refusing.address);
    let proxy = Proxy::start(
        &(format!("admin.token = \"{TOKEN}\"\n")
            + &Way::TerminateHttp.route(
                "shop",
                "127.0.0.2",
                shop_targets,
                "match.domains = [\"shop.test\", \"*.shop.test\"]",
            )
            + &Way::Passthrough.route("vault", "127.0.0.3", echo.address, "match.domains = [\"vault.example\"]")
            + &Way::Http.route("api", "127.0.0.4", shop.address, "match.path = \"/api/\"")
            + &Way::Tcp.route("database", "127.0.0.5", echo.address, "")
            + &Way::Tcp.route("ledger", "127.0.0.6", refusing.address, "")),
    );
    browser.resize(1280, 1250);
    browser.go(&url(&proxy));
    browser.type_into("#token", &format!("{TOKEN}\n"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| traffic(&proxy, &done));
        // As long as it takes until there is something to see.
        browser.run_until("there is enough", "return document.querySelectorAll('#live tbody tr').length", |rows| {
            rows.as_u64() > Some(8)
        });
        thread::sleep(Duration::from_secs(150));
        for (scheme, width, height, name) in
            [("light", 1280, 1250, "page-light"), ("dark", 1280, 1250, "page-dark"), ("dark", 360, 760, "page-narrow")]
        {
            browser.resize(width, height);
            browser.prefer(scheme);
            renewed(&browser);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
            std::fs::write(folder.join(format!("{name}.png")), browser.picture()).unwrap();
        }
        done.store(true, Ordering::Release);
    });
    drop(browser);
}

/// Traffic for a picture, that goes up and down.
fn traffic(proxy: &Proxy, done: &AtomicBool) {
    let hosts = ["www.shop.test", "eu.shop.test", "img.shop.test", "shop.test"];
    let mut kept: VecDeque<Peer> = VecDeque::new();
    let mut busy = echoing(proxy, "127.0.0.5");
    for second in 0_u32.. {
        if done.load(Ordering::Acquire) {
            break;
        }
        let next = Instant::now() + Duration::from_secs(1);
        let wave = f64::from(second) / 11.0;
        let level = 5.0 + 3.0 * wave.sin() + 2.0 * (wave * 2.3).cos();
        for _ in 0..level.max(0.0) as u32 {
            let mut client = Peer::connect(proxy.address("127.0.0.4"));
            let _ = client.get("api.example", "/api/items");
            client.finish();
            let _ = client.end();
        }
        let host = hosts[second as usize % hosts.len()];
        let mut client = Peer::connect(proxy.address("127.0.0.2")).tls(host, &CERTIFICATES.client(&[]));
        let _ = client.get(host, "/");
        kept.push_back(client);
        if second % 5 == 0 {
            let _ = Peer::connect(proxy.address("127.0.0.6")).end();
            Peer::connect(proxy.address("127.0.0.5")).reset();
        }
        if kept.len() > 9 {
            let mut oldest = kept.pop_front().unwrap();
            oldest.finish();
            let _ = oldest.end();
        }
        if second % 15 == 14 {
            busy.reset();
            busy = echoing(proxy, "127.0.0.5");
        }
        let length = (3_000.0 * level) as usize;
        busy.send_what_is_taken(&vec![b'x'; length]);
        busy.receive(length);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    busy.reset();
    kept.into_iter().for_each(Peer::reset);
}
