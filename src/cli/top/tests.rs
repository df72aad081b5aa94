use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::model::{Deed, Mode, Model, Sight};
use super::show;
use super::tally::Tally;
use super::view::{Paint, draw};
use super::watcher::Task;
use crate::cli::connections::Connections;

/// What the daemon says in the given second, with these connections.
fn sight(begin: Instant, second: u64, ids: &[u64]) -> Sight {
    let status = serde_json::json!({
        "version": "9.9.9", "pid": 1, "state": "ready", "uptime_seconds": 3700.0, "config": "x", "generation": 4,
        "generation_assembled_seconds": 1, "routes": 1, "listeners": [], "connections": 1234, "max_connections": 9000,
        "leak_suspects": [], "targets_set_aside": [], "last_reload": null, "refused_reload": null,
    });
    let targets = serde_json::json!([
        { "route": "shop", "target": "10.0.0.1:80", "in_flight": 7, "set_aside": null },
        { "route": "shop", "target": "10.0.0.2:80", "in_flight": 0, "set_aside": { "cause": "refused", "seconds": 61.0 } },
    ]);
    let rows: Vec<_> = ids
        .iter()
        .map(|id| {
            serde_json::json!({
                "id": id, "client": format!("192.0.2.{id}:5000"), "listener": "x", "route": "shop", "host": "shop.test",
                "target": "10.0.0.1:80", "state": "relaying", "age_seconds": 5.0, "state_seconds": 4.0,
                "bytes_in": 2048, "bytes_out": 1, "bytes_in_per_second": 3, "bytes_out_per_second": 4,
                "protocol": "tcp", "tls": null,
            })
        })
        .collect();
    let metrics = format!(
        "smartproxy_connections_accepted_total {}\nsmartproxy_connections_active{{route=\"shop\"}} 3\n\
         smartproxy_received_bytes_total{{route=\"shop\"}} {}\n\
         smartproxy_connections_closed_total{{cause=\"refused\",party=\"target\",phase=\"connect\",route=\"shop\"}} {second}\n",
        second * 12,
        second * 4096,
    );
    let connections: Connections =
        serde_json::from_value(serde_json::json!({ "matched": ids.len(), "connections": rows })).unwrap();
    Sight {
        status: serde_json::from_value(status).unwrap(),
        tally: Tally::parse(&metrics, begin + Duration::from_secs(second)),
        targets: serde_json::from_value(targets).unwrap(),
        connections,
    }
}

fn model(ids: &[u64]) -> Model {
    let (mut model, begin) = (Model::default(), Instant::now());
    for second in 0..=5 {
        model.see(sight(begin, second, ids));
    }
    model
}

fn screen(model: &Model, width: u16, height: u16, coloured: bool) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, Paint { coloured })).unwrap();
    terminal.backend().clone()
}

fn press(model: &mut Model, code: KeyCode) -> Deed {
    model.press(KeyEvent::new(code, KeyModifiers::NONE))
}

fn kind(model: &mut Model, text: &str) {
    for character in text.chars() {
        assert_eq!(press(model, KeyCode::Char(character)), Deed::Show);
    }
}

