//! What happens to a connection or a request once its route is known: one file per ending.

mod choose;
mod entry;
mod foretell;
mod http;
mod inquiry;
mod passthrough;
mod password;
mod redirect;
mod respond;
mod route;
mod site;
mod tcp;
mod terminate;
mod turn_away;

pub use self::http::{CurrentSite, Inside, Requests, http};
pub use self::inquiry::ForwardAuth;
pub use choose::{Terms, admits_any, choose};
pub use entry::enter;
pub use foretell::{Gets, TurnedDown, foretell, foretell_path};
pub use passthrough::passthrough;
pub use password::BasicAuth;
pub use redirect::Redirect;
pub use respond::{Content, Respond};
pub use route::{Action, Forward, HeaderRules, HttpSettings, PoolClass, Route};
pub use site::{ProxyHeaderPolicy, Site};
pub use tcp::{ended, tcp};
pub use terminate::{refuse_unknown_name, terminate};
pub use turn_away::{TurnedAway, turn_away};
