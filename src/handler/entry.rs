use super::route::Route;
use crate::connection::{Connection, Refusal};

/// Counts the connection for the route, if the route admits the client.
///
/// The place that it takes is kept until the connection ends; asking again for the same route takes no second one, but
/// `security` is asked each time, since a reload may have changed it.
///
/// # Errors
/// Why the route refuses.
pub fn enter(route: &Route, connection: &Connection) -> Result<(), Refusal> {
    connection.set_route(&route.meter);
    let client = connection.client().ip();
    route.admission.permits(client)?;
    if !connection.is_admitted(&route.admission) {
        connection.keep_slot(route.admission.admit(client)?);
    }
    Ok(())
}
