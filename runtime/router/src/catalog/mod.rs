//! Which models exist and which bundles serve them, where the operator has that in files. Without,
//! models are what workers say.

mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::KnownModel;
use crate::want::Model;

pub(crate) use read::read;

/// The models that the operator lists.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// In order of their names.
    known: Vec<KnownModel>,
    /// Where a model stands in `known`, by its name in lower case.
    by_name: BTreeMap<String, usize>,
    /// Profiles of models, which may stand behind a colon, by the model's place.
    profiles: Vec<Vec<Arc<str>>>,
    /// Whether there are bundles at all.
    bundled: bool,
}

/// A model as the rest of the router spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) model: Model,
    /// `None` is any.
    pub(crate) bundle: Option<Arc<str>>,
}

/// Why a model is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// It is not listed, or in no bundle.
    NotFound,
    /// It is served, but not by that bundle.
    Conflict { compatible: Vec<Arc<str>> },
}

impl Catalog {
    fn new(models: Vec<(KnownModel, Vec<Arc<str>>)>, bundled: bool) -> Self {
        let mut catalog = Self {
            bundled,
            ..Self::default()
        };
        for (at, (model, profiles)) in models.into_iter().enumerate() {
            catalog.by_name.insert(model.name.to_lowercase(), at);
            catalog.known.push(model);
            catalog.profiles.push(profiles);
        }
        catalog
    }

    /// All models.
    pub(crate) fn known(&self) -> &[KnownModel] {
        &self.known
    }

    /// A model in the listed spelling, whatever case it was asked for in, and the bundle that serves
    /// it: the one asked for, or the first.
    ///
    /// # Errors
    /// When it is not served, or not by the bundle asked for.
    pub(crate) fn resolve(
        &self,
        bundle: Option<&Arc<str>>,
        model: &str,
    ) -> Result<Resolved, Unresolved> {
        let (at, name) = self.find(model).ok_or(Unresolved::NotFound)?;
        let known = self.known.get(at).ok_or(Unresolved::NotFound)?;
        if !self.bundled {
            return Ok(Resolved {
                model: name.into(),
                bundle: bundle.cloned(),
            });
        }
        let Some(first) = known.bundles.first() else {
            return Err(Unresolved::NotFound);
        };
        let chosen = match bundle {
            None => Some(first),
            Some(bundle) => known
                .bundles
                .iter()
                .find(|other| other.eq_ignore_ascii_case(bundle)),
        };
        match chosen {
            Some(bundle) => Ok(Resolved {
                model: name.into(),
                bundle: Some(Arc::clone(bundle)),
            }),
            None => Err(Unresolved::Conflict {
                compatible: known.bundles.clone(),
            }),
        }
    }

    fn find(&self, model: &str) -> Option<(usize, Arc<str>)> {
        let lower = model.to_lowercase();
        if let Some(at) = self.by_name.get(&lower) {
            return Some((*at, Arc::clone(&self.known.get(*at)?.name)));
        }
        let (base, profile) = lower.rsplit_once(':')?;
        let at = *self.by_name.get(base)?;
        let profile = self
            .profiles
            .get(at)?
            .iter()
            .find(|known| known.to_lowercase() == profile)?;
        let name = format!("{}:{profile}", self.known.get(at)?.name);
        Some((at, name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str, bundles: &[&str], profiles: &[&str]) -> (KnownModel, Vec<Arc<str>>) {
        let texts = |texts: &[&str]| texts.iter().map(|text| Arc::from(*text)).collect();
        let known = KnownModel {
            name: name.into(),
            bundles: texts(bundles),
            ..KnownModel::default()
        };
        (known, texts(profiles))
    }

    #[test]
    fn models_are_found_in_any_case_and_told_in_one() {
        let models = vec![
            model("BAAI/bge-m3", &["default", "legacy"], &["default", "Fast"]),
            model("org/alone", &[], &[]),
        ];
        let catalog = Catalog::new(models, true);
        let resolve = |bundle: Option<&str>, model: &str| {
            let bundle = bundle.map(Arc::from);
            let resolved = catalog.resolve(bundle.as_ref(), model);
            resolved.map(|resolved| format!("{} {}", resolved.bundle.unwrap(), resolved.model.name))
        };
        assert_eq!(resolve(None, "baai/BGE-m3").unwrap(), "default BAAI/bge-m3");
        assert_eq!(
            resolve(Some("Legacy"), "BAAI/bge-m3").unwrap(),
            "legacy BAAI/bge-m3"
        );
        assert_eq!(
            resolve(None, "baai/bge-m3:fast").unwrap(),
            "default BAAI/bge-m3:Fast"
        );
        assert_eq!(resolve(None, "baai/bge-m3:slow"), Err(Unresolved::NotFound));
        assert_eq!(resolve(None, "org/alone"), Err(Unresolved::NotFound));
        let Err(Unresolved::Conflict { compatible }) = resolve(Some("other"), "BAAI/bge-m3") else {
            panic!("no conflict");
        };
        assert_eq!(
            compatible,
            [Arc::<str>::from("default"), Arc::<str>::from("legacy")]
        );
    }

    #[test]
    fn without_bundles_any_serves() {
        let catalog = Catalog::new(vec![model("a/b", &[], &[])], false);
        assert_eq!(catalog.resolve(None, "A/B").unwrap().bundle, None);
    }
}
