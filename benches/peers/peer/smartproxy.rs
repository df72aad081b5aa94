//! smartproxy as it comes: the defaults, with one worker, no access log and no admin.

use std::fmt::Write;
use std::process::Command;

use super::{Kind, Service, Site, host};
use crate::world::{NAME, World};

const FILE: &str = "smartproxy.toml";

pub(super) fn command(world: &World) -> Command {
    let mut command = Command::new(Kind::Smartproxy.program());
    command.args(["run", "-c"]).arg(world.path(FILE));
    command
}

pub(super) fn configure(site: &Site<'_>) {
    let mut text = String::from(
        "[server]\nworkers = 1\nshutdown_timeout = \"100ms\"\n[log]\naccess = false\nlevel = \"error\"\n[admin]\nsocket = \"\"\n",
    );
    let (certificate, key) = (site.file("certificate.pem"), site.file("key.pem"));
    for (service, port) in site.ports {
        let name = service.name();
        if *service == Service::Passthrough {
            continue;
        }
        let target = service.backend(site.world);
        let _ = write!(
            text,
            "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"127.0.0.1:{port}\"]\ntargets = [\"{target}\"]\n"
        );
        if service.is_tls() {
            let _ = write!(
                text,
                "tls.mode = \"terminate\"\ntls.certificate = {{ certificate = \"{certificate}\", key = \"{key}\" }}\n"
            );
        }
        if !matches!(service, Service::Http | Service::Https) {
            text.push_str("protocol = \"tcp\"\n");
        }
    }
    let port = site.ports.iter().find(|(service, _)| *service == Service::Passthrough).unwrap().1;
    let target = site.passed_to();
    for name in std::iter::once(NAME.to_owned()).chain((0..site.purpose.routes).map(host)) {
        let _ = write!(
            text,
            "[[routes]]\nname = \"{name}\"\nmatch.ports = [\"127.0.0.1:{port}\"]\nmatch.domains = [\"{name}\"]\n\
             tls.mode = \"passthrough\"\ntargets = [\"{target}\"]\n"
        );
    }
    std::fs::write(site.world.path(FILE), text).unwrap();
}
