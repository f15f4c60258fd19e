//! A model's graph: what goes in, what comes out, and runs of it.

mod binding;
mod gpu;
mod one_thread;
mod raw;
mod tensor;
mod there;

use std::ffi::{CStr, CString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, ValueType};
use routir_core::{Error, Load, Result};

use crate::gpu::{GpuWork, OnGpu};
use crate::library::guarded;
use crate::{Buckets, OnnxRuntime};
use gpu::Seat;
pub use tensor::{Data, Feed, Outputs, TensorView};
use tensor::{Numbers, Output};
pub(crate) use there::Left;

/// The kinds of numbers that go into and come out of graphs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 64-bit integers.
    I64,
    /// 32-bit integers.
    I32,
    /// Truth values.
    Bool,
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
    /// Half-precision floats.
    F16,
    /// Brain floats: the upper half of 32-bit floats.
    Bf16,
    /// Something that no model here deals in.
    Other,
}

/// An input or output of a graph.
#[derive(Clone, Debug)]
pub struct Port {
    name: CString,
    element: Element,
    dims: Vec<Option<usize>>,
}

impl Port {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.to_str().unwrap_or_default()
    }

    /// What numbers it carries.
    #[must_use]
    pub fn element(&self) -> Element {
        self.element
    }

    /// Its shape; `None` for a length that may differ from run to run. Empty when the graph does not
    /// say.
    #[must_use]
    pub fn dims(&self) -> &[Option<usize>] {
        &self.dims
    }

    fn c_name(&self) -> &CStr {
        &self.name
    }

    fn of(outlet: &Outlet) -> Option<Self> {
        let (element, dims) = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                let length = |&dim: &i64| usize::try_from(dim).ok();
                (Element::of(*ty), shape.iter().map(length).collect())
            }
            _ => (Element::Other, Vec::new()),
        };
        Some(Self {
            name: CString::new(outlet.name()).ok()?,
            element,
            dims,
        })
    }
}

impl Element {
    fn of(element: TensorElementType) -> Self {
        match element {
            TensorElementType::Int64 => Self::I64,
            TensorElementType::Int32 => Self::I32,
            TensorElementType::Bool => Self::Bool,
            TensorElementType::Float32 => Self::F32,
            TensorElementType::Float64 => Self::F64,
            TensorElementType::Float16 => Self::F16,
            TensorElementType::Bfloat16 => Self::Bf16,
            _ => Self::Other,
        }
    }
}

/// A graph, loaded and optimised, that any number of threads may run at once.
pub struct Graph {
    runtime: Arc<OnnxRuntime>,
    session: Session,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    path: PathBuf,
    /// Its place on a GPU.
    seat: Option<Seat>,
}

impl Graph {
    /// Loads the graph of an `.onnx` file, with weights that lie in files beside it. Calls have at most
    /// `most` tokens.
    ///
    /// # Errors
    /// When the file cannot be read, is no graph, or holds something that ONNX Runtime does not know;
    /// [`routir_core::ErrorCode::Unavailable`] when it cannot be put on the GPU.
    pub fn open(
        runtime: Arc<OnnxRuntime>,
        path: &Path,
        place: Option<&OnGpu>,
        most: usize,
    ) -> Result<Self> {
        let records = place.is_some_and(|place| place.options.cuda_graphs);
        let failed = |why: &dyn fmt::Display| {
            let records = match records {
                true => " and that the GPU has all of its operators, or leave `cuda_graphs` out",
                false => "",
            };
            Error::engine(format!(
                "the model `{}` does not load: {why}; check that it is a whole ONNX file for ONNX \
                 Runtime {} or older{records}",
                path.display(),
                runtime.version()
            ))
        };
        let seat = place.map(|it| Seat::take(it, path, most)).transpose()?;
        if let Some(seat) = &seat {
            gpu::check(&runtime, seat)?;
        }
        let session = guarded(|| load(&runtime, path, seat.as_ref()))
            .map_err(|why| failed(&why))?
            .map_err(|why| failed(&why.message()))?;
        let ports = |outlets: &[Outlet]| outlets.iter().filter_map(Port::of).collect::<Vec<_>>();
        let (inputs, outputs) = (ports(session.inputs()), ports(session.outputs()));
        Ok(Self {
            runtime,
            session,
            inputs,
            outputs,
            path: path.to_owned(),
            seat,
        })
    }

