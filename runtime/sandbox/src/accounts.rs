//! The accounts of all tenants who ever had a guest here.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::RwLock;
use routir_core::{Quotas, Tenant};

use crate::schedule::Account;

/// Accounts by tenant, made when they are first needed.
pub(crate) struct Accounts {
    operator: Arc<Account>,
    tenants: RwLock<HashMap<Arc<str>, Entry>>,
}

struct Entry {
    weight: NonZeroU32,
    quotas: Quotas,
    account: Arc<Account>,
}

impl Entry {
    fn holds_for(&self, tenant: &Tenant) -> bool {
        self.weight == tenant.weight && self.quotas == tenant.quotas
    }
}

impl Accounts {
    pub(crate) fn new() -> Self {
        Self {
            operator: Account::operator(),
            tenants: RwLock::default(),
        }
    }

    /// The account of a tenant; `None` is the operator's. A tenant whose quotas changed gets a new
    /// one; what still runs is paid from the old.
    pub(crate) fn of(&self, tenant: Option<&Tenant>) -> Arc<Account> {
        let Some(tenant) = tenant else {
            return Arc::clone(&self.operator);
        };
        if let Some(entry) = self.tenants.read().get(&tenant.name)
            && entry.holds_for(tenant)
        {
            return Arc::clone(&entry.account);
        }
        let mut tenants = self.tenants.write();
        match tenants.get(&tenant.name) {
            Some(entry) if entry.holds_for(tenant) => Arc::clone(&entry.account),
            _ => {
                let account = Account::new(tenant);
                let entry = Entry {
                    weight: tenant.weight,
                    quotas: tenant.quotas.clone(),
                    account: Arc::clone(&account),
                };
                tenants.insert(Arc::clone(&tenant.name), entry);
                account
            }
        }
    }
}
