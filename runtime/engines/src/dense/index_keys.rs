//! What a configuration says of a dense engine's index.
//!
//! | key | means | default |
//! |---|---|---|
//! | `index_path` | the folder | none: the service only scores |
//! | `id_to_subset_mapping` | which subset each document belongs to: JSON, or a pickled dictionary | no subsets |
//! | `nprobe` | of an inverted file: how many lists are read | as the index says |
//! | `ef_search` | of a graph: how many candidates are kept on the way | the larger of the index's and `k_scale` times the limit |
//! | `k_factor` | of a refined index: how many times as many as are wanted are scored exactly | `k_scale` |
//! | `k_scale` | how many times as many as are wanted are looked for, where that finds better ones | 20 |
//! | `mmap` | whether vectors stay on disk where the format allows | false |
//! | `index_device` | where vectors are searched: `cpu`, `cuda`, `cuda:N`, `auto`, `cuda:all`, or a list of `cuda:N` | as `device`; `cpu` where a server makes vectors |
//! | `index_dtype` | of vectors on a device: `fp32`, `fp16`, `int8` | as the file has them |
//! | `index_library` | of an index on a device: whether the house's kernels search it (`own`) or FAISS's (`faiss`) | `own` |

use routir_core::{ParamKind, ParamSpec, Result};
use routir_device::Element;

use super::shared_faiss::{IndexFiles, Library};
use crate::build::{BuildEnv, EngineSpec, Purpose};
use crate::check::file;
use crate::index_place::IndexPlace;
use crate::models::ModelPlace;
use crate::options::Options;

/// RoutIR looks for 20 times as many documents as are wanted in every index.
const K_SCALE: f64 = 20.0;

/// What numbers of vectors on a device can be.
const ELEMENTS: [(&str, Element); 6] = [
    ("fp32", Element::F32),
    ("fp16", Element::F16),
    ("int8", Element::I8),
    ("float32", Element::F32),
    ("float16", Element::F16),
    ("f16", Element::F16),
];

/// Who searches vectors on a device.
const LIBRARIES: [(&str, Library); 2] = [("own", Library::Own), ("faiss", Library::Faiss)];

/// What a configuration says of the index.
pub(crate) struct IndexKeys<'a> {
    path: Option<&'a str>,
    subsets: Option<&'a str>,
    pub(super) scale: f64,
    pub(super) nprobe: Option<usize>,
    pub(super) ef_search: Option<usize>,
    pub(super) k_factor: Option<f64>,
    mmap: bool,
    pub(super) place: IndexPlace,
    pub(super) element: Option<Element>,
    pub(super) library: Library,
}

impl<'a> IndexKeys<'a> {
    /// Reads the keys; the index is where `model` says unless it has a key of its own.
    pub(crate) fn read(options: &mut Options<'a>, model: Option<&ModelPlace>) -> Self {
        let place = IndexPlace::read(options, model);
        let keys = Self {
            path: options.text("index_path"),
            subsets: options.text("id_to_subset_mapping"),
            scale: options.number("k_scale").unwrap_or(K_SCALE),
            nprobe: options.count("nprobe"),
            ef_search: options.count("ef_search"),
            k_factor: options.number("k_factor"),
            mmap: options.flag("mmap").unwrap_or(false),
            place,
            element: options.choice("index_dtype", &ELEMENTS),
            library: options
                .choice("index_library", &LIBRARIES)
                .unwrap_or_default(),
        };
        if keys.library == Library::Faiss && !keys.place.is_cpu() {
            keys.check_faiss(options);
        }
        for (key, factor) in [("k_scale", Some(keys.scale)), ("k_factor", keys.k_factor)] {
            if let Some(factor) = factor.filter(|factor| *factor < 1.0) {
                options.problem(format!("`{key}` must be at least 1, not {factor}"));
            }
        }
        keys
    }

    /// What FAISS's indices for GPUs do not do.
    fn check_faiss(&self, options: &mut Options<'_>) {
        let not = "is not possible with `index_library`: \"faiss\"";
        if self.place.is_several() {
            options.problem(format!(
                "`index_device` with several devices {not}, which puts an index on one; name one"
            ));
        }
        if self.subsets.is_some() {
            options.problem(format!(
                "`id_to_subset_mapping` {not}, which filters nothing on a GPU; leave one of them out"
            ));
        }
        if self.element == Some(Element::I8) {
            options.problem(format!(
                "`index_dtype`: \"int8\" {not}; choose `fp32` or `fp16`"
            ));
        }
    }

    /// Where the index is, if there is one; its files are there, and the device that it is put on.
    ///
    /// # Errors
    /// When one of them is not.
    pub(super) fn files(
        &self,
        spec: EngineSpec<'_>,
        env: &BuildEnv<'_>,
    ) -> Result<Option<IndexFiles>> {
        let Some(path) = self.path else {
            return Ok(None);
        };
        // The model's key is the model's to check.
        if let Purpose::Check(_) = env.purpose {
            if self.place.is_own() {
                self.place.check(spec, env)?;
            }
            if self.library == Library::Faiss && self.place.is_demanded() {
                env.faiss.for_gpus()?;
            }
        }
        let folder = (env.resolve_path)(path);
        for name in ["index.faiss", "index.ids"] {
            file("the index's file", &folder.join(name))?;
        }
        let subsets = self.subsets.map(|path| (env.resolve_path)(path));
        if let Some(path) = &subsets {
            file("`id_to_subset_mapping`", path)?;
        }
        Ok(Some(IndexFiles {
            folder,
            subsets,
            mmap: self.mmap,
            place: None,
        }))
    }

    /// What a request may say about the search.
    pub(super) fn params(&self) -> Vec<ParamSpec> {
        let all = [
            (
                "nprobe",
                ParamKind::Count,
                "how many lists of an inverted file are read; default as configured",
            ),
            (
                "ef_search",
                ParamKind::Count,
                "how many candidates are kept on the way through a graph; default as configured",
            ),
            (
                "k_factor",
                ParamKind::Number,
                "how many times as many documents as are wanted a refined index scores exactly; default as configured",
            ),
        ];
        let subset = (
            "subset",
            ParamKind::Text,
            "only documents of this subset; default all",
        );
        let subset = self.subsets.map(|_| subset);
        let specs = all.into_iter().chain(subset);
        specs
            .map(|(name, kind, doc)| ParamSpec::new(name, kind, doc))
            .collect()
    }
}
