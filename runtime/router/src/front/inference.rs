//! A model's work: which model and machine is meant, and what is answered when there is none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::placement::Placement;
use super::problem::Problem;
use super::record::Record;
use super::route::Op;
use super::target::{self, Target};
use super::{Audit, State};
use crate::catalog::{Resolved, Unresolved};
use crate::demand::Reason;
use crate::large;
use crate::pools::DEFAULT;
use crate::proxy::{Answer, Broken, Refusal};
use crate::want::{Model, Need, Want};
use crate::whole::Unread;
use crate::worker::{ModelState, Why, lower};

/// The largest body in which a model's name is looked for.
const MAX_PEEKED: usize = 32 << 20;

impl State {
    /// Answers `POST /v1/{op}/{target}`.
    pub(super) async fn infer(
        &self,
        op: Op,
        target: &str,
        mut request: Request<Body>,
        record: &mut Record,
    ) -> Response<Body> {
        record.audit = self.audit("api_request", request.headers());
        let target = match Target::read(target) {
            Ok(target) => target,
            Err(problem) => return problem.response(),
        };
        let want = match self.want(&target, &request, record.audit.as_mut()) {
            Ok(want) => want,
            Err(response) => return *response,
        };
        let Need::Model(model) = &want.need else {
            return Problem::not_found().response();
        };
        // The path as it came is what the worker expects, unless a bundle stands in it or the model
        // is spelled otherwise.
        let model = &model.name;
        if target.bundle.is_some() || **model != *target.model {
            match target::uri(op, model, request.uri().query()) {
                Ok(uri) => *request.uri_mut() = uri,
                Err(why) => {
                    let message = format!("the path cannot be sent on: {why}");
                    return Problem::new(400, "INVALID_MODEL", message).response();
                }
            }
        }
        self.forward(&want, request, record).await
    }

    /// Answers `POST /v1/embeddings`, whose body names the model.
    pub(super) async fn embed(
        &self,
        request: Request<Body>,
        record: &mut Record,
    ) -> Response<Body> {
        record.audit = self.audit("api_request", request.headers());
        let (mut head, body) = request.into_parts();
        let most = MAX_PEEKED.min(self.options.max_body_bytes);
        let body = match self.room.read(body, most, self.options.io_timeout).await {
            Ok(body) => body,
            Err(why) => {
                let why = match why {
                    Unread::Full => Refusal::Busy,
                    Unread::TooLarge => Refusal::Body(Broken::TooLarge),
                    Unread::Late => Refusal::Body(Broken::Stalled),
                    Unread::Cut(_) => Refusal::Body(Broken::Cut),
                };
                return self.refused(&Want::default(), &why);
            }
        };
        #[derive(Deserialize)]
        struct Peeked {
            model: String,
        }
        let name = large::look(body.bytes(), |body| serde_json::from_slice::<Peeked>(body));
        let name = match name.await {
            Some(Ok(peeked)) => peeked.model,
            None => return self.refused(&Want::default(), &Refusal::Busy),
            Some(Err(why)) => {
                let why = why.to_string();
                let why = routir_core::shorten(&why);
                let message = format!("the body names no model: {why}");
                return Problem::new(400, "INVALID_INPUT", message).response();
            }
        };
        if let Err(problem) = target::is_name(&name) {
            return problem.response();
        }
        let target = match Target::read(&name) {
            Ok(target) => target,
            Err(problem) => return problem.response(),
        };
        let peeked = Request::from_parts(head.clone(), Body::empty());
        let want = match self.want(&target, &peeked, record.audit.as_mut()) {
            Ok(want) => want,
            Err(response) => return *response,
        };
        let body = match &want.need {
            Need::Model(model) if *model.name != *name => {
                let model = Arc::clone(&model.name);
                let renaming = move |body: &Bytes| target::renamed(body, &model);
                let renamed = match large::look(body.bytes(), renaming).await {
                    Some(Some(renamed)) => renamed,
                    Some(None) => {
                        let message = "the body cannot be sent on with the model's own name";
                        return Problem::new(400, "INVALID_INPUT", message).response();
                    }
                    None => return self.refused(&Want::default(), &Refusal::Busy),
                };
                let length = HeaderValue::from(renamed.len());
                head.headers.insert(CONTENT_LENGTH, length);
                body.with(Bytes::from(renamed))
            }
            _ => body,
        };
        let body = Body::from(body.into_bytes());
        let request = Request::from_parts(head, body);
        self.forward(&want, request, record).await
    }

