use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::handler::PoolClass;
use crate::tls::{ClientParameters, ClientPolicy, PolicyError, SystemAuthorities, TargetName, Verification};

/// What outlives a generation, found again by what makes it the same.
///
/// It lives as long as anybody uses it, a generation or a connection of one that is gone: what a reload takes away and
/// another brings back while connections live goes on where it was.
#[derive(Debug)]
pub(super) struct Kept<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Kept<K, V> {
    /// What is known under the key, or else what is made now.
    pub(super) fn find_or_make<Q>(&self, key: &Q, make: impl FnOnce(&Q) -> V) -> Arc<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let Ok(found) = self.find_or_try(key, |key| Ok::<_, Infallible>(make(key)));
        found
    }

    /// The same, of what may fail to be made.
    pub(super) fn find_or_try<Q, E>(&self, key: &Q, make: impl FnOnce(&Q) -> Result<V, E>) -> Result<Arc<V>, E>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let mut known = self.locked();
        if let Some(found) = known.get(key).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let made = Arc::new(make(key)?);
        known.insert(key.to_owned(), Arc::downgrade(&made));
        Ok(made)
    }

    /// All that is in use.
    pub(super) fn all(&self) -> Vec<Arc<V>> {
        self.locked().values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets what nobody uses any more.
    pub(super) fn forget_unused(&self) {
        self.locked().retain(|_, value| value.strong_count() > 0);
    }

    /// How much is known, used or not.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.locked().len()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, Weak<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What policies towards targets were made, so that a reload finds those that have not changed, and with them the pooled
/// connections and the remembered sessions.
#[derive(Debug, Default)]
pub(super) struct ClientPolicies(Mutex<MadePolicies>);

#[derive(Debug, Default)]
struct MadePolicies {
    /// By the name that is asked for: there may be as many as routes, while all else has a handful of values.
    made: HashMap<Option<TargetName>, Vec<MadePolicy>>,
    classes: u64,
}

type MadePolicy = (ClientKey, Weak<ClientPolicy>, PoolClass);

/// What makes two policies towards targets the same, besides the name that is asked for.
#[derive(Debug, PartialEq, Eq)]
struct ClientKey {
    verification: Verification,
    /// The DER of each certificate of the chain that is shown.
    shown: Vec<Vec<u8>>,
    alpn: Vec<Vec<u8>>,
}

impl ClientPolicies {
    pub(super) fn find_or_make(
        &self,
        parameters: ClientParameters,
        system: &SystemAuthorities,
    ) -> Result<(Arc<ClientPolicy>, PoolClass), PolicyError> {
        let shown = parameters.client_certificate.iter().flat_map(|shown| shown.chain()).map(<[u8]>::to_vec).collect();
        let key = ClientKey { verification: parameters.verification.clone(), shown, alpn: parameters.alpn.clone() };
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let server_name = parameters.server_name.clone();
        let mut same = policies.made.get(&server_name).into_iter().flatten().filter(|(known, ..)| *known == key);
        if let Some(known) = same.find_map(|(_, policy, class)| Some((policy.upgrade()?, *class))) {
            return Ok(known);
        }
        let policy = Arc::new(ClientPolicy::new(parameters, system)?);
        policies.classes += 1;
        let class = PoolClass(policies.classes);
        policies.made.entry(server_name).or_default().push((key, Arc::downgrade(&policy), class));
        Ok((policy, class))
    }

    /// Forgets what nobody uses any more.
    pub(super) fn forget_unused(&self) {
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        policies.made.retain(|_, made| {
            made.retain(|(_, policy, _)| policy.strong_count() > 0);
            !made.is_empty()
        });
    }
}