#[test]
fn the_screen_has_rates_routes_targets_causes_and_connections() {
    let model = model(&[17, 23]);
    let text = screen(&model, 150, 30, false).to_string();
    for part in [
        "smartproxy 9.9.9",
        "ready for 1h1m",
        "generation 4",
        "connections 1,234 of 9,000",
        "12 connections/s",
        "4KiB/s in",
        "endings of the last minute",
        "aside: refused 1m1s",
        "in turn",
        "2 connections by rate",
        "192.0.2.17:5000",
        "shop.test",
        "q quit",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn it_is_drawn_in_whatever_room_there_is() {
    let model = model(&[17]);
    for (width, height) in [(1, 1), (20, 5), (80, 24), (40, 17), (300, 100)] {
        let text = screen(&model, width, height, true).to_string();
        // The panels leave first, the connections last.
        assert_eq!(text.contains("endings"), width >= 80 && height >= 18, "{width}x{height}\n{text}");
    }
    assert!(screen(&Model::default(), 80, 24, true).to_string().contains("0 connections"));
}

#[test]
fn without_colours_there_is_none_and_with_them_what_is_wrong_is_red() {
    let model = model(&[17]);
    let colours = |coloured| {
        let screen = screen(&model, 120, 30, coloured);
        screen.buffer().content().iter().map(|cell| cell.fg).collect::<std::collections::HashSet<_>>()
    };
    assert_eq!(colours(false).into_iter().collect::<Vec<_>>(), [Color::Reset]);
    assert!(colours(true).contains(&Color::Red) && colours(true).contains(&Color::Green));
}

#[test]
fn keys_sort_filter_choose_and_leave() {
    let mut model = model(&[17, 23, 42]);
    assert_eq!(model.path(), "/connections?sort=rate&limit=200");
    assert_eq!(press(&mut model, KeyCode::Char('s')), Deed::Ask);
    assert_eq!(press(&mut model, KeyCode::Char('r')), Deed::Ask);
    assert_eq!(model.path(), "/connections?sort=bytes&reverse=yes&limit=200");

    press(&mut model, KeyCode::Char('/'));
    kind(&mut model, "shopx");
    press(&mut model, KeyCode::Backspace);
    kind(&mut model, " colour=red");
    assert_eq!(press(&mut model, KeyCode::Enter), Deed::Show, "what is no filter is said, and can be mended");
    assert!(screen(&model, 150, 24, false).to_string().contains("the filters are route"), "{model:?}");
    (0.."colour=red".len()).for_each(|_| assert_eq!(press(&mut model, KeyCode::Backspace), Deed::Show));
    assert_eq!(press(&mut model, KeyCode::Enter), Deed::Ask);
    assert_eq!(model.path(), "/connections?sort=bytes&reverse=yes&limit=200&route=shop");
    press(&mut model, KeyCode::Char('/'));
    kind(&mut model, "q");
    assert_eq!(press(&mut model, KeyCode::Esc), Deed::Show, "a q that is typed leaves nothing");
    assert_eq!(model.filter, "shop");

    assert_eq!(model.chosen(), Some(0));
    press(&mut model, KeyCode::Down);
    assert_eq!(model.chosen(), Some(1));
    press(&mut model, KeyCode::End);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.chosen(), Some(2));
    press(&mut model, KeyCode::Up);
    // The connection stays chosen where it has moved to, and when it is gone the first is.
    model.see(sight(Instant::now(), 6, &[23, 17]));
    assert_eq!(model.chosen(), Some(0));
    model.see(sight(Instant::now(), 7, &[]));
    assert_eq!(model.chosen(), None);
    assert_eq!(press(&mut model, KeyCode::Char('k')), Deed::Show, "there is nobody to be killed");
    assert_eq!(model.mode, Mode::Looking);

    assert_eq!(press(&mut model, KeyCode::Char('q')), Deed::Quit);
    assert_eq!(press(&mut model, KeyCode::Esc), Deed::Quit);
    press(&mut model, KeyCode::Char('/'));
    assert_eq!(model.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Deed::Quit);
}

#[test]
fn a_connection_is_killed_only_when_that_was_confirmed() {
    let mut model = model(&[17, 23]);
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Char('k'));
    let text = screen(&model, 120, 24, false).to_string();
    assert!(text.contains("kill connection 23 of 192.0.2.23:5000 on shop?"), "{text}");
    // What moves meanwhile changes nothing of whom it is about.
    model.see(sight(Instant::now(), 6, &[5, 17, 23]));
    assert_eq!(press(&mut model, KeyCode::Enter), Deed::Show);
    assert_eq!(model.mode, Mode::Looking);
    press(&mut model, KeyCode::Char('k'));
    assert_eq!(press(&mut model, KeyCode::Char('y')), Deed::Kill(23));
    assert_eq!(model.mode, Mode::Looking);
}