    /// What the request wants of a worker.
    fn want(
        &self,
        target: &Target<'_>,
        request: &Request<Body>,
        audit: Option<&mut Audit>,
    ) -> Result<Want, Box<Response<Body>>> {
        let resolved = match &self.catalog {
            Some(catalog) => catalog.resolve(target.bundle.as_ref(), target.model),
            None => Ok(Resolved {
                model: self.learnt(target.model),
                bundle: target.bundle.clone(),
            }),
        };
        let Resolved { model, bundle } = match resolved {
            Ok(resolved) => resolved,
            Err(why) => {
                if let Some(audit) = audit {
                    audit.model = Some(target.model.into());
                }
                return Err(Box::new(self.unresolved(target, why)));
            }
        };
        let counted = bundle.as_deref().unwrap_or(DEFAULT);
        let placed = Placement::of(self, request.headers(), counted);
        if let Some(audit) = audit {
            audit.model = Some(Arc::clone(&model.name));
            if let Ok(placed) = &placed {
                audit.pool.clone_from(&placed.pool);
                audit.gpu.clone_from(&placed.profile);
            }
        }
        let Placement { pool, profile } = placed?;
        Ok(Want {
            pool,
            profile,
            bundle,
            need: Need::Model(model),
        })
    }

    /// The model in the spelling of the workers, where there is no catalogue.
    fn learnt(&self, name: &str) -> Model {
        let key = lower(name.into());
        let workers = self.registry.workers();
        let known = workers.iter().find_map(|worker| {
            let facts = worker.facts_now();
            facts.models.get(&*key).map(|known| Arc::clone(&known.name))
        });
        Model {
            name: known.unwrap_or_else(|| name.into()),
            key,
        }
    }

    fn unresolved(&self, target: &Target<'_>, why: Unresolved) -> Response<Body> {
        let shown = routir_core::shorten(target.model);
        match why {
            Unresolved::NotFound => self.not_found(target.model),
            Unresolved::Conflict { compatible } => {
                let bundle = target.bundle.as_deref().unwrap_or_default();
                let message = format!(
                    "bundle `{}` does not serve model `{shown}`; these do: {}",
                    routir_core::shorten(bundle),
                    compatible.join(", ")
                );
                Problem::new(409, "BUNDLE_CONFLICT", message)
                    .legacy(self.options.legacy_errors, "bundle_conflict")
                    .with("model", target.model)
                    .with("requested_bundle", bundle)
                    .with("compatible_bundles", json!(compatible))
                    .response()
            }
        }
    }

    pub(super) fn not_found(&self, model: &str) -> Response<Body> {
        let message = format!(
            "model `{}` is not served here; GET /v1/models lists those that are",
            routir_core::shorten(model)
        );
        Problem::new(404, "MODEL_NOT_FOUND", message)
            .legacy(self.options.legacy_errors, "model_not_found")
            .with("model", model)
            .response()
    }

