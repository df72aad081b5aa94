use http::header::HeaderName;

use super::disguise::remove_alike;
use super::exchange::Exchange;
use super::facts::TlsNames;
use crate::head::Headers;
use crate::name::{FieldValue, Placeholder};

/// What is changed in a head, in this order: removed, set, added.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    /// Fields that go.
    pub remove: Vec<HeaderName>,
    /// Fields that are replaced, or made.
    pub set: Vec<(HeaderName, FieldValue)>,
    /// Fields that come to those of the same name.
    pub add: Vec<(HeaderName, FieldValue)>,
}

impl HeaderEdits {
    /// Whether nothing is changed.
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The fields that are set to what names the user.
    pub(super) fn naming_user(&self) -> impl Iterator<Item = &HeaderName> {
        self.set.iter().filter(|(_, value)| value.names(Placeholder::User)).map(|(name, _)| name)
    }

    /// Changes a head. A field of whose value nothing is left is not there: what was there under its name goes all the same,
    /// since a peer must not be able to say what the route says. Of a field that names the user, those go too that a target
    /// could take for it.
    pub fn apply(&self, headers: &mut Headers, exchange: &Exchange, tls: TlsNames<'_>) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            if value.names(Placeholder::User) {
                remove_alike(headers, name);
            }
            match value.expand(|placeholder, out| exchange.write(placeholder, tls, out)) {
                Some(value) => headers.insert(name.clone(), value),
                None => drop(headers.remove(name)),
            }
        }
        for (name, value) in &self.add {
            if let Some(value) = value.expand(|placeholder, out| exchange.write(placeholder, tls, out)) {
                headers.append(name.clone(), value);
            }
        }
    }
}
