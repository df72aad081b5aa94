use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::certificates::Tls;
use super::logins::Logins;
use super::pages::Pages;
use super::routes::Routes;
use super::{Fixed, Generation, Settings, Source};
use crate::config::{self, Config, Faults};
use crate::handler::{ProxyHeaderPolicy, Route, Site};
use crate::http::ErrorAnswers;
use crate::net::ListenAddress;
use crate::route::Table;

/// Builds a generation, with what is known from those before of the routes and targets that it has.
///
/// # Errors
/// Every fault in what the configuration names.
pub(super) fn assemble(config: &Config, source: &Source, previous: Option<&Generation>) -> Result<Generation, Faults> {
    source.forget_unused();
    let mut tls = Tls::new(config, source);
    let routes = Routes::new(source);
    let mut pages = Pages::new(config);
    let mut logins = Logins::new(config, source);
    let unrouted = pages.answers(&config.defaults.errors);
    let mut build = |route| Arc::new(routes.build(route, &mut tls, &mut pages, &mut logins));
    let built: Vec<_> = config.routes.iter().map(&mut build).collect();
    let operators = tls.operators();
    let warnings = tls.take_warnings().into_iter().chain(logins.take_warnings()).collect();
    let certificates = tls.expiries();
    let others = pages.into_faults().into_iter().chain(logins.into_faults()).collect();
    if let Some(faults) = tls.into_faults(others) {
        return Err(faults);
    }
    let built: Arc<[Arc<Route>]> = built.into();
    let fixed = Fixed {
        workers: config.server.workers,
        log: config.log.clone(),
        admin_socket: config.admin.socket.clone(),
        admin_listen: config.admin.listen,
        admin_tls: config.admin.tls.is_some(),
    };
    let started_with = previous.map_or_else(|| Arc::new(fixed.clone()), |previous| Arc::clone(&previous.started_with));
    Ok(Generation {
        number: previous.map_or(1, |previous| previous.number + 1),
        assembled: SystemTime::now(),
        settings: Settings {
            workers: config.server.workers,
            max_connections: config.server.max_connections,
            shutdown_timeout: config.server.shutdown_timeout,
            leak_check: config.server.leak_check,
        },
        sites: sites(config, &built, &unrouted),
        routes: built,
        warnings,
        operators,
        certificates,
        meters: Arc::clone(&source.meters),
        fixed,
        started_with,
    })
}

/// What is served at each address: the address's routes in a table, under the address's own settings.
fn sites(
    config: &Config,
    routes: &Arc<[Arc<Route>]>,
    unrouted: &Arc<ErrorAnswers>,
) -> BTreeMap<ListenAddress, Arc<Site>> {
    let mut by_address: HashMap<ListenAddress, Vec<usize>> = HashMap::new();
    for (index, route) in config.routes.iter().enumerate() {
        for address in &route.addresses {
            by_address.entry(*address).or_default().push(index);
        }
    }
    // The ports of a range have the same routes, and one table is enough for them.
    let mut tables: HashMap<Vec<usize>, Arc<Table>> = HashMap::new();
    let mut sites = BTreeMap::new();
    for listener in &config.listeners {
        let indices = by_address.remove(&listener.address.value).unwrap_or_default();
        let table = tables.get(&indices).cloned().unwrap_or_else(|| Arc::new(table(&indices, routes)));
        let site = site(listener, &indices, Arc::clone(&table), config, routes, unrouted);
        sites.insert(listener.address.value, Arc::new(site));
        tables.insert(indices, table);
    }
    sites
}

fn table(indices: &[usize], routes: &[Arc<Route>]) -> Table {
    Table::new(indices.iter().filter_map(|index| routes.get(*index)).map(|route| Arc::clone(&route.rule)))
}

fn site(
    listener: &config::Listener,
    indices: &[usize],
    table: Arc<Table>,
    config: &Config,
    routes: &Arc<[Arc<Route>]>,
    unrouted: &Arc<ErrorAnswers>,
) -> Site {
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
        errors: Arc::clone(unrouted),
        table,
        routes: Arc::clone(routes),
    }
}
