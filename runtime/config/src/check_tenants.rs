//! What no schema can say of tenants: keys that are weak or shared, quotas that contradict.

use crate::check::Checker;
use crate::keys::Seen;
use crate::tree::Path;
use crate::{Config, TenantConfig};

impl Checker<'_> {
    pub(crate) fn tenants(&mut self, path: &Path, config: &Config) {
        let names = config.tenants.iter().map(|tenant| &*tenant.name);
        self.distinct(path, "tenant", names);
        let mut seen = Seen::default();
        for (i, tenant) in config.tenants.iter().enumerate() {
            let path = path.index(i);
            self.keys(&path, tenant, &mut seen);
            self.quotas(&path, tenant, config.rt.max_in_flight);
        }
    }

    fn keys<'t>(&mut self, path: &Path, tenant: &'t TenantConfig, seen: &mut Seen<'t>) {
        let keys = path.key("keys");
        for (i, key) in tenant.keys.iter().enumerate() {
            let path = keys.index(i);
            if !self.sound(&path) {
                continue;
            }
            if let Some((message, help)) = seen.fault(key.reveal(), &path) {
                self.fault(path, message, help);
            }
        }
        let [none, no_env, no_dirs] = [
            tenant.keys.is_empty(),
            tenant.keys_env.is_empty(),
            tenant.extension_dirs.is_empty(),
        ];
        let written = ["keys", "keys_env", "extension_dirs"].map(|key| self.sound(&path.key(key)));
        if none && no_env && no_dirs && written == [true; 3] {
            let message = "the tenant has no key, so nobody can ask on its behalf";
            let help = "add `keys` or `keys_env`; only a tenant with `extension_dirs` can be \
                        without, for as long as it is locked out";
            self.fault(path.clone(), message, help);
        }
    }

    fn quotas(&mut self, path: &Path, tenant: &TenantConfig, max_in_flight: usize) {
        let calls = tenant.quotas.concurrent_calls;
        let place = path.key("quotas").key("concurrent_calls");
        let sound =
            self.sound(&place) && self.sound(&Path::default().key("rt").key("max_in_flight"));
        if sound && calls >= max_in_flight {
            let message = format!(
                "the tenant may have {calls} requests at once, but all together may have no more \
                 than {max_in_flight} (`rt.max_in_flight`), so it could keep everybody else out"
            );
            self.fault(place, message, "set it to less");
        }
        let (one, all) = (tenant.limits.memory_mb, tenant.quotas.memory_mb);
        let place = path.key("limits").key("memory_mb");
        if self.sound(&place) && self.sound(&path.key("quotas").key("memory_mb")) && one > all {
            let message = format!(
                "one instance may have {one} MiB, but all of the tenant's together have {all} \
                 (`quotas.memory_mb`)"
            );
            self.fault(place, message, "lower the one or raise the other");
        }
    }
}
