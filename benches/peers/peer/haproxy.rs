//! HAProxy, as its documentation recommends for speed.
//!
//! One thread, no logs, `option splice-auto` with pipes of 1 MiB (`tune.pipesize`), `option tcp-smart-accept` and
//! `tcp-smart-connect`, `http-reuse always`, `option http-keep-alive`, a larger cache of TLS sessions besides its tickets; and
//! for long transfers buffers of 64 KiB (`tune.bufsize`) and an HTTP/2 window of 1 MiB. Names are looked up in a map.

use std::fmt::Write;
use std::process::Command;

use super::{Kind, Service, Site, host};
use crate::world::{NAME, World};

const FILE: &str = "haproxy.cfg";
const MAP: &str = "haproxy.map";

pub(super) fn command(world: &World) -> Command {
    let mut command = Command::new(Kind::Haproxy.program());
    // With a master, which is what can be told to reload.
    command.args(["-W", "-f"]).arg(world.path(FILE));
    command
}

pub(super) fn configure(site: &Site<'_>) {
    let buffers = if site.purpose.bulk { "tune.bufsize 65536\n tune.h2.initial-window-size 1048576\n" } else { "" };
    let mut text = format!(
        "global\n nbthread 1\n maxconn 9000\n maxpipes 256\n tune.pipesize 1048576\n tune.ssl.cachesize 20000\n \
         ssl-default-bind-curves X25519\n ssl-default-bind-options ssl-min-ver TLSv1.2\n {buffers}\
         defaults\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n timeout http-keep-alive 75s\n \
         option splice-auto\n option tcp-smart-accept\n option tcp-smart-connect\n option dontlognull\n",
    );
    let both = site.file("both.pem");
    for (service, port) in site.ports {
        let (name, target) = (service.name(), service.backend(site.world));
        let bind = format!("bind 127.0.0.1:{port} backlog 4096");
        let tls = format!("ssl crt {both}");
        let _ = match service {
            Service::Echo | Service::Source | Service::Sink => {
                writeln!(text, "listen {name}\n mode tcp\n {bind}\n server one {target}")
            }
            Service::TlsEcho | Service::TlsSource | Service::TlsSink => {
                writeln!(text, "listen {name}\n mode tcp\n {bind} {tls}\n server one {target}")
            }
            Service::Http => writeln!(
                text,
                "listen {name}\n mode http\n option http-keep-alive\n http-reuse always\n {bind}\n server one {target}"
            ),
            Service::Https => writeln!(
                text,
                "listen {name}\n mode http\n option http-keep-alive\n http-reuse always\n {bind} {tls} alpn h2,http/1.1\n server one {target}"
            ),
            Service::Passthrough => writeln!(
                text,
                "frontend {name}\n mode tcp\n {bind}\n tcp-request inspect-delay 5s\n \
                 tcp-request content accept if {{ req.ssl_hello_type 1 }}\n \
                 use_backend %[req.ssl_sni,lower,map({},none)]\n\
                 backend passed\n mode tcp\n server one {}",
                site.file(MAP),
                site.passed_to()
            ),
        };
    }
    std::fs::write(site.world.path(FILE), text).unwrap();
    let mut map = format!("{NAME} passed\n");
    for number in 0..site.purpose.routes {
        let _ = writeln!(map, "{} passed", host(number));
    }
    std::fs::write(site.world.path(MAP), map).unwrap();
}
