//! Who asks: the operator, a tenant, or nobody who is known.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use axum::http::HeaderMap;
use routir_core::{Error, ErrorCode, RequestContext, Result};
use routir_listen::ApiKey;

use crate::auth::presented;
use crate::options::TenantKeys;
use crate::party::Party;

/// Who a request is from.
#[derive(Clone)]
pub(crate) enum Caller {
    /// Who runs the server; everybody, on a server that asks for no key.
    Operator,
    /// A tenant.
    Tenant(Arc<Party>),
}

impl Caller {
    /// The tenant, if it is one.
    pub(crate) fn party(&self) -> Option<&Arc<Party>> {
        match self {
            Self::Operator => None,
            Self::Tenant(party) => Some(party),
        }
    }

    /// Whether it is the operator.
    pub(crate) fn is_operator(&self) -> bool {
        self.party().is_none()
    }

    /// `context` with who pays and whose eyes it has.
    pub(crate) fn stamp(&self, context: RequestContext) -> RequestContext {
        let tenant = self.party().map(|party| Arc::clone(&party.tenant));
        let scope = tenant.as_ref().map(|tenant| Arc::clone(&tenant.name));
        RequestContext {
            tenant,
            scope,
            ..context
        }
    }
}

/// Tells callers apart by their keys.
pub(crate) struct Access {
    /// `None` lets everybody in, as the operator.
    keys: Option<Keys>,
    parties: BTreeMap<Arc<str>, Arc<Party>>,
}

impl Access {
    /// Access for whoever bears `api_key`, the operator, or a key of one of `tenants`. When there
    /// is neither, everybody is the operator; with tenants and without `api_key`, nobody is.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidArgument`] for a key that cannot guard or that two parties have, for
    /// tenants of one name, and for quotas that cannot be kept.
    pub(crate) fn new(api_key: Option<&str>, tenants: &[TenantKeys]) -> Result<Self> {
        let mut keys = Keys::default();
        let mut parties = BTreeMap::new();
        if let Some(key) = api_key {
            keys.add(ApiKey::new(key)?, key, Caller::Operator)?;
        }
        for tenant in tenants {
            let name = &tenant.tenant.name;
            let of_tenant = |error: Error| error.at(format!("tenant `{name}`"));
            let party = Arc::new(Party::new(tenant).map_err(of_tenant)?);
            for key in &tenant.keys {
                let caller = Caller::Tenant(Arc::clone(&party));
                let added = ApiKey::new(key).and_then(|padded| keys.add(padded, key, caller));
                added.map_err(of_tenant)?;
            }
            if parties.insert(Arc::clone(name), party).is_some() {
                return Err(Error::invalid(format!("two tenants are named `{name}`")));
            }
        }
        let guarded = api_key.is_some() || !parties.is_empty();
        Ok(Self {
            keys: guarded.then_some(keys),
            parties,
        })
    }

    /// Who sent `headers`.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] with RoutIR's texts.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Caller> {
        let Some(keys) = &self.keys else {
            return Ok(Caller::Operator);
        };
        let found = keys.find(presented(headers)?);
        found
            .cloned()
            .ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "invalid API key"))
    }

    /// The tenants by name.
    pub(crate) fn parties(&self) -> &BTreeMap<Arc<str>, Arc<Party>> {
        &self.parties
    }
}

/// Any number of keys, found in a time that says nothing about what they hold.
///
/// A key is looked up by its hash, with a hash function (SipHash) that this process keyed at random:
/// which entry a presented key meets, if any, cannot be steered or predicted from outside, and
/// stands in no relation to how much of it is right. Whatever the look-up finds is then compared as
/// a whole in constant time, and when it finds nothing, so is a key that nobody has: the same work
/// for a right key, a nearly right one and a wrong one, however many there are.
struct Keys {
    hasher: RandomState,
    by_hash: HashMap<u64, Vec<(ApiKey, Caller)>>,
    nobody: [(ApiKey, Caller); 1],
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            by_hash: HashMap::new(),
            nobody: [(ApiKey::of_nobody(), Caller::Operator)],
        }
    }
}

