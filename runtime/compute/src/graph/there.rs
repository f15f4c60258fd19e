//! Runs on a GPU: inputs are copied to memory that is kept there, and outputs stay there for who has
//! use of them. Where runs are recorded, those of one shape use the same memory every time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::marker::PhantomData;

use routir_core::Result;

use super::binding::Binding;
use super::gpu::{Seat, Turn};
use super::raw::Value;
use super::tensor::{Feed, Numbers, floats_of};
use super::{Element, Graph, Port};
use crate::gpu::GpuWork;

/// The most shapes that are recorded; runs of others are as usual. ONNX Runtime keeps the memory of
/// each.
const RECORDED: usize = 64;

/// Inputs and outputs of a recorded run, at most; each has memory of its own.
const PORTS: usize = 16;

/// The number of a recording that says that there is none to be made.
const NONE: i32 = -1;

/// From here on memory is that of recordings; a graph has fewer inputs.
const OF_RECORDINGS: usize = 1 << 16;

/// An output that a run left on a GPU.
#[derive(Debug)]
pub(crate) struct Left<'a> {
    /// Where it lies.
    pub(crate) address: u64,
    /// Its shape.
    pub(crate) shape: Cow<'a, [usize]>,
    /// Of what it is.
    pub(crate) element: Element,
    /// Its memory is the session's.
    _run: PhantomData<&'a ()>,
}

/// What is known of shapes whose runs are recorded, and whether memory does not suffice for more.
#[derive(Default)]
pub(super) struct Recordings(HashMap<Key, Recording>, bool);

/// The shapes of all inputs, and which outputs are wanted.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key(Vec<Vec<usize>>, Vec<String>);

#[derive(Clone)]
struct Recording {
    number: i32,
    outputs: Vec<(Element, Vec<usize>)>,
}

/// An input of a run: its port, its shape, its numbers.
type Fed<'a> = (&'a Port, &'a [usize], Numbers<'a>);

impl Left<'_> {
    /// How many bytes it is.
    fn bytes(&self) -> usize {
        bytes(self.element, &self.shape)
    }

    /// Its numbers, copied from the GPU.
    pub(crate) fn floats(&self, work: &mut dyn GpuWork) -> Result<Vec<f32>> {
        let mut bytes = vec![0; self.bytes()];
        // SAFETY: the run left so many bytes there, which live as long as this.
        unsafe { work.download(self.address, &mut bytes) }?;
        floats_of(&bytes, self.element)
    }

    /// Its shape and its numbers.
    pub(super) fn copied(&self, work: &mut dyn GpuWork) -> Result<(Vec<usize>, Vec<f32>)> {
        Ok((self.shape.to_vec(), self.floats(work)?))
    }
}

