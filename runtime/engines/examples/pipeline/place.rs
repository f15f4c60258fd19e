//! A place for services: a folder with an index, models, devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use routir_compute::{Compute, ComputeSettings};
use routir_core::{DocumentScan, Error, HostedEncoder, Metrics, Result, Roles};
use routir_engines::{
    BuildEnv, Collections, EnginePool, EngineSpec, ModelSettings, Purpose, SharedDevices,
    SharedFaiss, SharedModels, build,
};
use routir_index::faiss::{DenseIndexBuilder, Faiss, Metric};
use routir_remote::relay::Peers;
use serde_json::{Map, Value, json};

/// Vectors that are made once and added again and again, each time a little different.
const BLOCK: usize = 10_000;

pub(crate) struct Place {
    folder: tempfile::TempDir,
    models: SharedModels,
    faiss: SharedFaiss,
    devices: SharedDevices,
    config: Map<String, Value>,
    vectors: usize,
}

/// An engine that was built.
pub(crate) struct Service {
    name: String,
    pub(crate) roles: Roles,
    pub(crate) encoder: HostedEncoder,
    pub(crate) vectors: usize,
}

impl Service {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

struct None_;

impl Collections for None_ {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn scan(&self, _: &str, _: Option<&str>) -> Result<Arc<dyn DocumentScan>> {
        Err(Error::invalid("there are no collections here"))
    }
}

impl Place {
    pub(crate) fn new(onnxruntime: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir();
        let compute = Compute::new(ComputeSettings {
            onnxruntime: onnxruntime.map(Path::to_owned),
            max_batch_tokens: 16_384,
            ..ComputeSettings::default()
        });
        let threads = compute.runtime()?.threads();
        let settings = ModelSettings {
            capacity: 4096,
            threads,
            max_wait: Duration::from_millis(10),
        };
        Ok(Self {
            folder: folder.map_err(|why| Error::internal(format!("no folder: {why}")))?,
            models: SharedModels::new(compute, settings, Metrics::default()),
            faiss: SharedFaiss::new(None),
            devices: SharedDevices::default(),
            config: Map::new(),
            vectors: 0,
        })
    }

    /// Makes an index of vectors of the length that the model's have, and configures services with it.
    pub(crate) fn index(&mut self, model: &str, file: Option<&str>, count: usize) -> Result<()> {
        let model = fs::canonicalize(model)
            .map_err(|why| Error::invalid(format!("the model `{model}`: {why}")))?;
        self.config.insert(
            "embedding_model_name".to_owned(),
            json!(model.display().to_string()),
        );
        self.config.insert("file".to_owned(), json!(file));
        let alone = self.service("cpu", false)?;
        let dim = alone.encoder.width.unwrap_or_default();
        let count = count.next_multiple_of(BLOCK);
        let folder = self.folder.path().join("index");
        let told = |why: std::io::Error| Error::internal(format!("the index: {why}"));
        fs::create_dir_all(&folder).map_err(told)?;
        let mut rng = fastrand::Rng::with_seed(9);
        let block: Vec<f32> = (0..BLOCK * dim).map(|_| rng.f32() - 0.5).collect();
        let faiss = Faiss::load(None)?;
        let metric = Metric::InnerProduct;
        let mut builder = DenseIndexBuilder::new(&faiss, dim, "SQfp16", metric, 1)?;
        builder.train(&block)?;
        for _ in 0..count / BLOCK {
            let block: Vec<f32> = block.iter().map(|it| it + rng.f32() / 4.0).collect();
            builder.add(&block)?;
        }
        builder.write(&folder.join("index.faiss"))?;
        let ids: String = (0..count).map(|number| format!("d{number}\n")).collect();
        fs::write(folder.join("index.ids"), ids).map_err(told)?;
        self.config
            .insert("index_path".to_owned(), json!(folder.display().to_string()));
        self.vectors = count;
        Ok(())
    }

    /// The service on a device.
    pub(crate) fn service(&self, device: &str, cuda_graphs: bool) -> Result<Service> {
        let mut config = self.config.clone();
        config.insert("device".to_owned(), json!(device));
        if cuda_graphs {
            config.insert("cuda_graphs".to_owned(), json!(true));
        }
        let resolve = |path: &str| PathBuf::from(path);
        let env = BuildEnv {
            purpose: Purpose::Serve,
            cache_dir: self.folder.path().join("cache"),
            resolve_path: &resolve,
            collections: &None_,
            progress: &|_| (),
            pool: EnginePool::new(4),
            models: &self.models,
            faiss: &self.faiss,
            devices: &self.devices,
            host: None,
            peers: &Peers::default(),
        };
        let name = match cuda_graphs {
            true => format!("{device}, CUDA graphs"),
            false => device.to_owned(),
        };
        let spec = EngineSpec {
            name: &name,
            engine: "SentenceTransformerEngine",
            config: &config,
        };
        let roles = build(spec, &env)?;
        let hosted = self.models.hosted();
        let encoder = hosted.last().and_then(|model| model.encoder.clone());
        Ok(Service {
            encoder: encoder.ok_or_else(|| Error::internal("the service hosts no encoder"))?,
            roles,
            name,
            vectors: self.vectors,
        })
    }
}
