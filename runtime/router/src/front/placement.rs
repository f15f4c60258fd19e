//! Which pool and kind of machine a request asks for.

use std::sync::Arc;

use axum::body::Body;
use hyper::http::HeaderValue;
use hyper::{HeaderMap, Response};
use serde_json::json;

use super::State;
use super::problem::Problem;
use crate::demand::Reason;
use crate::proxy::{MACHINE_PROFILE, POOL};

/// The longest name of a pool or kind of machine.
const MAX_NAME: usize = 128;

/// Which pool and kind of machine a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) pool: Option<Arc<str>>,
    pub(crate) profile: Option<Arc<str>>,
}

impl Placement {
    /// What the headers ask for, as they spell it. The profile may name the pool before a slash,
    /// and then does so with precedence.
    ///
    /// # Errors
    /// For a value that is no name.
    pub(crate) fn asked(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut pool = name(headers.get(POOL), "X-SIE-Pool")?;
        let mut profile = name(headers.get(MACHINE_PROFILE), "X-SIE-MACHINE-PROFILE")?;
        if let Some((before, after)) = profile.and_then(|profile| profile.split_once('/'))
            && !before.is_empty()
        {
            pool = Some(before);
            profile = Some(after).filter(|after| !after.is_empty());
        }
        Ok(Self {
            pool: pool.map(Arc::from),
            profile: profile.map(Arc::from),
        })
    }

    /// What the headers ask for, the kind of machine being one that can be had. `bundle` is what
    /// demand is counted under.
    ///
    /// # Errors
    /// The answer to what makes no sense or cannot be had.
    pub(crate) fn of(
        state: &State,
        headers: &HeaderMap,
        bundle: &str,
    ) -> Result<Self, Box<Response<Body>>> {
        let mut asked = Self::asked(headers).map_err(|problem| Box::new(problem.response()))?;
        if let Some(profile) = &asked.profile
            && !state.options.configured_gpus.is_empty()
        {
            let Some(mapped) = state.mapped(profile) else {
                state
                    .demand
                    .reject(profile, bundle, Reason::GpuNotConfigured);
                return Err(Box::new(state.not_configured(profile)));
            };
            asked.profile = Some(mapped);
        }
        Ok(asked)
    }
}

impl State {
    /// The kind of machine that serves those who ask for `profile`; `None` if there is none.
    fn mapped(&self, profile: &str) -> Option<Arc<str>> {
        let workers = self.registry.workers();
        let live = |name: &str| {
            let of_kind = |worker: &Arc<crate::worker::Worker>| {
                worker.facts_now().profile.eq_ignore_ascii_case(name)
            };
            workers.iter().any(of_kind)
        };
        let machines = &self.options.machine_profiles;
        let made = |name: &str| {
            machines
                .keys()
                .any(|known| known.eq_ignore_ascii_case(name))
        };
        mapped(profile, &self.options.configured_gpus, live, made)
    }

    fn not_configured(&self, profile: &str) -> Response<Body> {
        let configured = &self.options.configured_gpus;
        let message = format!(
            "no machine of kind `{}` can be had; there are: {}",
            routir_core::shorten(profile),
            configured.join(", ")
        );
        let status = self.options.unknown_gpu_status;
        Problem::new(status, "GPU_NOT_CONFIGURED", message)
            .with("status", "gpu_not_configured")
            .with("gpu", profile)
            .with("configured_gpu_types", json!(configured))
            .response()
    }
}

/// The configured kind of machine that serves those who ask for `asked`: itself or its cheaper
/// sort, `<asked>-spot`. Where both are configured, the one of which a worker is known; if that
/// does not decide, the one that machines are described for; if that does not either, itself.
fn mapped(
    asked: &str,
    configured: &[Arc<str>],
    live: impl Fn(&str) -> bool,
    made: impl Fn(&str) -> bool,
) -> Option<Arc<str>> {
    let find = |name: &str| {
        let same = |known: &&Arc<str>| known.eq_ignore_ascii_case(name);
        configured.iter().find(same)
    };
    let spot = find(&format!("{asked}-spot"));
    let chosen = match (find(asked), spot) {
        (Some(itself), Some(spot)) => {
            let better = |is: &dyn Fn(&str) -> bool| is(spot) && !is(itself);
            match better(&live) || (!live(itself) && better(&made)) {
                true => spot,
                false => itself,
            }
        }
        (Some(itself), None) => itself,
        (None, spot) => spot?,
    };
    Some(Arc::clone(chosen))
}

fn name<'a>(value: Option<&'a HeaderValue>, header: &str) -> Result<Option<&'a str>, Problem> {
    let Some(value) = value else {
        return Ok(None);
    };
    let fine = value.to_str().ok().map(str::trim);
    match fine.filter(|name| name.len() <= MAX_NAME) {
        Some("") => Ok(None),
        Some(name) => Ok(Some(name)),
        None => Err(Problem::new(
            400,
            "INVALID_HEADER",
            format!("`{header}` is no name of at most {MAX_NAME} visible ASCII characters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pool: &str, profile: &str) -> (Option<String>, Option<String>) {
        let headers = HeaderMap::from_iter([
            (POOL, pool.parse().unwrap()),
            (MACHINE_PROFILE, profile.parse().unwrap()),
        ]);
        let Placement { pool, profile } = Placement::asked(&headers).unwrap();
        (
            pool.map(|it| it.to_string()),
            profile.map(|it| it.to_string()),
        )
    }

    #[test]
    fn a_pool_may_stand_before_the_profile() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(asked("p", "l4"), (some("p"), some("l4")));
        assert_eq!(asked("p", "q/l4"), (some("q"), some("l4")));
        assert_eq!(asked("", "q/l4/x"), (some("q"), some("l4/x")));
        assert_eq!(asked("p", "/l4"), (some("p"), some("/l4")));
        assert_eq!(asked("", "q/"), (some("q"), None));
        assert_eq!(asked("", ""), (None, None));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [&b"l\xc3\xb6"[..], &[b'x'; 129]] {
            let value = HeaderValue::from_bytes(bad).unwrap();
            let headers = HeaderMap::from_iter([(MACHINE_PROFILE, value)]);
            assert!(Placement::asked(&headers).is_err());
        }
    }

    #[test]
    fn a_kind_is_mapped_to_what_can_be_had() {
        let both: [Arc<str>; 2] = ["l4".into(), "L4-spot".into()];
        let [itself, spot] = &both;
        let no = |_: &str| false;
        let is = |kind: &'static str| move |name: &str| name.eq_ignore_ascii_case(kind);
        for (asked, configured, live, made, expected) in [
            ("L4", std::slice::from_ref(itself), "", "", Some("l4")),
            ("l4", std::slice::from_ref(spot), "", "", Some("L4-spot")),
            ("a100", &both[..], "", "", None),
            ("l4", &both, "", "", Some("l4")),
            ("l4", &both, "l4-spot", "", Some("L4-spot")),
            ("l4", &both, "l4", "l4-spot", Some("l4")),
            ("l4", &both, "", "l4-spot", Some("L4-spot")),
            ("l4-spot", &both, "l4", "l4", Some("L4-spot")),
        ] {
            let mapped = mapped(asked, configured, is(live), is(made));
            assert_eq!(mapped.as_deref(), expected, "{asked} {live} {made}");
        }
        assert_eq!(mapped("x", &[], no, no), None);
    }
}