impl Graph {
    /// Runs the graph once on its GPU, and has `then` use what it left there.
    ///
    /// # Errors
    /// As [`Graph::run`], and those of `then`.
    pub(super) fn run_on<T: Send>(
        &self,
        seat: &Seat,
        feeds: &[Feed<'_>],
        outputs: &[&str],
        then: impl FnOnce(&mut dyn GpuWork, &[Left<'_>]) -> Result<T> + Send,
    ) -> Result<T> {
        let mut fed: Vec<Fed<'_>> = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let port = self.fed(feed.name)?;
            let numbers = Numbers::new(feed, port.element)
                .map_err(|why| self.error(&format!("input `{}`: {why}", feed.name), &[]))?;
            fed.push((port, feed.shape, numbers));
        }
        let wanted = outputs.iter().map(|name| self.wanted(name));
        let wanted: Vec<&Port> = wanted.collect::<Result<_>>()?;
        let ran = seat.run(|turn| self.run_bound(seat, turn, &fed, &wanted, then))?;
        ran.map_err(|why| self.error(&format!("a run failed: {why}"), &[]))
    }

    fn run_bound<T>(
        &self,
        seat: &Seat,
        turn: &mut Turn,
        fed: &[Fed<'_>],
        wanted: &[&Port],
        then: impl FnOnce(&mut dyn GpuWork, &[Left<'_>]) -> Result<T>,
    ) -> Result<Result<T, String>> {
        let key = seat.records().then(|| Key::of(fed, wanted)).flatten();
        let recording = key.as_ref().and_then(|key| turn.recordings.0.get(key));
        let recording = recording.cloned();
        let first = recording.as_ref().map_or(0, Recording::first);
        let mut places = Vec::with_capacity(fed.len());
        for (at, (_, _, numbers)) in fed.iter().enumerate() {
            let bytes = numbers.bytes();
            let address = turn.work.memory(first + at, bytes.len())?;
            turn.work.upload(first + at, &bytes)?;
            places.push((address, bytes.len()));
        }
        let mut results = Vec::new();
        for (at, (element, shape)) in recording.iter().flat_map(|it| &it.outputs).enumerate() {
            let bytes = bytes(*element, shape);
            let address = turn.work.memory(first + PORTS + at, bytes)?;
            results.push((address, bytes));
        }
        let run = || -> Result<Vec<Value<'_>>, String> {
            let told = |why: ort::Error| why.message().to_owned();
            let memory = seat.memory_info().map_err(told)?;
            let mut binding = Binding::new(&self.session)?;
            for ((port, shape, _), place) in fed.iter().zip(&places) {
                // SAFETY: so much memory was just filled there, and it is the turn's.
                unsafe { binding.input(port.c_name(), &memory, *place, port.element, shape) }?;
            }
            for (at, port) in wanted.iter().enumerate() {
                let known = recording.as_ref().and_then(|it| it.outputs.get(at));
                match known.zip(results.get(at)) {
                    None => binding.output(port.c_name(), &memory)?,
                    Some(((element, shape), place)) => {
                        // SAFETY: so much memory is there, and it is the turn's.
                        unsafe {
                            binding.output_at(port.c_name(), &memory, *place, *element, shape)
                        }?;
                    }
                }
            }
            let number = match &recording {
                Some(recording) => recording.number,
                None => NONE,
            };
            let options = seat.run_options(seat.records().then_some(number));
            binding.run(&options.map_err(told)?)?;
            binding.outputs()
        };
        let values = match run() {
            Ok(values) => values,
            Err(why) => return Ok(Err(why)),
        };
        let mut left = Vec::with_capacity(values.len());
        for value in &values {
            let Some(address) = value.address() else {
                return Ok(Err("it left nothing where it was to leave it".to_owned()));
            };
            left.push(Left {
                address,
                shape: Cow::Borrowed(value.shape()),
                element: value.element(),
                _run: PhantomData,
            });
        }
        if let (Some(key), None) = (key, &recording) {
            let sizes: Vec<usize> = places.iter().map(|place| place.1).collect();
            turn.recordings.note(&mut *turn.work, key, &sizes, &left);
        }
        then(&mut *turn.work, &left).map(Ok)
    }
}

impl Key {
    /// Of a run that can be recorded.
    fn of(fed: &[Fed<'_>], wanted: &[&Port]) -> Option<Self> {
        let fits = fed.len() <= PORTS && wanted.len() <= PORTS;
        let shapes = fed.iter().map(|(_, shape, _)| shape.to_vec());
        let names = wanted.iter().map(|port| port.name().to_owned());
        fits.then(|| Self(shapes.collect(), names.collect()))
    }
}

impl Recording {
    /// Where its memory begins: that of inputs, then that of outputs.
    fn first(&self) -> usize {
        OF_RECORDINGS + usize::try_from(self.number).unwrap_or_default() * 2 * PORTS
    }
}

impl Recordings {
    /// Has runs of a shape recorded from the next on, now that it is known what they leave, if there is
    /// memory for it.
    fn note(&mut self, work: &mut dyn GpuWork, key: Key, sizes: &[usize], left: &[Left<'_>]) {
        let number = self.0.len() + 1;
        if number > RECORDED || self.1 {
            return;
        }
        let outputs = left.iter().map(|it| (it.element, it.shape.to_vec()));
        let recording = Recording {
            number: i32::try_from(number).unwrap_or(NONE),
            outputs: outputs.collect(),
        };
        let inputs = sizes.iter().copied().zip(recording.first()..);
        let outputs = left.iter().map(Left::bytes);
        let outputs = outputs.zip(recording.first() + PORTS..);
        for (bytes, slot) in inputs.chain(outputs) {
            if let Err(why) = work.memory(slot, bytes) {
                tracing::warn!("no more shapes of a model are recorded: {why}");
                self.1 = true;
                return;
            }
        }
        self.0.insert(key, recording);
    }
}

fn bytes(element: Element, shape: &[usize]) -> usize {
    let of_one = match element {
        Element::I64 | Element::F64 => 8,
        Element::I32 | Element::F32 => 4,
        Element::F16 | Element::Bf16 => 2,
        Element::Bool => 1,
        Element::Other => 0,
    };
    shape
        .iter()
        .fold(of_one, |all, dim| all.saturating_mul(*dim))
}
