//! The page for people, in a real browser.

mod pictures;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Browser, CERTIFICATES, End, HOST, Message, Peer, Proxy, Refusing, Target, Way, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The key that moves the focus (WebDriver, "keyboard actions").
const TAB: char = '\u{e004}';

fn url(proxy: &Proxy) -> String {
    format!("http://{}/", proxy.admin())
}

/// Waits until the page has asked once more, and shown what it was told.
fn renewed(browser: &Browser) {
    let rounds = "return Number(document.documentElement.dataset.round || 0)";
    let before = browser.run(rounds).as_u64().unwrap();
    browser.run_until("another round", rounds, |now| now.as_u64() > Some(before));
}

/// Nothing went wrong in the page, and nothing but the daemon was asked.
fn in_order(browser: &Browser, proxy: &Proxy) {
    assert_eq!(browser.console(), [""; 0]);
    let own = url(proxy);
    // The browser's first window has a page of the browser's own.
    let known = [own.as_str(), "data:", "chrome://"];
    let outside = browser.asked().into_iter().filter(|asked| !known.iter().any(|known| asked.starts_with(known)));
    let outside: Vec<_> = outside.collect();
    assert!(outside.is_empty(), "the page asks others: {outside:?}");
}

fn echoing(proxy: &Proxy, ip: &str) -> Peer {
    let mut client = Peer::connect(proxy.address(ip));
    client.send(b"in");
    client.expect(b"in");
    client
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_metrics_and_it_offers_no_kill_without_a_token() {
    let Some(browser) = Browser::found() else { return };
    let (echo, http, refusing) = (Target::echo(), Target::http("target"), Refusing::new());
    let proxy = Proxy::start(
        &(Way::Tcp.route("relayed", "127.0.0.2", echo.address, "")
            + &Way::Http.route("served", "127.0.0.3", http.address, "")
            + &Way::TerminateHttp.route("secure", "127.0.0.4", http.address, "")
            + &Way::Tcp.route("broken", "127.0.0.5", refusing.address, "")),
    );
    let kept = echoing(&proxy, "127.0.0.2");
    for _ in 0..3 {
        let mut client = Peer::connect(proxy.address("127.0.0.3"));
        assert_eq!(client.get(HOST, "/").status(), 200);
        client.finish();
        assert_eq!(client.end(), End::Whole);
    }
    let mut secure = Peer::connect(proxy.address("127.0.0.4")).tls(HOST, &CERTIFICATES.client(&[]));
    assert_eq!(secure.get(HOST, "/").status(), 200);
    let _ = Peer::connect(proxy.address("127.0.0.5")).end();
    let metrics = proxy.metrics_until("two live and four have ended", |metrics| {
        (metrics.sum("connections_active", &[]), metrics.sum("connections_closed_total", &[])) == (2, 4)
    });
    browser.go(&url(&proxy));
    let shown = "const text = (one) => one && one.textContent;
        const exact = (one) => one && Number(one.querySelector('data').value);
        const card = (key) => document.querySelector(`[data-key=${key}]`);
        const row = (table, name) => [...document.querySelectorAll(`#${table} tbody tr`)].find((row) => row.cells[0].textContent.startsWith(name));
        const number = (table, name, cell) => { const found = row(table, name); return found ? exact(found.cells[cell]) : 0; };
        if (!card('active').querySelector('data') || document.querySelectorAll('#routes tbody tr').length < 4) return null;
        return {
            accepted: exact(card('accepted')), active: exact(card('active')), requests: exact(card('requests')),
            received: exact(card('received_bytes')), sent: exact(card('sent_bytes')), closed: exact(document.getElementById('causes-count')),
            refused: number('causes', 'refused', 2), finished: number('causes', 'finished', 2),
            served: number('routes', 'served', 4), relayed_live: number('routes', 'relayed', 3), relayed_in: number('routes', 'relayed', 6),
            live: document.querySelectorAll('#live tbody tr').length, kills: document.querySelectorAll('.kill').length,
            note: text(document.getElementById('kill-note')), state: text(document.getElementById('state')),
            aside: text(row('routes', 'broken').cells[2]), certificate: text(row('certificates', 'shop.test')),
        }";
    let page =
        browser.run_until("the page is filled", shown, |page| page["live"] == 2 && page["certificate"].is_string());
    let cause = |cause| metrics.sum("connections_closed_total", &[("cause", cause)]);
    for (name, value) in [
        ("accepted", metrics.sum("connections_accepted_total", &[])),
        ("active", metrics.sum("connections_active", &[])),
        ("requests", metrics.sum("requests_total", &[])),
        ("received", metrics.sum("received_bytes_total", &[])),
        ("sent", metrics.sum("sent_bytes_total", &[])),
        ("closed", metrics.sum("connections_closed_total", &[])),
        ("refused", cause("refused")),
        ("finished", cause("finished")),
        ("served", metrics.sum("requests_total", &[("route", "served")])),
        ("relayed_live", metrics.sum("connections_active", &[("route", "relayed")])),
        ("relayed_in", metrics.sum("received_bytes_total", &[("route", "relayed")])),
        ("kills", 0),
    ] {
        assert_eq!(page[name], value, "{name}: {page:#}");
    }
    assert!(page["note"].as_str().unwrap().contains("token_file"), "{page:#}");
    assert!(page["aside"].as_str().unwrap().contains("refused"), "{page:#}");
    assert_eq!(page["state"], "ready");
    // Its own requests are no traffic.
    renewed(&browser);
    assert_eq!(browser.run(shown)["accepted"], metrics.sum("connections_accepted_total", &[]));
    in_order(&browser, &proxy);
    drop((browser, kept, secure));
    proxy.finish();
}

#[test]
fn with_the_token_the_page_kills_and_without_it_it_shows_nothing() {
    let Some(browser) = Browser::found() else { return };
    let echo = Target::echo();
    let proxy = Proxy::start(&format!(
        "admin.token = \"{TOKEN}\"\n{}",
        Way::Tcp.route("relayed", "127.0.0.2", echo.address, "")
    ));
    let client = echoing(&proxy, "127.0.0.2");
    browser.go(&url(&proxy));
    let form = "const form = document.getElementById('token-form');
        return [!form.hidden, document.getElementById('main').hidden, document.getElementById('token-note').textContent]";
    browser.run_until("the token is asked for", form, |shown| shown[0] == true && shown[1] == true);
    // Nothing is known of its state yet, and nothing is there to be forgotten.
    let bare = "return [getComputedStyle(document.getElementById('state'), '::before').content, document.getElementById('state').textContent,
        document.getElementById('token-forget').checkVisibility()]";
    assert_eq!(browser.run(bare), json!(["none", "", false]));
    assert!(!browser.run("return document.body.innerText").to_string().contains("127.0.0.1"), "it tells of a client");
    browser.type_into("#token", "fedcba9876543210fedcba9876543210\n");
    browser.run_until("a wrong one is refused", form, |shown| shown[2].as_str().unwrap().contains("not the token"));
    browser.type_into("#token", &format!("{TOKEN}\n"));
    let kills = "return document.querySelectorAll('#live tbody .kill').length";
    browser.run_until("kill is offered", kills, |kills| *kills == 1);
    browser.click("#token-open");
    let forget = "return document.getElementById('token-forget').checkVisibility()";
    browser.run_until("what is known can be forgotten", forget, |seen| *seen == true);
    // Twice: the first asks back.
    browser.click("#live tbody .kill");
    let asks = "return document.querySelector('#live tbody .kill')?.textContent";
    assert_eq!(browser.run(asks), "Really?");
    assert_eq!(proxy.connections().len(), 1);
    browser.click("#live tbody .kill");
    assert_eq!(proxy.line_of(client.ends())["cause"], "killed");
    browser.run_until("the row is gone", kills, |kills| *kills == 0);
    let said = "return document.getElementById('said').textContent";
    browser.run_until("it is said", said, |said| said.as_str().unwrap().ends_with("is killed."));
    // The refusals of the first rounds are what the console tells of.
    let console = browser.console();
    assert!(console.iter().all(|line| line.contains("401")), "{console:?}");
    assert!(!browser.asked().iter().any(|asked| asked.contains(TOKEN)), "the token is in an address");
    drop((browser, client));
    proxy.finish();
}

