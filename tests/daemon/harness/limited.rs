use std::process::{Command, Stdio};

use super::proxy::BINARY;

/// Has `smartproxy run` started with this limit of descriptors, which it cannot raise; the command's last argument is the
/// configuration.
pub(crate) fn limited(command: &mut Command, limit: u64) {
    let file = command.get_args().last().unwrap().to_owned();
    *command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" run -c \"$1\""), BINARY]).arg(file);
    command.stdin(Stdio::null());
}
