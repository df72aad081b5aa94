//! curl: a client that we have not written.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A request that curl will make.
pub(crate) struct Curl {
    command: Command,
}

/// What curl got.
#[derive(Debug)]
pub(crate) struct Answer {
    /// curl's own exit code; 0 is a whole answer.
    pub(crate) exit: i32,
    pub(crate) status: u16,
    /// `1.1` or `2`.
    pub(crate) version: String,
    pub(crate) body: String,
}

impl Curl {
    /// curl, if this machine has it; CI must.
    pub(crate) fn found() -> bool {
        let found = Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
        assert!(found || std::env::var_os("CI").is_none(), "CI needs curl");
        if !found {
            eprintln!("skipped: this machine has no curl");
        }
        found
    }

    /// A request to `scheme://host/path`, where the host is at this address.
    pub(crate) fn to(scheme: &str, host: &str, address: SocketAddr, path: &str) -> Self {
        let mut command = Command::new("curl");
        // -q first: no configuration of the user's own.
        command.args(["-q", "--silent", "--show-error", "--max-time", "20", "--noproxy", "*"]);
        command.args(["--write-out", "\n%{http_code} %{http_version}"]);
        command.arg("--resolve").arg(format!("{host}:{}:{}", address.port(), address.ip()));
        command.arg(format!("{scheme}://{host}:{}{path}", address.port()));
        Self { command }
    }

    /// The authority that it trusts.
    pub(crate) fn trusting(mut self, authority: &Path) -> Self {
        self.command.arg("--cacert").arg(authority);
        self
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Makes the request.
    pub(crate) fn run(mut self) -> Answer {
        let output = self.command.output().unwrap();
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, facts) = text.rsplit_once('\n').unwrap_or(("", &text));
        let (status, version) = facts.split_once(' ').unwrap_or_default();
        Answer {
            exit: output.status.code().unwrap_or(-1),
            status: status.parse().unwrap_or(0),
            version: version.to_owned(),
            body: body.to_owned(),
        }
    }
}