#[test]
fn what_clients_say_is_text_in_the_page_and_many_of_them_are_few_rows() {
    let Some(browser) = Browser::found() else { return };
    let http = Target::http("target");
    let many = 1_200;
    // They say nothing for as long as a slow browser takes.
    let proxy = Proxy::start(&Way::Http.route("served", "127.0.0.3", http.address, "timeouts.sniff = \"5m\""));
    let address = proxy.address("127.0.0.3");
    let evil = "<img src=x onerror=document.title='owned'>";
    let mut clients: Vec<Peer> = (0..many).map(|_| Peer::connect(address)).collect();
    let mut client = Peer::connect(address);
    // A host with such characters is refused; it may be shown all the same, and so may the path be.
    let answer: Message = client.get(evil, "/<script>document.title='owned'</script>");
    assert!(answer.status() >= 400, "{answer:?}");
    browser.go(&url(&proxy));
    let rows = "return [document.querySelectorAll('#live tbody tr').length, document.getElementById('connections-count').textContent]";
    let shown = browser.run_until("the rows are there", rows, |shown| shown[0] == 250);
    let said = shown[1].as_str().unwrap();
    assert!(said.starts_with("1,20") && said.ends_with("the first 250 are shown"), "{said}");
    // Whatever a peer may get into an answer of the daemon stays text.
    browser.run(&format!(
        "const real = window.fetch;
         window.fetch = async (...of) => {{
            const answer = await real(...of);
            if (!String(of[0]).startsWith('/connections')) return answer;
            const value = await answer.json();
            for (const one of value.connections) {{ one.host = {evil}; one.target = {evil}; one.client = {evil}; one.route = {evil}; one.protocol = {evil}; }}
            return new Response(JSON.stringify(value), {{ headers: answer.headers }});
         }}",
        evil = json!(evil)
    ));
    let text = "const row = document.querySelector('#live tbody tr');
        return row && [row.cells[1], row.cells[2], row.cells[3], row.cells[4], row.cells[9]].map((cell) => cell.firstChild?.textContent)";
    browser.run_until("it is text", text, |cells| {
        cells.as_array().is_some_and(|cells| cells.iter().all(|cell| cell == evil))
    });
    let title = browser.run("return [document.title, document.images.length, document.scripts.length]");
    assert!(title[0].as_str().unwrap().starts_with("smartproxy") && title[1] == 0 && title[2] == 1, "{title}");
    assert_eq!(browser.console(), [""; 0]);
    drop(browser);
    for client in clients.drain(..) {
        client.reset();
    }
    client.reset();
}

