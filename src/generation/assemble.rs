use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::certificates::Tls;
use super::routes::Routes;
use super::{Generation, Settings, Source};
use crate::config::{self, Config, Faults};
use crate::handler::{ProxyHeaderPolicy, Route, Site};
use crate::net::ListenAddress;
use crate::route::Table;

/// Builds a generation, and carries over what the one before knows of the routes and targets that stay.
///
/// # Errors
/// Every fault in what the configuration names.
pub(super) fn assemble(config: &Config, source: &Source, previous: Option<&Generation>) -> Result<Generation, Faults> {
    let mut tls = Tls::new(config, source);
    let mut routes = Routes::new(source, previous);
    let built: Vec<_> = config.routes.iter().map(|route| Arc::new(routes.build(route, &mut tls))).collect();
    if let Some(faults) = Faults::new(tls.faults, 0) {
        return Err(faults);
    }
    let built: Arc<[Arc<Route>]> = built.into();
    Ok(Generation {
        number: previous.map_or(1, |previous| previous.number + 1),
        assembled: SystemTime::now(),
        settings: Settings {
            workers: config.server.workers,
            max_connections: config.server.max_connections,
            shutdown_timeout: config.server.shutdown_timeout,
        },
        sites: sites(config, &built),
        targets: routes.targets,
        loads: routes.loads,
        healths: routes.healths,
        routes: built,
        fixed: format!("{:?} {:?}", config.log, config.admin),
    })
}

/// What is served at each address: the address's routes in a table, under the address's own settings.
fn sites(config: &Config, routes: &Arc<[Arc<Route>]>) -> BTreeMap<ListenAddress, Arc<Site>> {
    let mut by_address: HashMap<ListenAddress, Vec<usize>> = HashMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        for address in &route.addresses {
            by_address.entry(*address).or_default().push(index);
        }
    }
    config
        .listeners
        .iter()
        .map(|listener| {
            let indices = by_address.remove(&listener.address.value).unwrap_or_default();
            (listener.address.value, Arc::new(site(listener, &indices, config, routes)))
        })
        .collect()
}

fn site(listener: &config::Listener, indices: &[usize], config: &Config, routes: &Arc<[Arc<Route>]>) -> Site {
    let timeouts = || indices.iter().filter_map(|index| config.routes.get(*index)).map(|route| &route.timeouts);
    let longest = |of: fn(&config::Timeouts) -> Duration, or: Duration| timeouts().map(of).max().unwrap_or(or);
    let defaults = &config.defaults.timeouts;
    Site {
        address: listener.address.value,
        proxy_header: listener
            .proxy_protocol
            .as_ref()
            .map(|policy| ProxyHeaderPolicy { trusted: policy.trusted.clone(), required: policy.required }),
        sniff: longest(|timeouts| timeouts.sniff, defaults.sniff),
        linger: longest(|timeouts| timeouts.linger, defaults.linger),
        table: Table::new(indices.iter().filter_map(|index| routes.get(*index)).map(|route| Arc::clone(&route.rule))),
        routes: Arc::clone(routes),
    }
}
