//! Which models there are for a caller: encoders under their own names and those of their entries,
//! and every service that scores texts under its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use routir_core::{
    Catalog, Error, ErrorCode, HostedEncoder, HostedModel, ModelHost, ModelState,
    Result as CoreResult, VectorKind, ViewKind, granted, nearest, shorten,
};
use routir_sie::{Code, ModelEntry, ModelList, Profile};

use super::path;
use crate::access::Caller;
use crate::failure::Failure;
use crate::handlers::Call;
use crate::reply::Reply;

/// When to come back for a model that is being loaded.
const LOADING: Duration = Duration::from_secs(5);

/// A model as a caller may use it.
pub(super) struct Found {
    /// Its name, in the server's spelling.
    pub(super) name: Arc<str>,
    encoders: Vec<(Arc<str>, HostedEncoder)>,
    /// The service that scores with it.
    pub(super) scorer: Option<Arc<str>>,
    pub(super) state: ModelState,
}

impl Found {
    /// What makes vectors of that kind, with the entry that configured it.
    pub(super) fn encoder(&self, kind: VectorKind) -> Option<&(Arc<str>, HostedEncoder)> {
        self.encoders.iter().find(|(_, it)| it.kind == kind)
    }

    /// What can be had.
    pub(super) fn outputs(&self) -> Vec<String> {
        let kinds = VectorKind::ALL.into_iter();
        let kinds = kinds.filter(|kind| self.encoder(*kind).is_some());
        let kinds = kinds.map(|kind| kind.name().to_owned());
        kinds
            .chain(self.scorer.iter().map(|_| "score".to_owned()))
            .collect()
    }

    /// How many numbers vectors have, by kind.
    pub(super) fn dims(&self) -> BTreeMap<String, usize> {
        let known = self.encoders.iter();
        known
            .filter_map(|(_, it)| Some((it.kind.name().to_owned(), it.width?)))
            .collect()
    }

    /// The longest text that is read whole, in tokens.
    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.encoders.iter().find_map(|(_, it)| it.max_tokens)
    }

    fn entry(&self) -> ModelEntry {
        ModelEntry {
            name: self.name.to_string(),
            inputs: vec!["text".to_owned()],
            outputs: self.outputs(),
            dims: self.dims(),
            loaded: self.state == ModelState::Loaded,
            max_sequence_length: self.max_tokens(),
            profiles: BTreeMap::from([("default".to_owned(), Profile { is_default: true })]),
        }
    }

    /// Refuses a model that does not answer now.
    pub(super) fn check_loaded(&self) -> Result<(), Failure> {
        let (why, code, back) = match self.state {
            ModelState::Loaded => return Ok(()),
            ModelState::Loading => ("being loaded", Code::ModelLoading, Some(LOADING)),
            ModelState::Unloading => ("being taken down", Code::ModelNotLoaded, None),
        };
        let message = format!("model `{}` is {why}; try again soon", self.name);
        let mut error = Error::new(ErrorCode::Unavailable, message);
        if let Some(wait) = back {
            error = error.with_retry_after(wait);
        }
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Err(Failure::with_code(error, status, code))
    }
}

/// What there is for one caller.
pub(super) struct Shelf {
    hosted: Vec<HostedModel>,
    catalog: Arc<Catalog>,
}

impl Shelf {
    /// What the server hosts of which `caller` may use the entry, and the services of `catalog`,
    /// which is his.
    pub(super) fn new(
        host: Option<&dyn ModelHost>,
        caller: &Caller,
        catalog: Arc<Catalog>,
    ) -> Self {
        let may = |entry: &str| {
            let party = caller.party();
            party.is_none_or(|party| granted(&party.tenant.services, entry))
        };
        let hosted = host.map(ModelHost::models);
        let hosted = hosted.iter().flat_map(|all| all.iter());
        let hosted = hosted.filter(|model| may(&model.entry)).cloned();
        Self {
            hosted: hosted.collect(),
            catalog,
        }
    }