/// Every text in the page that is seen, with its contrast to what is behind it (WCAG 2.2, "contrast ratio").
const CONTRASTS: &str = "
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
        .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const ground = parts(getComputedStyle(one).backgroundColor);
            if (ground.length === 3 || ground[3] === 1) return ground;
            if (ground[3] !== 0) throw new Error('a ground that is seen through');
        }
        throw new Error('no ground');
    };
    const found = new Map();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const look = (element, colour, what) => {
        const [a, b] = [light(parts(colour)), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const key = colour + ' on ' + behind(element).join(' ');
        if (!found.has(key)) found.set(key, [ratio, what.trim().slice(0, 30)]);
    };
    while (walker.nextNode()) {
        const [text, element] = [walker.currentNode.data, walker.currentNode.parentElement];
        if (!text.trim() || element.closest('script, style, noscript, .unseen, .skip')) continue;
        look(element, getComputedStyle(element).color, text);
    }
    for (const input of document.querySelectorAll('input')) look(input, getComputedStyle(input, '::placeholder').color, input.placeholder || 'input');
    for (const mark of document.querySelectorAll('.up, .aside')) look(mark, getComputedStyle(mark, '::before').color, 'mark');
    return [...found].map(([key, [ratio, what]]) => [key, ratio, what])";

#[test]
fn every_text_is_readable_in_both_schemes_and_the_keyboard_reaches_everything_at_any_width() {
    let Some(browser) = Browser::found() else { return };
    let (echo, refusing) = (Target::echo(), Refusing::new());
    let config = format!("admin.token = \"{TOKEN}\"\n")
        + &Way::Tcp.route("relayed", "127.0.0.2", echo.address, "")
        + &Way::TerminateTcp.route("secure", "127.0.0.4", echo.address, "")
        + &Way::Tcp.route("broken", "127.0.0.5", refusing.address, "");
    let proxy = Proxy::start(&config);
    let clients = [echoing(&proxy, "127.0.0.2"), echoing(&proxy, "127.0.0.2")];
    let _ = Peer::connect(proxy.address("127.0.0.5")).end();
    proxy.reload_refused(&format!("{config}nothing = 1\n"));
    browser.go(&url(&proxy));
    browser.type_into("#token", &format!("{TOKEN}\n"));
    let full = "return document.querySelectorAll('#live tbody .kill').length === 2 && !document.getElementById('faults').hidden
        && document.querySelectorAll('.aside').length === 1 && document.querySelectorAll('#certificates tbody tr').length === 1";
    browser.run_until("all is shown", full, |full| *full == true);
    // What is seldom seen is looked at too; rounds would take it away again.
    browser.click("#pause");
    until(|| {
        if browser.run("return document.getElementById('pause').ariaPressed") == "true" {
            Ok(())
        } else {
            Err("not paused".into())
        }
    })
    .unwrap();
    browser.run(
        "for (const id of ['trouble', 'token-form']) document.getElementById(id).hidden = false;
         document.getElementById('trouble').textContent = 'The daemon does not answer.';
         document.querySelectorAll('.kill')[1].classList.add('sure');
         document.querySelector('#certificates td span').className = 'warn';",
    );
    let mut seen = BTreeSet::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        // Colours that change slowly have changed.
        browser.run("for (const one of document.getAnimations()) one.finish()");
        let contrasts = browser.run(CONTRASTS);
        for found in contrasts.as_array().unwrap() {
            let (ratio, colours) = (found[1].as_f64().unwrap(), found[0].as_str().unwrap());
            assert!(ratio >= 4.5, "{scheme}: {colours} has {ratio:.2}:1, in {:?}", found[2]);
            seen.insert(colours.to_owned());
        }
        // The edges of what can be pressed, and the ring of the focus (WCAG 2.2, 1.4.11).
        let edges = browser.run(
            "const root = getComputedStyle(document.documentElement);
             return ['--edge', '--accent', '--paper', '--card'].map((name) => root.getPropertyValue(name).trim())",
        );
        let [edge, accent, paper, card] = [0, 1, 2, 3].map(|place| luminance(edges[place].as_str().unwrap()));
        for (one, ground) in [(edge, paper), (edge, card), (accent, paper), (accent, card)] {
            let ratio = (one.max(ground) + 0.05) / (one.min(ground) + 0.05);
            assert!(ratio >= 3.0, "{scheme}: {ratio:.2}:1 in {edges}");
        }
    }
    assert!(seen.len() >= 16, "few colours were found: {seen:?}");
    keyboard(&browser);
    for width in [360, 800, 1600] {
        browser.resize(width, 900);
        let wide = browser.run(
            "const root = document.documentElement;
             return [root.scrollWidth, root.clientWidth, [...document.querySelectorAll('button, input')].filter((one) => {
                 const box = one.getBoundingClientRect();
                 return one.checkVisibility() && !one.closest('.scroll') && (box.left < 0 || box.right > root.clientWidth);
             }).map((one) => one.id)]",
        );
        assert!(wide[0] == wide[1] && wide[2] == json!([]), "at {width} px it is wider than the window: {wide}");
    }
    drop((browser, clients));
    proxy.finish();
}