impl Keys {
    fn add(&mut self, padded: ApiKey, key: &str, caller: Caller) -> Result<()> {
        if self.find(key.as_bytes()).is_some() {
            return Err(Error::invalid(
                "one of the keys is somebody else's too, or stands there twice; give everybody \
                 keys of their own",
            ));
        }
        let hash = self.hasher.hash_one(key.as_bytes());
        self.by_hash.entry(hash).or_default().push((padded, caller));
        Ok(())
    }

    fn find(&self, presented: &[u8]) -> Option<&Caller> {
        let hash = self.hasher.hash_one(presented);
        let entries = self.by_hash.get(&hash);
        let entries = entries.map_or(self.nobody.as_slice(), Vec::as_slice);
        let mut found = None;
        for (key, caller) in entries {
            if key.matches(presented) {
                found = Some(caller);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use axum::http::header::AUTHORIZATION;
    use routir_core::{Quotas, Tenant};

    use super::*;

    fn tenant(name: &str, keys: &[String]) -> TenantKeys {
        TenantKeys {
            tenant: Arc::new(Tenant {
                name: name.into(),
                weight: NonZeroU32::MIN,
                quotas: Quotas {
                    concurrent_calls: 1,
                    memory_bytes: 0,
                    cpu_ms_per_s: 0,
                    host_calls_per_s: 0,
                    extensions: 0,
                },
                services: vec![],
                collections: vec![],
            }),
            keys: keys.to_vec(),
            max_component_bytes: 1,
        }
    }

    fn who(access: &Access, key: &str) -> String {
        let value = format!("Bearer {key}").parse().unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
        match access.caller(&headers) {
            Ok(caller) => caller
                .party()
                .map_or("operator", |party| &party.tenant.name)
                .to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn thousands_of_keys_are_told_apart() {
        let keys = |n: usize| [format!("key-{n}-a"), format!("key-{n}-b")];
        let tenants: Vec<_> = (0..2000)
            .map(|n| tenant(&format!("t{n}"), &keys(n)))
            .collect();
        let access = Access::new(Some("key-0"), &tenants).unwrap();
        assert_eq!(who(&access, "key-0"), "operator");
        for n in [0, 7, 1999] {
            assert_eq!(
                keys(n).map(|key| who(&access, &key)),
                [format!("t{n}"), format!("t{n}")]
            );
        }
        for wrong in ["key-2000-a", "key-0-", "key-0-aa", "", "\u{e9}"] {
            assert_eq!(who(&access, wrong), "invalid API key");
        }
    }

    #[test]
    fn without_a_key_of_the_operator_nobody_is_the_operator() {
        let access = Access::new(None, &[tenant("t", &["key".to_owned()])]).unwrap();
        assert_eq!(who(&access, "key"), "t");
        assert!(access.caller(&HeaderMap::new()).is_err());
        let locked = Access::new(None, &[tenant("t", &[])]).unwrap();
        assert!(locked.caller(&HeaderMap::new()).is_err());
        let open = Access::new(None, &[]).unwrap();
        assert!(open.caller(&HeaderMap::new()).unwrap().is_operator());
    }

    #[test]
    fn a_key_that_two_have_is_refused_and_not_told() {
        let key = || "s3cret-key".to_owned();
        for (operator, tenants) in [
            (Some("s3cret-key"), vec![tenant("a", &[key()])]),
            (None, vec![tenant("a", &[key()]), tenant("b", &[key()])]),
            (None, vec![tenant("a", &[key(), key()])]),
            (None, vec![tenant("a", &[]), tenant("a", &[])]),
            (None, vec![tenant("a", &[String::new()])]),
        ] {
            let error = Access::new(operator, &tenants).err().unwrap();
            assert!(!error.message().contains("s3cret"), "{error}");
        }
    }
}
