use std::fmt::Write;
use std::path::Path;

use super::NAMES;
use super::ports::Ports;

/// The demo's configuration.
pub(super) fn configuration(ports: &Ports) -> String {
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

/// What there is to try, each as a line for a shell.
pub(super) fn what_to_try(folder: &Path, ports: &Ports) -> String {
    let Ports { http, https, tcp, admin, .. } = ports;
    let certificate = folder.join("demo.pem");
    let mut text = format!(
        "configuration: {}\n\nlook at http://127.0.0.1:{admin}/ in a browser, and try:\n",
        folder.join("demo.toml").display()
    );
    for name in NAMES {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "curl --cacert {} --resolve {name}:{https}:127.0.0.1 https://{name}:{https}/",
            shell_word(&certificate.display().to_string())
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
    text
}

/// A word that a shell takes as it is (POSIX 2.2.2).
fn shell_word(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+".contains(character);
    if text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_a_shell_is_quoted_where_it_has_to_be() {
        assert_eq!(shell_word("/tmp/a-b_c.pem"), "/tmp/a-b_c.pem");
        assert_eq!(shell_word("/my files/it's.pem"), r"'/my files/it'\''s.pem'");
    }
}
