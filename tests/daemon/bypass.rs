//! Ways around a route that asks who one is, beside one that does not: whoever gets past it must not get what is behind it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{CERTIFICATES, End, HOST, Peer, Proxy, Target, Way};
use crate::http2_spec::frames::{self, PREFACE, SETTINGS, fields, frame};

/// Paths that some server or other takes for `/admin/` or what is below.
const DISGUISED: [&str; 41] = [
    "/admin/",
    "/admin/secret",
    "//admin/secret",
    "///admin//secret",
    "/./admin/secret",
    "/%2e/admin/secret",
    "/x/../admin/secret",
    "/x/%2e%2e/admin/secret",
    "/x/.%2E/admin/secret",
    "/public/../admin/secret",
    "/public/..%2fadmin/secret",
    "/public/..%2Fadmin%2Fsecret",
    "/public%2f..%2fadmin/secret",
    "/public/%2e%2e%2fadmin/secret",
    "/public/..\\admin/secret",
    "/public/..%5cadmin%5csecret",
    "/public\\..\\admin\\secret",
    "/public/..;/admin/secret",
    "/public/..;x=1/admin/secret",
    "/public/..%3b/admin/secret",
    "/public/.;/../admin/secret",
    "/public//../admin/secret",
    "/public/x//../../admin/secret",
    "/public/;/../../admin/secret",
    "/admin%2fsecret",
    "/admin%2F",
    "/admin%5csecret",
    "/admin\\secret",
    "/%2fadmin/secret",
    "/%61dmin/secret",
    "/%61%64%6d%69%6e/secret",
    "/admi%6E%2fsecret",
    "/admin;x/secret",
    "/admin;/secret",
    "/admin%3bx/secret",
    "/;x/admin/secret",
    "/.;/admin/secret",
    "/admin/secret?/public/",
    "/admin/secret/..;/../public/",
    "/admin/%00/../../public/x",
    "/public/%00/../../admin/secret",
];