#[test]
fn all_keys_that_wait_are_taken_before_it_is_drawn() {
    let pasted = |text: &str| text.chars().map(KeyCode::Char).collect::<Vec<_>>();
    let parts = [pasted("/shop"), pasted(&"x".repeat(100)), vec![KeyCode::Backspace; 100], vec![KeyCode::Enter]];
    let mut waiting: VecDeque<_> = parts.concat().into_iter().map(Some).chain([None]).collect();
    waiting.push_back(Some(KeyCode::Char('q')));
    let (mut model, mut drawn) = (model(&[17]), Vec::new());
    let ((_news, heard), (tasks, mut given)) = (channel(), tokio::sync::mpsc::unbounded_channel());
    let next = |_| {
        let key = waiting.pop_front().expect("it leaves at q");
        Ok(key.map(|key| Event::Key(KeyEvent::new(key, KeyModifiers::NONE))))
    };
    let draw = |model: &Model| {
        drawn.push(model.filter.clone());
        Ok(())
    };
    show(&mut model, &heard, &tasks, next, draw).unwrap();
    assert_eq!(drawn, ["", "shop"], "once before the paste, and once after it");
    assert!(matches!(given.try_recv(), Ok(Task::Ask(path)) if path.ends_with("&route=shop")));
    assert!(given.try_recv().is_err());
}

/// A daemon in trouble, whose names and numbers are long.
fn trouble() -> Model {
    let (mut model, begin) = (Model::default(), Instant::now());
    for second in 0..=5 {
        let mut sight = sight(begin, second, &[]);
        sight.status.refused_reload = Some("x".into());
        sight.status.leak_suspects = serde_json::from_value(serde_json::json!([
            { "kind": "socket", "what": "192.0.2.7:5000 of no connection", "seconds": 301.0 },
            { "kind": "task", "what": "x", "seconds": 1.0 },
        ]))
        .unwrap();
        let aside = |seconds| serde_json::json!({ "cause": "refused", "seconds": seconds });
        sight.targets = serde_json::from_value(serde_json::json!([
            { "route": "warehouse-of-the-north", "target": "127.0.0.1:27017", "in_flight": 3, "set_aside": aside(106.0) },
            { "route": "warehouse-of-the-south", "target": "127.0.0.1:27017", "in_flight": 3, "set_aside": null },
            { "route": "ledger", "target": "127.0.0.1:27018", "in_flight": 1, "set_aside": null },
            { "route": "shop", "target": "127.0.0.1:27018", "in_flight": 1, "set_aside": null },
        ]))
        .unwrap();
        sight.connections = serde_json::from_value(serde_json::json!({ "matched": 1, "connections": [{
            "id": 1_234_567, "client": "198.51.100.217:50001", "listener": "x", "route": "warehouse-of-the-north",
            "host": "north.warehouse.example", "target": "payments-backend.internal.example:27017", "state": "tls_handshake",
            "age_seconds": 90_000.0, "state_seconds": 3_700.0, "bytes_in": 1_u64 << 34, "bytes_out": 3000,
            "bytes_in_per_second": 1 << 20, "bytes_out_per_second": 4, "protocol": "tcp", "tls": null,
        }]}))
        .unwrap();
        model.see(sight);
    }
    model
}

#[test]
fn what_matters_is_whole_in_every_usual_width() {
    let model = trouble();
    for width in [80, 100, 130, 160] {
        let text = screen(&model, width, 30, false).to_string();
        for part in [
            "ready for 1h1m",
            "connections 1,234 of 9,000",
            "the last reload was refused",
            "2 leak suspects: socket for 5m1s: 192.0.2.7:5000 of no connection",
            "127.0.0.1:27017 ",
            "aside: refused",
            "endings",
            "1234567 198.51.100.217:50001 ",
            ":27017 tls_handshake",
        ] {
            assert!(text.contains(part), "{part} is missing at {width}:\n{text}");
        }
        // A column never runs into the next.
        for collision in ["1m46srefused", "1d1h1h1m", "27017aside"] {
            assert!(!text.contains(collision), "{collision} at {width}:\n{text}");
        }
        assert_eq!(text.matches("127.0.0.1:27017 ").count(), 1, "a target of two routes is one line:\n{text}");
    }
    let text = screen(&model, 160, 30, false).to_string();
    for part in ["aside: refused 1m46s by wareh", "27018 1    in turn", "ledger shop", "1MiB"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}
