//! A "GPU" whose memory is the processor's: graphs are bound and run as on a GPU, by the processor.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::{bf16, f16};
use parking_lot::Mutex;
use routir_compute::{
    Element, Embedding, Gpu, GpuOptions, GpuQueue, GpuWork, OnGpu, PoolStates, Pooling,
};
use routir_core::{BoxFuture, Error, ErrorCode, Load, Result};

/// What was done on it.
#[derive(Default)]
pub(crate) struct Seen {
    /// Calls that were pooled: rows, their length, the texts.
    pub(crate) pooled: Vec<(usize, usize)>,
    /// Where states lay.
    pub(crate) states: Vec<u64>,
    /// Bytes that came back.
    pub(crate) downloaded: usize,
    /// The threads that runs were made on.
    pub(crate) threads: Vec<std::thread::ThreadId>,
}

/// The "GPU".
#[derive(Clone, Default)]
pub(crate) struct Host {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) waiting: Arc<AtomicUsize>,
    /// Whether there is no memory for runs that are recorded.
    pub(crate) full: bool,
}

struct Work {
    host: Host,
    memory: HashMap<usize, Vec<u128>>,
}

struct Queued(Arc<AtomicUsize>);

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Host {
    /// A place on it.
    pub(crate) fn place(&self, options: GpuOptions) -> OnGpu {
        OnGpu {
            gpu: Arc::new(self.clone()),
            memory: Some(1 << 20),
            options,
        }
    }
}

/// Never busy.
pub(crate) struct Idle;

impl Load for Idle {
    fn busy(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl Gpu for Host {
    fn number(&self) -> u32 {
        7
    }

    fn reserve(&self, _: &str, _: u64) -> Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }

    fn work(&self, _: &str) -> Result<Box<dyn GpuWork>> {
        Ok(Box::new(Work {
            host: self.clone(),
            memory: HashMap::new(),
        }))
    }

    fn queued(&self) -> Box<dyn Any + Send> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Box::new(Queued(Arc::clone(&self.waiting)))
    }

    fn load(&self) -> Arc<dyn Load> {
        Arc::new(Idle)
    }

    fn health(&self) -> Result<()> {
        Ok(())
    }

    fn lost(&self, why: &str) -> Error {
        Error::new(ErrorCode::Unavailable, why)
    }
}

impl GpuWork for Work {
    fn queue(&self) -> GpuQueue {
        GpuQueue::Processor
    }

    fn memory(&mut self, slot: usize, bytes: usize) -> Result<u64> {
        if self.host.full && slot >= 1 << 16 {
            return Err(Error::new(ErrorCode::Unavailable, "it is full"));
        }
        let memory = self.memory.entry(slot).or_default();
        if memory.is_empty() || memory.len() * 16 < bytes {
            *memory = vec![u128::MAX; bytes.div_ceil(16).max(1)];
        }
        Ok(memory.as_ptr() as u64)
    }

    fn upload(&mut self, slot: usize, bytes: &[u8]) -> Result<()> {
        self.host
            .seen
            .lock()
            .threads
            .push(std::thread::current().id());
        let memory = self.memory.get_mut(&slot).unwrap();
        assert!(bytes.len() <= memory.len() * 16);
        // SAFETY: there is so much memory.
        unsafe {
            std::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                memory.as_mut_ptr().cast::<u8>(),
                bytes.len(),
            );
        }
        Ok(())
    }

    unsafe fn download(&mut self, address: u64, into: &mut [u8]) -> Result<()> {
        self.host.seen.lock().downloaded += into.len();
        // SAFETY: the caller says so.
        unsafe {
            std::ptr::copy_nonoverlapping(address as *const u8, into.as_mut_ptr(), into.len());
        }
        Ok(())
    }

    fn takes(&self, how: &PoolStates) -> bool {
        matches!(how.element, Element::F32 | Element::F16 | Element::Bf16)
            && how.pooling == Pooling::Mean
            && !how.normalize
    }

    unsafe fn pool(
        &mut self,
        states: u64,
        how: &PoolStates,
        texts: &[(usize, bool)],
    ) -> Result<Vec<Option<Embedding>>> {
        let mut seen = self.host.seen.lock();
        seen.pooled.push((texts.len(), how.length));
        seen.states.push(states);
        assert_eq!((how.normalize, how.normalize_last), (false, false));
        assert_eq!((how.pooling, how.dim), (Pooling::Mean, how.width));
        let number = |at: usize| {
            // SAFETY: the caller says that so many numbers are there.
            unsafe {
                match how.element {
                    Element::F32 => *(states as *const f32).add(at),
                    Element::F16 => (*(states as *const f16).add(at)).to_f32(),
                    _ => (*(states as *const bf16).add(at)).to_f32(),
                }
            }
        };
        let text = |(at, &(tokens, stays)): (usize, &(usize, bool))| {
            let sum = |column: usize| {
                let rows = at * how.length..at * how.length + tokens;
                rows.map(|row| number(row * how.width + column))
                    .sum::<f32>()
                    / tokens as f32
            };
            let vector: Vec<f32> = (0..how.width).map(sum).collect();
            let finite = vector.iter().all(|it| it.is_finite());
            finite.then(|| match stays {
                true => Embedding::OnGpu(Box::new(vector)),
                false => Embedding::Numbers(vector),
            })
        };
        Ok(texts.iter().enumerate().map(text).collect())
    }
}