    /// The file that it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What goes in.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What comes out.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The input of that name.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.name() == name)
    }

    /// The output of that name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.name() == name)
    }

    /// The runtime that it runs in.
    #[must_use]
    pub fn runtime(&self) -> &Arc<OnnxRuntime> {
        &self.runtime
    }

    /// Runs the graph once, on this thread and those that are free, and answers the named outputs in
    /// the order of `outputs`. Waits while as many runs as the runtime has threads are under way.
    ///
    /// Whole numbers and floats are converted to the width that the graph's inputs want.
    ///
    /// # Errors
    /// When an input or output does not exist, a shape does not fit its data, or the run fails.
    pub fn run(&self, feeds: &[Feed<'_>], outputs: &[&str]) -> Result<Outputs<'_>> {
        if let Some(seat) = &self.seat {
            let copied = self.run_on(seat, feeds, outputs, |work, left| {
                let copied = left.iter().map(|output| output.copied(work));
                copied.collect::<Result<Vec<_>>>()
            })?;
            let floats = |(shape, floats)| Output::Floats(shape, floats);
            return Ok(Outputs::new(copied.into_iter().map(floats).collect()));
        }
        let mut named = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let port = self.fed(feed.name)?;
            let tensor = Numbers::new(feed, port.element)
                .and_then(|numbers| raw::Input::new(numbers, feed.shape))
                .map_err(|why| self.error(&format!("input `{}`: {why}", feed.name), &[]))?;
            named.push((port.c_name(), tensor));
        }
        let wanted = outputs.iter().map(|name| self.wanted(name));
        let wanted = wanted.map(|port| port.map(Port::c_name));
        let wanted: Vec<&CStr> = wanted.collect::<Result<_>>()?;
        let _lane = self.runtime.lane();
        raw::run(&self.session, &named, &wanted)
            .map(|values| Outputs::new(values.into_iter().map(Output::Value).collect()))
            .map_err(|why| self.error(&format!("a run failed: {why}"), &[]))
    }

    /// As [`Graph::run`], but outputs stay on the GPU, for `then` to use.
    ///
    /// # Errors
    /// As [`Graph::run`], and those of `then`; an internal one when it is on none.
    pub(crate) fn run_there<T: Send>(
        &self,
        feeds: &[Feed<'_>],
        outputs: &[&str],
        then: impl FnOnce(&mut dyn GpuWork, &[Left<'_>]) -> Result<T> + Send,
    ) -> Result<T> {
        match &self.seat {
            Some(seat) => self.run_on(seat, feeds, outputs, then),
            None => Err(Error::internal(
                "a graph on the processor leaves nothing on a GPU",
            )),
        }
    }

    /// Whether it is on a GPU.
    #[must_use]
    pub fn on_gpu(&self) -> bool {
        self.seat.is_some()
    }

    /// On a GPU: whether others wait for it or use it.
    pub(crate) fn load(&self) -> Option<Arc<dyn Load>> {
        self.seat.as_ref().map(Seat::load)
    }

    /// On a GPU: the lengths that texts are filled up to.
    pub(crate) fn buckets(&self) -> Option<&Buckets> {
        self.seat.as_ref().map(Seat::buckets)
    }

    /// On a GPU: the shape of a call of so many texts, of which the longest has so many tokens.
    pub(crate) fn shape(
        &self,
        texts: usize,
        longest: usize,
        max_tokens: usize,
    ) -> Option<[usize; 2]> {
        let seat = self.seat.as_ref()?;
        Some(seat.shape(texts, longest, max_tokens))
    }

    /// The longest texts that it was built for, if it was built for some.
    pub(crate) fn longest(&self) -> Option<usize> {
        self.seat.as_ref().and_then(Seat::longest)
    }

    fn fed(&self, name: &str) -> Result<&Port> {
        let none = || self.error(&format!("it has no input `{name}`"), &self.inputs);
        self.input(name).ok_or_else(none)
    }

    fn wanted(&self, name: &str) -> Result<&Port> {
        let none = || self.error(&format!("it has no output `{name}`"), &self.outputs);
        self.output(name).ok_or_else(none)
    }

    fn error(&self, what: &str, known: &[Port]) -> Error {
        let known: Vec<&str> = known.iter().map(Port::name).collect();
        let known = if known.is_empty() {
            String::new()
        } else {
            format!("; it has {}", known.join(", "))
        };
        Error::engine(format!(
            "the model `{}`: {what}{known}",
            self.path.display()
        ))
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("path", &self.path)
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

fn load(runtime: &OnnxRuntime, path: &Path, seat: Option<&Seat>) -> ort::Result<Session> {
    let mut builder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)
        .unwrap_or_else(ort::Error::recover)
        // Patterns pay when shapes repeat; texts have all lengths.
        .with_memory_pattern(false)
        .unwrap_or_else(ort::Error::recover);
    if let Some(seat) = seat {
        seat.register(&mut builder, path)?;
    }
    builder.commit_from_file(path)
}
