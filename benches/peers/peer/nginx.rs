//! nginx, as its documentation recommends for speed.
//!
//! `reuseport`, `tcp_nodelay` (on by default in both modules), no logs, kept-alive upstream connections (`keepalive`,
//! `proxy_http_version 1.1`, an empty `Connection`), a shared cache of TLS sessions besides its tickets; and for long
//! transfers buffers of 64 KiB instead of 16 (stream) or 8 (http), and `http2_chunk_size` with them.

use std::fmt::Write;
use std::process::Command;

use super::{Kind, Service, Site, host};
use crate::world::{NAME, World};

/// Where Debian and its kin put the stream module.
pub(super) const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

const FILE: &str = "nginx.conf";

pub(super) fn command(world: &World) -> Command {
    let mut command = Command::new(Kind::Nginx.program());
    command.arg("-e").arg("stderr").arg("-p").arg(world.path("")).arg("-c").arg(world.path(FILE));
    command
}

pub(super) fn configure(site: &Site<'_>) {
    let (mut stream, mut http) = (String::new(), String::new());
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519; \
         ssl_session_timeout 1d;",
        site.file("certificate.pem"),
        site.file("key.pem")
    );
    for (service, port) in site.ports {
        let listen = format!("listen 127.0.0.1:{port} reuseport backlog=4096");
        let target = service.backend(site.world);
        let _ = match service {
            Service::Echo | Service::Source | Service::Sink => {
                writeln!(stream, "server {{ {listen}; proxy_pass {target}; }}")
            }
            Service::TlsEcho | Service::TlsSource | Service::TlsSink => {
                writeln!(stream, "server {{ {listen} ssl; {tls} proxy_pass {target}; }}")
            }
            Service::Http => writeln!(http, "server {{ {listen}; location / {{ proxy_pass http://backend; }} }}"),
            Service::Https => {
                writeln!(http, "server {{ {listen} ssl http2; {tls} location / {{ proxy_pass http://backend; }} }}")
            }
            Service::Passthrough => writeln!(stream, "server {{ {listen}; ssl_preread on; proxy_pass $passed; }}"),
        };
    }
    let passed = site.passed_to();
    let mut map = format!("map $ssl_preread_server_name $passed {{\n{NAME} {passed};\n");
    for number in 0..site.purpose.routes {
        let _ = writeln!(map, "{} {passed};", host(number));
    }
    map.push_str("}\n");
    let (stream_buffers, http_buffers) = if site.purpose.bulk {
        (
            "proxy_buffer_size 64k;",
            "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 512k; http2_chunk_size 64k;",
        )
    } else {
        ("", "")
    };
    let text = format!(
        "load_module {STREAM_MODULE};\n\
         daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {pid}; error_log stderr crit;\n\
         events {{ worker_connections 19000; multi_accept on; use epoll; }}\n\
         stream {{ access_log off; ssl_session_cache shared:stream:10m; map_hash_max_size 262144; {stream_buffers}\n{map}{stream}}}\n\
         http {{ access_log off; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 75s; server_tokens off; \
         ssl_session_cache shared:http:10m; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; \
         {http_buffers} \n\
         upstream backend {{ server {backend}; keepalive 128; keepalive_requests 1000000000; }}\n{http}}}\n",
        pid = site.file("nginx.pid"),
        backend = site.world.backends.http,
    );
    std::fs::write(site.world.path(FILE), text).unwrap();
}
