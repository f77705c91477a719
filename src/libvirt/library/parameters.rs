//! libvirt's typed parameters in its own memory.

use std::borrow::Cow;
use std::ffi::{CStr, c_int, c_uint};
use std::mem::ManuallyDrop;
use std::ptr::null_mut;

use libvirt_remote::limits::STATS_PARAMETERS_MAX;
use libvirt_remote::{Parameter, Value};
use virt::domain::Domain;
use virt::sys;

/// The records that `virDomainListGetStats` returns: an array that ends with NULL.
pub(super) struct Records(*mut sys::virDomainStatsRecordPtr);

impl Records {
    pub(super) const fn none() -> Self {
        Self(null_mut())
    }

    /// Where libvirt puts the records, once.
    pub(super) const fn slot(&mut self) -> *mut *mut sys::virDomainStatsRecordPtr {
        &raw mut self.0
    }

    /// The first record.
    ///
    /// # Safety
    ///
    /// libvirt has put `count` records there.
    pub(super) unsafe fn first(&self, count: c_int) -> Option<Record<'_>> {
        if count < 1 || self.0.is_null() {
            return None;
        }
        // SAFETY: by the caller's promise the array has a first element, which points to a record; both live as long as
        // `self`.
        Some(Record(unsafe { &**self.0 }))
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the array is libvirt's own, ends with NULL, and is freed once with all that it holds.
            unsafe { sys::virDomainStatsRecordListFree(self.0) };
        }
    }
}

/// The statistics of one domain.
pub(super) struct Record<'a>(&'a sys::virDomainStatsRecord);

impl Record<'_> {
    /// The domain's id when it answered; `None` if it does not run.
    pub(super) fn id(&self) -> Option<u32> {
        // SAFETY: the record owns a reference to its domain; the wrapper is not dropped, and so releases none.
        ManuallyDrop::new(unsafe { Domain::from_ptr(self.0.dom) }).id()
    }

    /// Calls `show` with each parameter.
    pub(super) fn each(&self, show: impl FnMut(Parameter<'_>)) {
        // SAFETY: the record says how many parameters it has, and owns them.
        unsafe { slice(self.0.params, self.0.nparams) }.iter().filter_map(read).for_each(show);
    }
}

/// Parameters that libvirt hands over.
pub(super) struct Parameters {
    first: sys::virTypedParameterPtr,
    count: c_int,
}

impl Parameters {
    pub(super) const fn none() -> Self {
        Self { first: null_mut(), count: 0 }
    }

    /// Where libvirt puts the parameters and their count, once.
    pub(super) const fn slots(&mut self) -> (*mut sys::virTypedParameterPtr, *mut c_int) {
        (&raw mut self.first, &raw mut self.count)
    }

    /// All parameters.
    ///
    /// # Safety
    ///
    /// libvirt has filled in both slots, or neither.
    pub(super) unsafe fn all(&self) -> &[sys::virTypedParameter] {
        // SAFETY: the caller's promise; they are freed with `self`.
        unsafe { slice(self.first, self.count) }
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: both are what libvirt returned together, or NULL and 0, which it allows; freed once.
        unsafe { sys::virTypedParamsFree(self.first, self.count) };
    }
}

/// A slice of `count` parameters, cut at the protocol's limit.
///
/// # Safety
///
/// `first` is NULL or points to `count` parameters that live for `'a`.
unsafe fn slice<'a>(first: sys::virTypedParameterPtr, count: c_int) -> &'a [sys::virTypedParameter] {
    let count = usize::try_from(count).unwrap_or(0).min(STATS_PARAMETERS_MAX);
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// Reads a parameter; `None` if its type is unknown.
pub(super) fn read(parameter: &sys::virTypedParameter) -> Option<Parameter<'_>> {
    let name: Vec<u8> =
        parameter.field.iter().map(|byte| byte.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    let value = &parameter.value;
    // SAFETY: libvirt says in `type_` which member of the union it has written; a text is NULL or ends with NUL, and
    // lives as long as the parameter.
    let value = unsafe {
        match c_uint::try_from(parameter.type_).ok()? {
            sys::VIR_TYPED_PARAM_INT => Value::Int(value.i),
            sys::VIR_TYPED_PARAM_UINT => Value::UInt(value.ui),
            sys::VIR_TYPED_PARAM_LLONG => Value::LLong(value.l),
            sys::VIR_TYPED_PARAM_ULLONG => Value::ULLong(value.ul),
            sys::VIR_TYPED_PARAM_DOUBLE => Value::Double(value.d),
            sys::VIR_TYPED_PARAM_BOOLEAN => Value::Boolean(value.b != 0),
            sys::VIR_TYPED_PARAM_STRING if value.s.is_null() => Value::Text(Cow::Borrowed("")),
            sys::VIR_TYPED_PARAM_STRING => Value::Text(CStr::from_ptr(value.s).to_string_lossy()),
            _ => return None,
        }
    };
    Some(Parameter { field: Cow::Owned(String::from_utf8_lossy(&name).into_owned()), value })
}