/// All readings of a path that servers have: whoever reads it so must not be led to `/admin/`.
fn leads_to_admin(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let decoded = [
        ("%2f", "/"),
        ("%2F", "/"),
        ("%5c", "\\"),
        ("%5C", "\\"),
        ("%2e", "."),
        ("%2E", "."),
        ("%3b", ";"),
        ("%61", "a"),
        ("%64", "d"),
        ("%6d", "m"),
        ("%69", "i"),
        ("%6e", "n"),
        ("%6E", "n"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (escape, plain)| path.replace(escape, plain));
    let slashed = |path: &str| path.replace('\\', "/");
    let bare =
        |path: &str| path.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/");
    let readings =
        [path.to_owned(), slashed(path), decoded.clone(), slashed(&decoded), bare(path), bare(&slashed(&decoded))];
    readings.iter().any(|reading| {
        [false, true].iter().any(|merge| {
            let mut kept = Vec::new();
            for segment in reading.split('/').skip(1).filter(|segment| !merge || !segment.is_empty()) {
                match segment {
                    "." => {}
                    ".." => drop(kept.pop()),
                    other => kept.push(other),
                }
            }
            kept.first() == Some(&"admin")
        })
    })
}

/// A proxy with a route that asks for a password, by itself or by another server, beside one that lets everybody in; what its
/// target answers with is the path that it was asked for.
fn guarded(guard: &str) -> (Target, Proxy) {
    let target = Target::serving(|mut peer: Peer| {
        while let Some(head) = crate::harness::next_head(&mut peer) {
            let asked = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{asked}", asked.len());
            peer.send_what_is_taken(answer.as_bytes());
        }
    });
    let config = Way::Http.route("open", "127.0.0.2", target.address, "")
        + &Way::Http.route("guarded", "127.0.0.2", target.address, &format!("match.path = \"/admin/\"\n{guard}"));
    let proxy = Proxy::start(&config);
    (target, proxy)
}

const BASIC: &str = "security.basic_auth = { file = \"users.htpasswd\", realm = \"admin\" }";

fn status_and_body(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

/// What comes back of a request that ends its connection.
fn asked(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(request.as_bytes());
    let (answer, end) = client.rest();
    assert_ne!(end, End::Silence, "{request}");
    status_and_body(&answer)
}

/// Nobody is let in who was not asked: refused, or sent on as a path that leads elsewhere whoever reads it.
fn kept_out(said: &(u16, String), how: &str) {
    match said.0 {
        200 => assert!(!leads_to_admin(&said.1), "{how}: reached {}", said.1),
        400 | 401 | 403 | 404 | 421 => {}
        other => panic!("{how}: {other} {}", said.1),
    }
}

#[test]
fn no_writing_of_a_path_leads_around_the_route_that_asks() {
    assert!(DISGUISED[1..36].iter().all(|path| leads_to_admin(path)), "what is tried is worth trying");
    let judge = Target::serving(|mut peer: Peer| {
        while let Some(_head) = crate::harness::next_head(&mut peer) {
            peer.send_what_is_taken(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let forward = format!("security.forward_auth = {{ targets = [\"{}\"], path = \"/ask\" }}", judge.address);
    for guard in [BASIC, &forward] {
        let (_target, proxy) = guarded(guard);
        for path in DISGUISED {
            for target in [path.to_owned(), format!("http://{HOST}{path}"), format!("HTTP://SHOP.TEST{path}")] {
                for version in ["1.1", "1.0"] {
                    let request = format!("GET {target} HTTP/{version}\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
                    kept_out(&asked(&proxy, &request), &request);
                }
            }
            let said = asked_by_http2(&proxy, &[(":path", path), (":authority", HOST)]);
            kept_out(&said, &format!("{path} by HTTP/2"));
        }
        let mut plain = asked(&proxy, &format!("GET /public/ HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n"));
        assert_eq!((plain.0, plain.1.as_str()), (200, "/public/"));
        plain = asked_by_http2(&proxy, &[(":path", "/public/"), (":authority", HOST)]);
        assert_eq!((plain.0, plain.1.as_str()), (200, "/public/"));
        proxy.finish();
    }
}

/// A GET with these fields on a connection of its own.
fn asked_by_http2(proxy: &Proxy, list: &[(&str, &str)]) -> (u16, String) {
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    client.send(PREFACE);
    client.send(&frame(SETTINGS, 0, 0, &[]));
    client.send(&frame(frames::HEADERS, frames::WHOLE, 1, &[&[0x82, 0x86], &fields(list)[..]].concat()));
    answered(&mut client)
}

/// The answer on the only stream of a connection.
fn answered(client: &mut Peer) -> (u16, String) {
    let mut said = (0, String::new());
    loop {
        let header = client.receive(9);
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let payload = client.receive(length);
        match header[3] {
            frames::HEADERS => said.0 = status(&payload),
            frames::DATA => said.1.push_str(&String::from_utf8_lossy(&payload)),
            // A fault of the stream or the connection is a refusal too.
            frames::RST_STREAM | frames::GOAWAY => return (400, String::new()),
            _ => continue,
        }
        if header[4] & frames::END_STREAM != 0 {
            return said;
        }
    }
}

/// The status at the beginning of a head: by its index in the static table, or as a literal (RFC 7541 section 6).
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        // Literals under the name `:status`, in Huffman's code (RFC 7541 appendix B).
        [_, 0x82, 0x68, 0x01, ..] => 401,
        [_, 0x83, 0x68, 0x0c, ..] => 403,
        [_, 0x82, 0x68, 0x41, ..] => 421,
        other => panic!("a head that begins with {:x?}", &other[..4.min(other.len())]),
    }
}

#[test]
fn what_follows_who_was_let_in_is_asked_for_itself() {
    let (_target, proxy) = guarded(BASIC);
    let shown = format!("authorization: Basic {}\r\n", STANDARD.encode("alice:correct"));
    let request = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n");
    // One behind the other on one connection, all at once.
    let mut client = Peer::connect(proxy.address("127.0.0.2"));
    let wanted = [
        ("/admin/a", shown.as_str(), 200),
        ("/admin/b", "", 401),
        ("/public/", shown.as_str(), 200),
        ("/admin/c", "", 401),
        ("/admin/d", "x-authorization: x\r\n", 401),
        // None of these is the field.
        ("/admin/e", &shown.replace("authorization", "Authorization_"), 401),
        ("/admin/f", &shown.replace("authorization", "proxy-authorization"), 401),
        ("/admin/g", &format!("connection: authorization\r\n{shown}"), 200),
        // Told by others where they come from, or what they really ask for.
        ("/admin/h", "x-original-url: /public/\r\nx-rewrite-url: /public/\r\nx-forwarded-uri: /public/\r\n", 401),
        (
            "/admin/i",
            "x-http-method-override: OPTIONS\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n",
            401,
        ),
        ("/public/j", "", 200),
    ];
    client.send(wanted.iter().map(|(path, fields, _)| request(path, fields)).collect::<String>().as_bytes());
    for (path, _, status) in wanted {
        assert_eq!(client.message().status(), status, "{path}");
    }
    client.finish();
    // Neither other methods nor trailers are a way in.
    for method in ["HEAD", "OPTIONS", "POST", "TRACE", "PROPFIND", "get"] {
        let request =
            format!("{method} /admin/ HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_ne!(asked(&proxy, &request).0, 200, "{method}");
    }
    let trailing = format!(
        "POST /admin/ HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n\
         0\r\n{shown}\r\n"
    );
    assert_eq!(asked(&proxy, &trailing).0, 401);
    // `OPTIONS *` and `CONNECT` ask of no path.
    for line in ["OPTIONS *", "CONNECT shop.test:80"] {
        let said = asked(&proxy, &format!("{line} HTTP/1.1\r\nhost: shop.test:80\r\nconnection: close\r\n\r\n"));
        assert!(!leads_to_admin(&said.1), "{line}: {said:?}");
    }
    // By HTTP/2: the field in a trailer, under other names, and paths that are none.
    for list in [
        &[(":path", "/admin/"), (":authority", HOST), ("authorization_", "Basic YWxpY2U6Y29ycmVjdA==")][..],
        &[(":path", "/admin/"), (":authority", HOST), ("proxy-authorization", "Basic YWxpY2U6Y29ycmVjdA==")],
        &[(":path", "/admin/"), (":authority", HOST), ("x-original-url", "/public/")],
        &[(":path", "admin/"), (":authority", HOST)],
        &[(":path", "http://shop.test/admin/"), (":authority", HOST)],
        &[(":path", "/admin/"), (":authority", "SHOP.TEST.")],
        &[(":path", "/admin/"), (":authority", "shop.test:443")],
        &[(":path", "/admin/"), ("host", HOST)],
    ] {
        let said = asked_by_http2(&proxy, list);
        assert!([400, 401, 404].contains(&said.0), "{list:?}: {said:?}");
    }
    let shown = [(":path", "/admin/"), (":authority", HOST), ("authorization", "Basic YWxpY2U6Y29ycmVjdA==")];
    assert_eq!(asked_by_http2(&proxy, &shown), (200, "/admin/".into()));
    proxy.finish();
}

/// A client may send what it wants on a connection that it has for another host: the certificate says for which it may.
#[test]
fn each_stream_of_a_connection_is_routed_and_judged_for_itself() {
    let route = |name: &str, path: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"127.0.0.2:0\"]\nmatch.path = \"{path}\"\ntls.mode = \"terminate\"\n\
             tls.certificate = {{ certificate = \"server.pem\", key = \"server.key\" }}\nrespond = {{ body = \"{name}\" }}\n"
        )
    };
    let proxy = Proxy::start(&(route("a", "/a/") + &route("b", "/b")));
    let mut client = Peer::connect(proxy.address("127.0.0.2")).tls(HOST, &CERTIFICATES.client(&["h2"]));
    client.send(PREFACE);
    client.send(&frame(SETTINGS, 0, 0, &[]));
    for (stream, host, path, status, body) in [
        (1, HOST, "/a/x", 200, "a"),
        (3, HOST, "/b", 200, "b"),
        (5, "uncovered.test", "/a/x", 421, "421 "),
        (7, HOST, "/none", 404, "404 "),
        (9, HOST, "/a/y", 200, "a"),
    ] {
        let head = [&[0x82, 0x87], &fields(&[(":path", path), (":authority", host)])[..]].concat();
        client.send(&frame(frames::HEADERS, frames::WHOLE, stream, &head));
        let said = answered(&mut client);
        assert!(said.0 == status && said.1.starts_with(body), "{host}{path}: {said:?}");
    }
    client.finish();
    drop(client);
    let line = proxy.line("request", "that for another host", |line| line["status"] == 421);
    assert_eq!((&line["cause"], &line["protocol"]), (&"misdirected".into(), &"h2".into()), "{line}");
    proxy.finish();
}

/// Who a client is stands in no trailer, whichever version it speaks.
#[test]
fn no_trailer_of_http_2_says_who_a_client_is() {
    let target = Target::verbatim();
    let judge = Target::serving(|mut peer: Peer| {
        while let Some(_head) = crate::harness::next_head(&mut peer) {
            peer.send_what_is_taken(b"HTTP/1.1 204 No Content\r\nx-remote-user: alice\r\n\r\n");
        }
    });
    let basic = format!("{BASIC}\nheaders.request.set = {{ \"x-remote-user\" = \"{{user}}\" }}");
    let forward = format!(
        "security.forward_auth = {{ targets = [\"{}\"], path = \"/ask\", copy_headers = [\"x-remote-user\"] }}",
        judge.address
    );
    for guard in [basic, forward] {
        let proxy = Proxy::start(&Way::Http.route("guarded", "127.0.0.2", target.address, &guard));
        let head = [
            (":path", "/"),
            (":authority", HOST),
            ("authorization", "Basic YWxpY2U6Y29ycmVjdA=="),
            ("x-remote-user", "root"),
            ("x_remote_user", "root"),
        ];
        let trailers = [
            ("x-remote-user", "root"),
            ("x_remote_user", "root"),
            ("x-remote_user", "root"),
            ("authorization", "Basic cm9vdDpyb290"),
            ("cookie", "user=root"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-end", "1"),
        ];
        let mut client = Peer::connect(proxy.address("127.0.0.2"));
        client.send(PREFACE);
        client.send(&frame(SETTINGS, 0, 0, &[]));
        client.send(&frame(frames::HEADERS, frames::END_HEADERS, 1, &[&[0x83, 0x86], &fields(&head)[..]].concat()));
        client.send(&frame(frames::DATA, 0, 1, b"body"));
        client.send(&frame(frames::HEADERS, frames::WHOLE, 1, &fields(&trailers)));
        let (status, seen) = answered(&mut client);
        assert_eq!(status, 200, "{seen}");
        let (head, rest) = seen.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("\r\nx-remote-user: alice") && rest.contains("body") && rest.contains("x-end: 1"),
            "{seen}"
        );
        for lie in ["root", "cm9vdDpyb290", "10.0.0.1"] {
            assert!(!seen.contains(lie), "{lie} in {seen}");
        }
        drop(client);
        proxy.finish();
    }
}