    /// The names of all models, and perhaps some of what is none.
    pub(super) fn names(&self) -> BTreeSet<Arc<str>> {
        let hosted = self.hosted.iter();
        let hosted = hosted.flat_map(|model| [&model.id, &model.entry]);
        let services = self.catalog.services.keys();
        let scorers = services.filter(|name| self.scores(name));
        hosted.chain(scorers).cloned().collect()
    }

    /// The model called `name`: first what an entry of that name has, then what others have under
    /// it; in another case if there is none in this.
    pub(super) fn find(&self, name: &str) -> Option<Found> {
        self.known(name, &|known| known == name)
            .or_else(|| self.known(name, &|known| known.eq_ignore_ascii_case(name)))
    }

    fn known(&self, name: &str, is: &dyn Fn(&str) -> bool) -> Option<Found> {
        let entries = self.hosted.iter().filter(|model| is(&model.entry));
        let others = self.hosted.iter();
        let others =
            others.filter(|model| !is(&model.entry) && (is(&model.id) || is(&model.source)));
        let mut spelt: Option<Arc<str>> = None;
        let mut found = Found {
            name: Arc::from(name),
            encoders: Vec::new(),
            scorer: None,
            state: ModelState::Loaded,
        };
        let scorer = self
            .catalog
            .services
            .keys()
            .find(|it| is(it) && self.scores(it));
        if let Some(service) = scorer {
            spelt = Some(Arc::clone(service));
            found.scorer = Some(Arc::clone(service));
        }
        for model in entries.chain(others) {
            let own = if is(&model.entry) {
                &model.entry
            } else {
                &model.id
            };
            if let Some(encoder) = &model.encoder
                && found.encoder(encoder.kind).is_none()
            {
                found
                    .encoders
                    .push((Arc::clone(&model.entry), encoder.clone()));
            } else if model.encoder.is_some() {
                continue;
            }
            if found.scorer.is_none() && model.service && self.scores(&model.entry) {
                found.scorer = Some(Arc::clone(&model.entry));
            }
            if model.state != ModelState::Loaded {
                found.state = model.state;
            }
            spelt = spelt.or_else(|| Some(Arc::clone(own)));
        }
        let is_something = found.scorer.is_some() || !found.encoders.is_empty();
        found.name = spelt.filter(|_| is_something)?;
        Some(found)
    }

    /// Whether there is a service of that name that scores texts.
    fn scores(&self, service: &str) -> bool {
        let info = self.catalog.services.get(service);
        let scorer = info.and_then(|info| info.score.as_ref());
        scorer.is_some_and(|scorer| scorer.view_kind == ViewKind::Text)
    }

    /// The model called `name`, or an error with the nearest name.
    pub(super) fn get(&self, name: &str) -> Result<Found, Failure> {
        self.find(name).ok_or_else(|| {
            let names = self.names();
            let hint = match nearest(name, names.iter().map(AsRef::as_ref)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "GET /v1/models lists those there are".to_owned(),
            };
            let message = format!("there is no model `{}`; {hint}", shorten(name));
            let error = Error::new(ErrorCode::UnknownName, message);
            Failure::with_code(error, StatusCode::NOT_FOUND, Code::ModelNotFound)
        })
    }
}

impl Call<'_> {
    /// What there is for who asks.
    pub(super) fn shelf(&self) -> CoreResult<Shelf> {
        let catalog = self.app.runtime.catalog_for(&*self.context(None)?)?;
        let host = self.app.options.models.as_deref();
        Ok(Shelf::new(host, self.caller()?, catalog))
    }

    /// `GET /v1/models`.
    pub(super) fn models(&self) -> Result<Reply, Failure> {
        let shelf = self.shelf()?;
        let names = shelf.names();
        let models = names.iter().filter_map(|name| shelf.find(name));
        let models: Vec<_> = models.map(|model| model.entry()).collect();
        let capacity = 64 + 256 * models.len();
        Ok(Reply::json(&ModelList { models }, capacity)?)
    }

    /// `GET /v1/models/{model}`.
    pub(super) fn model(&self, path: &str) -> Result<Reply, Failure> {
        let name = path::model(path, "/v1/models/")?;
        Ok(Reply::json(&self.shelf()?.get(&name)?.entry(), 256)?)
    }
}