#[test]
fn what_is_broken_is_seen_first_and_nothing_is_out_of_sight_at_the_side() {
    let Some(browser) = Browser::found() else { return };
    let (echo, refusing) = (Target::echo(), Refusing::new());
    let domains = "match.domains = [\"checkout-and-payments.north-west.warehouse.example\"]";
    let sound = (1..=11).map(|place| {
        Way::Passthrough.route(&format!("warehouse-{place}"), &format!("127.0.0.{}", place + 1), echo.address, domains)
    });
    let asks = format!("security.forward_auth = {{ targets = [\"{}\"], path = \"/\" }}", refusing.address);
    let config = sound.collect::<String>()
        + &Way::Tcp.route("broken", "127.0.0.20", refusing.address, "")
        + &Way::Http.route("guarded", "127.0.0.21", echo.address, &asks);
    let proxy = Proxy::start(&config);
    let _ = Peer::connect(proxy.address("127.0.0.20")).end();
    let mut client = Peer::connect(proxy.address("127.0.0.21"));
    assert_eq!(client.get(HOST, "/").status(), 502);
    client.finish();
    proxy.reload_refused(&format!("{config}nothing = 1\n"));
    browser.resize(1280, 900);
    browser.go(&url(&proxy));
    let names = "return [...document.querySelectorAll('#routes tbody th')].map((one) => one.firstChild.textContent)";
    let names = browser.run_until("the routes are there", names, |names| names[0] == "broken" && names[12].is_string());
    let order: Vec<_> = (1..=11).map(|place| format!("warehouse-{place}")).collect();
    assert_eq!(names[1], "guarded");
    assert_eq!(names.as_array().unwrap()[2..], order, "the others stay in the order of the file");
    let shape = "const scroll = document.querySelector('#routes').parentElement;
        const pieces = [...document.querySelectorAll('#routes .dots')].flatMap((one) => [...one.childNodes]).filter((one) => one.data);
        const lines = (piece) => { const range = document.createRange(); range.selectNode(piece); return range.getClientRects().length; };
        return [scroll.scrollWidth - scroll.clientWidth, pieces.length > 30, pieces.filter((one) => !one.data.includes('-') && lines(one) > 1).map((one) => one.data)]";
    assert_eq!(browser.run(shape), json!([0, true, []]));
    let notices = "const one = document.getElementById('notices'); return one.checkVisibility() ? one.innerText : ''";
    let said = browser.run(notices);
    let said = said.as_str().unwrap();
    let down = format!("Route broken: every target is set aside: {} (refused, ", refusing.address);
    let mute = format!("Route guarded: whom it asks first is set aside: {} (refused, ", refusing.address);
    assert!(said.contains(&mute), "{said}");
    assert!(said.starts_with(&down) && said.contains("last reload was refused") && !said.contains("Leak"), "{said}");
    let cause = "return [...document.querySelectorAll('#causes tbody th')].map((one) => one.innerText).join()";
    let cause = browser.run(cause);
    assert!(
        cause.as_str().unwrap().contains("The target refused the connection"),
        "a failure says what it is: {cause}"
    );
    browser.run(
        "const real = window.fetch;
         window.fetch = async (...of) => {
            const answer = await real(...of);
            if (of[0] !== '/status') return answer;
            const value = await answer.json();
            value.leak_suspects = ['a', 'b', 'c', 'd'].map((what) => ({ kind: 'socket', what, seconds: 61 }));
            return new Response(JSON.stringify(value), { headers: answer.headers });
         }",
    );
    browser.run_until("leak suspects are named", notices, |said| {
        let said = said.as_str().unwrap();
        said.contains("Leak suspect (socket) for 1m 1s: c") && said.contains("Leak suspects: 1 more")
    });
    browser.run(
        "const real = window.fetch;
         window.fetch = async (...of) => {
            const answer = await real(...of);
            // Another daemon is asked for everything at once.
            if (of[0] === '/status') return new Response(JSON.stringify({ ...await answer.json(), pid: 1 }), { headers: answer.headers });
            if (!of[0].startsWith('/certificates')) return answer;
            const one = { source: 'a.pem', names: ['a.test'], routes: [], admin: false, not_before: 0, not_after: 1, expires_in_seconds: -1 };
            return new Response(JSON.stringify({ matched: 1, certificates: [one] }), { headers: answer.headers });
         }",
    );
    browser.run_until("an expired certificate is named", notices, |said| {
        said.as_str().unwrap().contains("Certificate of a.test: expired.")
    });
    in_order(&browser, &proxy);
    drop(browser);
    proxy.finish();
}

/// How light a colour is (`#rrggbb`), as WCAG has it.
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

/// The Tab key comes to everything that can be pressed, typed into, or scrolled, in the order of the page, and shows where it is.
fn keyboard(browser: &Browser) {
    let all = "return [...document.querySelectorAll('a, button, input, [tabindex=\"0\"]')].filter((one) => one.checkVisibility())
        .map((one, place) => { one.dataset.place = place; return place; })";
    let all: Vec<Value> = browser.run(all).as_array().unwrap().clone();
    assert!(all.len() > 20, "{all:?}");
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')");
    let mut reached = Vec::new();
    for _ in 0..all.len() {
        browser.press(TAB);
        let now = browser.run(
            "const one = document.activeElement, style = getComputedStyle(one);
             return [Number(one.dataset.place), style.outlineStyle, parseFloat(style.outlineWidth)]",
        );
        assert!(now[1] == "solid" && now[2].as_f64() >= Some(2.0), "the focus is not seen: {now}");
        reached.push(now[0].clone());
    }
    assert_eq!(reached, all);
}
