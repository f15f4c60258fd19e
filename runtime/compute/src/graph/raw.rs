//! Tensors and runs over the C API itself.
//!
//! `ort` runs a session only through `&mut`, one run at a time, because some execution providers for
//! GPUs are not safe otherwise. ONNX Runtime's own contract is that `Run` may be called by several
//! threads at once on one session (its issues 114 and 22967 on GitHub), which the CPU provider
//! keeps. This file is where that is made use of. Graphs on a GPU run one call at a time
//! ([`super::gpu`]).

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use half::{bf16, f16};
use ort::AsPointer;
use ort::memory::MemoryInfo;
use ort::session::Session;
use ort::sys::{
    ONNXTensorElementDataType as Onnx, OrtStatusPtr, OrtTensorTypeAndShapeInfo, OrtValue,
};

use super::Element;
use super::tensor::Numbers;

/// A number that tensors are made of, laid out as ONNX Runtime lays it out.
pub(super) trait Number: Copy + 'static {
    /// Its kind, as the C API calls it.
    const ONNX: Onnx;
}

macro_rules! numbers {
    ($($number:ty: $onnx:ident,)*) => {
        $(impl Number for $number {
            const ONNX: Onnx = Onnx::$onnx;
        })*
    };
}

numbers! {
    i64: ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
    i32: ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
    bool: ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
    f32: ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
    f64: ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
    f16: ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    bf16: ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
}

/// An `OrtValue` that is ours to release.
#[derive(Debug)]
pub(super) struct Owner(NonNull<OrtValue>);

impl Owner {
    pub(super) fn ptr(&self) -> *mut OrtValue {
        self.0.as_ptr()
    }

    /// A value that the API gave away.
    pub(super) fn of(value: *mut OrtValue) -> Option<Self> {
        NonNull::new(value).map(Self)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: the value was given to us by the API, and nobody else releases it.
        unsafe { (ort::api().ReleaseValue)(self.0.as_ptr()) };
    }
}

/// A tensor for one run, over numbers that it borrows or owns.
pub(super) struct Input<'a> {
    value: Owner,
    _converted: Option<Box<dyn Any>>,
    _borrowed: PhantomData<&'a ()>,
}

impl<'a> Input<'a> {
    /// Numbers as a tensor of a shape that they fill.
    pub(super) fn new(numbers: Numbers<'a>, shape: &[usize]) -> Result<Self, String> {
        match numbers {
            Numbers::I64(data) => Self::borrowed(data, shape),
            Numbers::F32(data) => Self::borrowed(data, shape),
            Numbers::Bools(data) => Self::borrowed(data, shape),
            Numbers::I32(data) => Self::converted(data, shape),
            Numbers::F64(data) => Self::converted(data, shape),
            Numbers::F16(data) => Self::converted(data, shape),
            Numbers::Bf16(data) => Self::converted(data, shape),
        }
    }

    fn borrowed<T: Number>(data: &'a [T], shape: &[usize]) -> Result<Self, String> {
        Ok(Self {
            // SAFETY: `'a` outlives this value.
            value: unsafe { tensor(data, shape) }?,
            _converted: None,
            _borrowed: PhantomData,
        })
    }

    fn converted<T: Number>(data: Vec<T>, shape: &[usize]) -> Result<Self, String> {
        Ok(Self {
            // SAFETY: the numbers are kept beside the value; moving the vector moves none of them.
            value: unsafe { tensor(&data, shape) }?,
            _converted: Some(Box::new(data)),
            _borrowed: PhantomData,
        })
    }
}

/// A tensor over numbers that ONNX Runtime reads in place.
///
/// # Safety
/// The numbers must live, unchanged, for as long as the answer.
unsafe fn tensor<T: Number>(data: &[T], shape: &[usize]) -> Result<Owner, String> {
    let at = data.as_ptr().cast_mut().cast::<c_void>();
    // SAFETY: the numbers fill the shape, as the caller of this module checked; inputs of a run are
    // not written to.
    unsafe {
        tensor_at(
            &MemoryInfo::default(),
            (at, size_of_val(data)),
            T::ONNX,
            shape,
        )
    }
}

/// A tensor over memory wherever it is.
///
/// # Safety
/// So many bytes lie there, of `memory`, for as long as the answer lives.
pub(super) unsafe fn tensor_at(
    memory: &MemoryInfo<'_>,
    (at, bytes): (*mut c_void, usize),
    onnx: Onnx,
    shape: &[usize],
) -> Result<Owner, String> {
    let length = |&dim: &usize| i64::try_from(dim).map_err(|_| format!("a length of {dim}"));
    let dims = shape.iter().map(length).collect::<Result<Vec<i64>, _>>()?;
    let mut value = ptr::null_mut();
    // SAFETY: all pointers are of live things with the lengths beside them.
    check(unsafe {
        (ort::api().CreateTensorWithDataAsOrtValue)(
            memory.ptr(),
            at,
            bytes,
            dims.as_ptr(),
            dims.len(),
            onnx,
            &raw mut value,
        )
    })?;
    NonNull::new(value).map(Owner).ok_or_else(nothing)
}