    /// Forwards, and says why when no worker answers.
    async fn forward(
        &self,
        want: &Want,
        request: Request<Body>,
        record: &mut Record,
    ) -> Response<Body> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.refused(want, &Refusal::Busy);
        };
        record.place = Some(place);
        self.qps.count();
        match self.proxy.forward(want, request, None).await {
            Ok(Answer { response, served }) => {
                record.served = Some(served);
                if response.status() == StatusCode::SERVICE_UNAVAILABLE {
                    let (profile, bundle) = counted(want);
                    self.demand.reject(profile, bundle, Reason::Worker503);
                }
                response
            }
            Err(why) => self.refused(want, &why),
        }
    }

    /// The answer when no worker answers.
    pub(crate) fn refused(&self, want: &Want, why: &Refusal) -> Response<Body> {
        let message = why.to_string();
        self.metrics.refuse(reason(why));
        let problem = match why {
            Refusal::Nobody(why) => return self.nobody(want, *why),
            Refusal::Busy => Problem::new(503, "BUSY", message).again(Duration::from_secs(1)),
            Refusal::Unreachable { .. } | Refusal::Lost { .. } => {
                Problem::new(502, "WORKER_UNREACHABLE", message)
            }
            Refusal::TimedOut { loading: true, .. } => {
                Problem::new(503, "MODEL_LOADING", message).again(self.options.retry_after_warming)
            }
            Refusal::TimedOut { .. } | Refusal::Deadline => {
                Problem::new(504, "WORKER_TIMEOUT", message)
            }
            Refusal::Body(Broken::Cut) => Problem::new(400, "INVALID_INPUT", message),
            Refusal::Body(Broken::TooLarge) => Problem::new(413, "TOO_LARGE", message),
            Refusal::Body(Broken::Stalled) => Problem::new(408, "BODY_TIMEOUT", message),
        };
        problem.response()
    }

    /// The answer when there is no worker to ask: one is being started, or none will be.
    fn nobody(&self, want: &Want, why: Why) -> Response<Body> {
        let (_, bundle) = counted(want);
        let pool = want.pool.as_deref();
        match why {
            Why::UnknownPool => {
                let message = format!(
                    "there is no pool `{}`; POST /v1/pools makes one",
                    routir_core::shorten(pool.unwrap_or_default())
                );
                return Problem::new(404, "POOL_NOT_FOUND", message).response();
            }
            // The catalogue knows better than the workers that happen to be there.
            Why::NotHosted { .. } if self.catalog.is_none() && !self.was_hosted(want) => {
                return self.not_hosted(want, why);
            }
            _ => {}
        }
        let warming = matches!(why, Why::Warming | Why::Tried);
        let again = match warming {
            true => self.options.retry_after_warming,
            false => self.options.retry_after_cold,
        };
        let profile = want.profile.clone().or_else(|| self.pools.profile_of(pool));
        let Some(profile) = profile else {
            self.demand.reject("", bundle, Reason::NoHealthyWorkers);
            let message = "no worker takes requests now; with `X-SIE-MACHINE-PROFILE` one can be \
                           asked for";
            let problem = Problem::new(503, "NO_WORKER", message);
            return match warming {
                true => problem.again(again),
                false => problem,
            }
            .response();
        };
        self.demand.want(&profile, bundle, pool);
        self.demand.reject(&profile, bundle, Reason::NoCapacity);
        self.demand.provisioning(&profile);
        let message = match warming {
            true => format!("a machine of kind `{profile}` is getting ready; try again soon"),
            false => format!("a machine of kind `{profile}` is being started; try again later"),
        };
        Problem::new(202, "PROVISIONING", message)
            .with("status", "provisioning")
            .with("gpu", &*profile)
            .with("estimated_wait_s", self.options.estimated_wait.as_secs())
            .again(again)
            .response()
    }

    /// Whether a worker had what is wanted that has left, and may come back.
    fn was_hosted(&self, want: &Want) -> bool {
        let Need::Model(model) = &want.need else {
            return false;
        };
        let (profile, bundle) = (want.profile.as_deref(), want.bundle.as_deref());
        self.registry.had(&model.key, profile, bundle)
    }

    /// Workers are there and say which models they have, and this one is not among them.
    fn not_hosted(&self, want: &Want, why: Why) -> Response<Body> {
        let model = match &want.need {
            Need::Model(model) => &*model.name,
            _ => "",
        };
        let bundles = self.bundles_of(model);
        match &want.bundle {
            Some(bundle)
                if why == (Why::NotHosted { elsewhere: true })
                    && !bundles.is_empty()
                    && !bundles
                        .iter()
                        .any(|other| other.eq_ignore_ascii_case(bundle)) =>
            {
                let target = Target {
                    bundle: Some(Arc::clone(bundle)),
                    model,
                };
                let conflict = Unresolved::Conflict {
                    compatible: bundles,
                };
                self.unresolved(&target, conflict)
            }
            _ => self.not_found(model),
        }
    }

    /// The bundles of the workers that have a model.
    fn bundles_of(&self, model: &str) -> Vec<Arc<str>> {
        let key = model.to_lowercase();
        let workers = self.registry.workers();
        let mut bundles: Vec<Arc<str>> = workers
            .iter()
            .filter_map(|worker| {
                let facts = worker.facts_now();
                let known = facts.models.get(&*key)?;
                (known.state != ModelState::Gone).then(|| Arc::clone(&facts.bundle))
            })
            .collect();
        bundles.sort();
        bundles.dedup();
        bundles
    }
}

/// What demand for a worker is counted under.
fn counted(want: &Want) -> (&str, &str) {
    let profile = want.profile.as_deref().unwrap_or_default();
    let bundle = want.bundle.as_deref().unwrap_or(DEFAULT);
    (profile, bundle)
}

fn reason(why: &Refusal) -> &'static str {
    match why {
        Refusal::Nobody(Why::UnknownPool) => "unknown_pool",
        Refusal::Nobody(Why::NotHosted { .. }) => "not_hosted",
        Refusal::Nobody(_) => "no_worker",
        Refusal::Busy => "busy",
        Refusal::Unreachable { .. } => "unreachable",
        Refusal::Lost { .. } => "lost",
        Refusal::TimedOut { .. } => "worker_timeout",
        Refusal::Deadline => "deadline",
        Refusal::Body(_) => "body",
    }
}
