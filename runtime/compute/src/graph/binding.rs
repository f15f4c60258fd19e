//! Runs whose inputs and outputs lie where they are: ONNX Runtime's I/O binding, over the C API as in
//! [`super::raw`].

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use ort::sys::{ONNXTensorElementDataType as Onnx, OrtIoBinding, OrtValue};

use super::Element;
use super::raw::{Owner, Value, check, nothing, tensor_at};

/// What goes into a session and out of it, and where it lies.
pub(super) struct Binding<'s> {
    raw: NonNull<OrtIoBinding>,
    session: &'s Session,
    /// Live as long as the binding.
    bound: Vec<Owner>,
    _session: PhantomData<&'s Session>,
}

impl<'s> Binding<'s> {
    pub(super) fn new(session: &'s Session) -> Result<Self, String> {
        let mut raw = ptr::null_mut();
        // SAFETY: the session lives; the API does not write to it, whatever its signature says.
        check(unsafe { (ort::api().CreateIoBinding)(session.ptr().cast_mut(), &raw mut raw) })?;
        Ok(Self {
            raw: NonNull::new(raw).ok_or_else(nothing)?,
            session,
            bound: Vec::new(),
            _session: PhantomData,
        })
    }

    /// Binds an input to memory.
    ///
    /// # Safety
    /// So many bytes of `memory` lie there, and are not written to while the binding runs.
    pub(super) unsafe fn input(
        &mut self,
        name: &CStr,
        memory: &MemoryInfo<'_>,
        place: (u64, usize),
        element: Element,
        shape: &[usize],
    ) -> Result<(), String> {
        // SAFETY: as the caller says.
        let value = unsafe { self.keep(memory, place, element, shape) }?;
        // SAFETY: the binding, the name and the value are live; the value is kept.
        check(unsafe { (ort::api().BindInput)(self.raw.as_ptr(), name.as_ptr(), value) })
    }

    /// Has an output be left wherever in `memory`.
    pub(super) fn output(&mut self, name: &CStr, memory: &MemoryInfo<'_>) -> Result<(), String> {
        // SAFETY: all three are live.
        check(unsafe {
            (ort::api().BindOutputToDevice)(self.raw.as_ptr(), name.as_ptr(), memory.ptr())
        })
    }

    /// Has an output be written to memory.
    ///
    /// # Safety
    /// So many bytes of `memory` lie there, and nobody else uses them while the binding runs.
    pub(super) unsafe fn output_at(
        &mut self,
        name: &CStr,
        memory: &MemoryInfo<'_>,
        place: (u64, usize),
        element: Element,
        shape: &[usize],
    ) -> Result<(), String> {
        // SAFETY: as the caller says.
        let value = unsafe { self.keep(memory, place, element, shape) }?;
        // SAFETY: as for inputs.
        check(unsafe { (ort::api().BindOutput)(self.raw.as_ptr(), name.as_ptr(), value) })
    }

    /// A tensor over memory, which lives as long as the binding.
    ///
    /// # Safety
    /// So many bytes of `memory` lie there.
    unsafe fn keep(
        &mut self,
        memory: &MemoryInfo<'_>,
        (address, bytes): (u64, usize),
        element: Element,
        shape: &[usize],
    ) -> Result<*const OrtValue, String> {
        // SAFETY: as the caller says.
        let value = unsafe { at(memory, address, bytes, element, shape) }?;
        let raw = value.ptr();
        self.bound.push(value);
        Ok(raw)
    }

    /// Runs the session.
    pub(super) fn run(&self, options: &RunOptions<NoSelectedOutputs>) -> Result<(), String> {
        // SAFETY: all three are live; about runs of one session, see [`super::raw`].
        check(unsafe {
            (ort::api().RunWithBinding)(
                self.session.ptr().cast_mut(),
                options.ptr(),
                self.raw.as_ptr(),
            )
        })
    }

    /// What the last run left, in the order in which outputs were bound.
    pub(super) fn outputs(&self) -> Result<Vec<Value<'s>>, String> {
        let allocator = Allocator::default();
        let (mut values, mut count) = (ptr::null_mut(), 0);
        // SAFETY: the binding and the allocator are live, and each answer has a place of its own.
        check(unsafe {
            (ort::api().GetBoundOutputValues)(
                self.raw.as_ptr(),
                allocator.ptr().cast_mut(),
                &raw mut values,
                &raw mut count,
            )
        })?;
        if values.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: there are so many, each of them ours to release; the list itself is freed below.
        let owned: Vec<Option<Owner>> = unsafe { std::slice::from_raw_parts(values, count) }
            .iter()
            .map(|value| Owner::of(*value))
            .collect();
        // SAFETY: the list came from this allocator and is not used any more.
        let freed = unsafe {
            (ort::api().AllocatorFree)(allocator.ptr().cast_mut(), values.cast::<c_void>())
        };
        check(freed)?;
        owned
            .into_iter()
            .map(|value| Value::new(value.ok_or_else(nothing)?))
            .collect()
    }
}

impl Drop for Binding<'_> {
    fn drop(&mut self) {
        // SAFETY: it was given to us, and nobody else releases it.
        unsafe { (ort::api().ReleaseIoBinding)(self.raw.as_ptr()) };
    }
}

/// # Safety
/// As for [`tensor_at`].
unsafe fn at(
    memory: &MemoryInfo<'_>,
    address: u64,
    bytes: usize,
    element: Element,
    shape: &[usize],
) -> Result<Owner, String> {
    let onnx = onnx(element).ok_or_else(|| format!("{element:?} cannot be bound"))?;
    // SAFETY: as the caller says.
    unsafe { tensor_at(memory, (address as *mut c_void, bytes), onnx, shape) }
}

fn onnx(element: Element) -> Option<Onnx> {
    Some(match element {
        Element::I64 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        Element::I32 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        Element::Bool => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        Element::F32 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Element::F64 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        Element::F16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Element::Bf16 => Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Element::Other => return None,
    })
}
