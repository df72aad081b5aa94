//! Where sockets are opened, tasks spawned, and unsafe code written.

use super::sources::sources;

/// Every upstream socket is opened by the connect helper.
#[test]
fn upstream_sockets_are_opened_in_the_connect_helper_only() {
    const OPENERS: &[&str] = &[
        "TcpStream::connect",
        "TcpSocket::new",
        ".connect_timeout(",
        "TcpSocket::from_std",
        "socket.connect(",
        "Socket::connect",
    ];
    let mut helper_opens = false;
    for source in sources() {
        for opener in OPENERS {
            if source.code.contains(opener) {
                let helper = source.path.starts_with("upstream/connect");
                helper_opens |= helper;
                assert!(helper, "{} opens a socket by {opener}, beside the connect helper", source.path);
            }
        }
    }
    assert!(helper_opens, "the connect helper was not found: does this test still look for the right thing?");
}

#[test]
fn unsafe_code_is_in_one_file() {
    for source in sources() {
        if source.path != "net/sys.rs" {
            assert!(!source.code.contains("unsafe {") && !source.code.contains("unsafe fn"), "{}", source.path);
        }
    }
}

/// The macros that print panic where nobody reads; `cli/output.rs` and the logs do not.
#[test]
fn nothing_prints_with_a_macro_that_panics() {
    for source in sources() {
        for printer in ["println!(", "print!("] {
            assert!(!source.code.contains(printer), "{} prints with {printer}...)", source.path);
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    for source in sources() {
        for word in ["todo!(", "unimplemented!(", "TODO", "FIXME", "#[ignore", "#[allow("] {
            assert!(!source.code.contains(word), "{} has {word}", source.path);
        }
    }
}