/// A tensor that a run answered.
#[derive(Debug)]
pub(super) struct Value<'s> {
    value: Owner,
    onnx: Onnx,
    shape: Vec<usize>,
    /// Its memory is the session's.
    _session: PhantomData<&'s Session>,
}

impl Value<'_> {
    pub(super) fn new(value: Owner) -> Result<Self, String> {
        let api = ort::api();
        let mut info = ptr::null_mut();
        // SAFETY: the value is live; a value that is no tensor is an error.
        check(unsafe { (api.GetTensorTypeAndShape)(value.0.as_ptr(), &raw mut info) })?;
        let described = describe(info);
        // SAFETY: the description is ours and not used any more.
        unsafe { (api.ReleaseTensorTypeAndShapeInfo)(info) };
        let (onnx, shape) = described?;
        Ok(Self {
            value,
            onnx,
            shape,
            _session: PhantomData,
        })
    }

    pub(super) fn element(&self) -> Element {
        Element::of(self.onnx.into())
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Where its numbers lie; `None` when it has none.
    pub(super) fn address(&self) -> Option<u64> {
        let mut data = ptr::null_mut();
        // SAFETY: the value is a live tensor; where it lies is not looked at.
        check(unsafe { (ort::api().GetTensorMutableData)(self.value.0.as_ptr(), &raw mut data) })
            .ok()?;
        Some(data as u64)
    }

    /// Its numbers; `None` when they are not of that kind.
    pub(super) fn data<T: Number>(&self) -> Option<&[T]> {
        if self.onnx != T::ONNX {
            return None;
        }
        let product = |all: usize, &dim: &usize| all.checked_mul(dim);
        let length = self.shape.iter().try_fold(1, product)?;
        let mut data = ptr::null_mut();
        // SAFETY: the value is a live tensor in the CPU's memory.
        check(unsafe { (ort::api().GetTensorMutableData)(self.value.0.as_ptr(), &raw mut data) })
            .ok()?;
        if length == 0 || data.is_null() {
            return Some(&[]);
        }
        // SAFETY: a tensor of this kind and shape holds so many of these numbers, aligned; nobody
        // writes to what a run answered, and it lives as long as the value.
        Some(unsafe { std::slice::from_raw_parts(data.cast::<T>(), length) })
    }
}

/// The kind and the shape that a description says.
fn describe(info: *const OrtTensorTypeAndShapeInfo) -> Result<(Onnx, Vec<usize>), String> {
    let api = ort::api();
    let mut onnx = Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    let mut rank = 0;
    // SAFETY: the description is live, and each answer has a place of its own.
    check(unsafe { (api.GetTensorElementType)(info, &raw mut onnx) })?;
    // SAFETY: as above.
    check(unsafe { (api.GetDimensionsCount)(info, &raw mut rank) })?;
    let mut dims = vec![0_i64; rank];
    // SAFETY: as above; there is room for as many as the description has.
    check(unsafe { (api.GetDimensions)(info, dims.as_mut_ptr(), rank) })?;
    let length = |dim: i64| usize::try_from(dim).map_err(|_| format!("a length of {dim}"));
    let shape = dims.into_iter().map(length).collect::<Result<_, _>>()?;
    Ok((onnx, shape))
}

/// Runs a session once, on this thread and helpers.
pub(super) fn run<'s>(
    session: &'s Session,
    inputs: &[(&CStr, Input<'_>)],
    outputs: &[&CStr],
) -> Result<Vec<Value<'s>>, String> {
    let input_names: Vec<*const c_char> = inputs.iter().map(|(name, _)| name.as_ptr()).collect();
    let tensors: Vec<*const OrtValue> = inputs
        .iter()
        .map(|(_, tensor)| tensor.value.0.as_ptr().cast_const())
        .collect();
    let output_names: Vec<*const c_char> = outputs.iter().map(|name| name.as_ptr()).collect();
    let mut answers = vec![ptr::null_mut(); outputs.len()];
    // SAFETY: names and tensors are live and as many as is said beside them; null options are the
    // default ones; null answers are filled with new values; about the session, see above.
    let ran = check(unsafe {
        (ort::api().Run)(
            session.ptr().cast_mut(),
            ptr::null(),
            input_names.as_ptr(),
            tensors.as_ptr(),
            tensors.len(),
            output_names.as_ptr(),
            output_names.len(),
            answers.as_mut_ptr(),
        )
    });
    // Owned first, so that they are released whatever happens.
    let answers: Vec<Option<Owner>> = answers
        .into_iter()
        .map(|it| NonNull::new(it).map(Owner))
        .collect();
    ran?;
    answers
        .into_iter()
        .map(|answer| Value::new(answer.ok_or_else(nothing)?))
        .collect()
}

pub(super) fn nothing() -> String {
    "ONNX Runtime answered nothing".to_owned()
}

/// The error of a status, which is released.
pub(super) fn check(status: OrtStatusPtr) -> Result<(), String> {
    // SAFETY: the status comes from the API and is looked at once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|why| why.message().to_owned())
}
