//! Hellos of the system's openssl.

use std::process::Stdio;
use std::time::Duration;

use smartproxy::route::TlsVersion;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

use super::Sample;

/// More than openssl ever needs to connect to the same machine.
const PATIENCE: Duration = Duration::from_secs(30);

const BOTH: &[TlsVersion] = &[TlsVersion::Tls12, TlsVersion::Tls13];

/// None where there is no openssl, which only a developer's machine may lack.
pub(crate) async fn samples() -> Vec<Sample> {
    let present = Command::new("openssl").arg("version").stdout(Stdio::null()).status().await.is_ok();
    if !present {
        assert!(std::env::var_os("CI").is_none(), "CI needs openssl");
        eprintln!("no openssl: skipped");
        return Vec::new();
    }
    let long: String = (0..30).map(|number| format!("protocol-{number:0>60},")).collect();
    let long = long.trim_end_matches(',');
    let named = ["-servername", "Shop.Example.com"];
    let mut samples = Vec::new();
    for (name, arguments, server_name, alpn, tls_versions) in [
        ("openssl", &named[..], Some("shop.example.com"), "", BOTH),
        ("openssl, TLS 1.2", &["-tls1_2", "-servername", "a.example"], Some("a.example"), "", &BOTH[..1]),
        ("openssl, TLS 1.3", &["-tls1_3", "-servername", "a.example"], Some("a.example"), "h2", &BOTH[1..]),
        ("openssl, no name", &["-noservername"], None, "h2,http/1.1", BOTH),
        ("openssl, an IP literal as name", &["-servername", "192.0.2.1"], None, "", BOTH),
        ("openssl, long ALPN", &named, Some("shop.example.com"), long, BOTH),
    ] {
        samples.push(Sample {
            name,
            wire: first_record(arguments, alpn).await,
            server_name,
            alpn: alpn.split(',').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect(),
            tls_versions,
            ech: false,
        });
    }
    samples
}

/// Lets `openssl s_client` connect, and records its first record, which holds its whole hello.
async fn first_record(arguments: &[&str], alpn: &str) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = Command::new("openssl");
    command.arg("s_client").arg("-connect").arg(listener.local_addr().unwrap().to_string()).args(arguments);
    if !alpn.is_empty() {
        command.args(["-alpn", alpn]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let recording = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut wire = vec![0; 5];
        stream.read_exact(&mut wire).await.unwrap();
        wire.resize(5 + usize::from(u16::from_be_bytes([wire[3], wire[4]])), 0);
        stream.read_exact(&mut wire[5..]).await.unwrap();
        wire
    };
    let wire = timeout(PATIENCE, async {
        tokio::select! {
            biased;
            wire = recording => wire,
            status = child.wait() => panic!("openssl ended before its hello: {status:?}"),
        }
    });
    let wire = wire.await.expect("openssl sends its hello");
    let _status = timeout(PATIENCE, child.wait()).await.expect("openssl ends when the connection does");
    wire
}
