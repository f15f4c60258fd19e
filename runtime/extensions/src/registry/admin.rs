//! Extensions as a wire offers them.

use std::sync::Arc;

use routir_core::{BoxFuture, ExtensionAdmin, ExtensionReport, Result};

use super::publish::Origin;
use super::report::report;
use super::{Offered, Registry};

impl ExtensionAdmin for Registry {
    fn put(
        &self,
        owner: Arc<str>,
        name: String,
        component: Vec<u8>,
    ) -> BoxFuture<'_, Result<ExtensionReport>> {
        Box::pin(async move {
            let party = self.party(&owner)?;
            let offered = party.publish(&name, component, Origin::Api).await;
            offered.map(Offered::report)
        })
    }

    fn get(&self, owner: &str, name: &str) -> Result<ExtensionReport> {
        let party = self.party(owner)?;
        let slot = party.slot(name).ok_or_else(|| party.unknown(name))?;
        Ok(report(&slot))
    }

    fn list(&self, owner: &str) -> Vec<ExtensionReport> {
        let party = self.party(owner);
        party.map_or_else(
            |_| Vec::new(),
            |party| party.slots().iter().map(report).collect(),
        )
    }

    fn remove(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let party = self.party(&owner)?;
            party.withdraw(&name, &Origin::Api).await
        })
    }

    fn roll_back(&self, owner: Arc<str>, name: String) -> BoxFuture<'_, Result<ExtensionReport>> {
        Box::pin(async move { self.party(&owner)?.roll_back(&name).await })
    }
}
