use std::fmt::Write;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::arguments::DemoOptions;
use super::check::refuse_config;
use super::exit::{ExitStatus, fail};
use super::output::{complain, print};
use super::run::run_config;
use crate::config::{Config, LoadError};
use crate::name::HostPattern;
use crate::server::Control;
use crate::tls::self_signed_pem;

/// The names that the demo's certificate is for; names below `localhost` never leave the machine (RFC 6761 section 6.3).
const NAMES: [&str; 3] = ["passthrough.localhost", "terminate.localhost", "reencrypt.localhost"];

/// Where the demo listens, and where its own upstreams do.
struct Ports {
    http: u16,
    https: u16,
    tcp: u16,
    admin: u16,
    http_upstream: u16,
    https_upstream: u16,
}

/// Runs the daemon on a configuration of its own, and prints what to try.
pub(super) fn demo(options: &DemoOptions) -> ExitStatus {
    let folder = std::env::temp_dir().join(format!("smartproxy-demo-{}", std::process::id()));
    let prepared = prepare(&folder);
    let (config, ports) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return fail(ExitStatus::System, &error),
    };
    let path = folder.join("demo.toml");
    let status = match Config::from_text(&config, &path) {
        Ok(config) => {
            let time = options.time;
            run_config(&path, &config, |control| {
                print_what_to_try(&folder, &ports);
                if let Some(time) = time {
                    end_after(time, control.clone());
                }
            })
        }
        Err(faults) => refuse_config(&LoadError::Faults(faults)),
    };
    if let Err(error) = fs::remove_dir_all(&folder) {
        complain(format!("{} is left behind: {error}", folder.display()));
    }
    status
}

/// Writes the certificate and the configuration, so that both can be looked at, changed, and reloaded by SIGHUP.
fn prepare(folder: &Path) -> io::Result<(String, Ports)> {
    fs::create_dir_all(folder)?;
    let names = NAMES.iter().filter_map(|name| HostPattern::parse(name).ok()).collect::<Vec<_>>();
    let (certificate, key) = self_signed_pem(&names).map_err(io::Error::other)?;
    fs::write(folder.join("demo.pem"), certificate)?;
    fs::write(folder.join("demo.key"), key)?;
    let ports = Ports {
        http: free_port(8080)?,
        https: free_port(8443)?,
        tcp: free_port(8000)?,
        admin: free_port(9900)?,
        http_upstream: free_port(0)?,
        https_upstream: free_port(0)?,
    };
    let config = configuration(&ports);
    fs::write(folder.join("demo.toml"), &config)?;
    Ok((config, ports))
}

/// The wanted port if it is free, else one of the system's choice.
fn free_port(wanted: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .or_else(|_taken| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

fn configuration(ports: &Ports) -> String {
    let Ports { http, https, tcp, admin, http_upstream, https_upstream } = ports;
    format!(
        r#"# The configuration of `smartproxy demo`: change it, and send SIGHUP.
[admin]
listen = "127.0.0.1:{admin}"
socket = "admin.sock"

# Two upstreams. They are routes that answer by themselves; yours would be servers of your own.
[[routes]]
name = "http-upstream"
match.ports = ["127.0.0.1:{http_upstream}"]
respond = {{ status = 200, body = "hello from the HTTP upstream\n" }}

[[routes]]
name = "https-upstream"
match.ports = ["127.0.0.1:{https_upstream}"]
tls.mode = "terminate"
tls.certificate = {{ certificate = "demo.pem", key = "demo.key" }}
respond = {{ status = 200, body = "hello from the HTTPS upstream\n" }}

# TLS passthrough: the client's TLS ends at the upstream.
[[routes]]
name = "passthrough"
match.ports = ["127.0.0.1:{https}"]
match.domains = ["passthrough.localhost"]
tls.mode = "passthrough"
targets = ["127.0.0.1:{https_upstream}"]

# TLS ends here, HTTP goes on.
[[routes]]
name = "terminate"
match.ports = ["127.0.0.1:{https}"]
match.domains = ["terminate.localhost"]
tls.mode = "terminate"
tls.certificate = {{ certificate = "demo.pem", key = "demo.key" }}
targets = ["127.0.0.1:{http_upstream}"]

# TLS ends here, and a new TLS connection goes on.
[[routes]]
name = "reencrypt"
match.ports = ["127.0.0.1:{https}"]
match.domains = ["reencrypt.localhost"]
tls.mode = "terminate-and-reencrypt"
tls.certificate = {{ certificate = "demo.pem", key = "demo.key" }}
tls.upstream = {{ ca = "demo.pem", server_name = "reencrypt.localhost" }}
targets = ["127.0.0.1:{https_upstream}"]

# Plain HTTP.
[[routes]]
name = "web"
match.ports = ["127.0.0.1:{http}"]
targets = ["127.0.0.1:{http_upstream}"]

# A redirect for one path of it.
[[routes]]
name = "moved"
match.ports = ["127.0.0.1:{http}"]
match.path = "/moved"
redirect = {{ to = "https://terminate.localhost:{https}/", status = 302 }}

# A target that refuses connections: 502, and the access log says why.
[[routes]]
name = "broken"
match.ports = ["127.0.0.1:{http}"]
match.path = "/broken"
targets = ["127.0.0.1:1"]

# Raw TCP.
[[routes]]
name = "tcp"
match.ports = ["127.0.0.1:{tcp}"]
protocol = "tcp"
targets = ["127.0.0.1:{http_upstream}"]
"#
    )
}

fn print_what_to_try(folder: &Path, ports: &Ports) {
    let Ports { http, https, tcp, admin, .. } = ports;
    let certificate = folder.join("demo.pem");
    let mut text = format!("configuration: {}\n\ntry:\n", folder.join("demo.toml").display());
    for name in NAMES {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "curl --cacert {} --resolve {name}:{https}:127.0.0.1 https://{name}:{https}/",
            certificate.display()
        );
    }
    for url in [
        format!("http://127.0.0.1:{http}/"),
        format!("-i http://127.0.0.1:{http}/moved"),
        format!("-i http://127.0.0.1:{http}/broken"),
        format!("http://127.0.0.1:{tcp}/"),
        format!("http://127.0.0.1:{admin}/connections"),
        format!("http://127.0.0.1:{admin}/metrics"),
    ] {
        let _ = writeln!(text, "curl {url}");
    }
    text.push_str("\nCtrl-C ends it\n\n");
    // A reader that has gone misses nothing that the daemon needs.
    let _ = print(&text);
}

/// Ends the demo as Ctrl-C would, after a time.
fn end_after(time: Duration, control: Control) {
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        control.stop().await;
    });
}
