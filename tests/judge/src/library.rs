//! Calls to libvirt's library.
#![expect(unsafe_code, reason = "what the crate `virt` has no safe method for, or none that tells everything")]

use std::ffi::{CStr, c_int, c_uint};
use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::OnceLock;

use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use crate::plain::{Fault, Machine, Parameter, Record, Value};

/// A connection of libvirt's library.
#[derive(Debug)]
pub struct Library {
    pub(crate) connect: Connect,
}

/// Silences libvirt's printing and runs its event loop on a thread of its own, once per process, before the first
/// connection, which would otherwise have no events.
fn ready() -> Result<(), Fault> {
    static READY: OnceLock<Result<(), Fault>> = OnceLock::new();
    READY
        .get_or_init(|| {
            virt::error::clear_error_callback();
            virt::event::event_register_default_impl()?;
            std::thread::spawn(|| while virt::event::event_run_default_impl().is_ok() {});
            Ok(())
        })
        .clone()
}

impl Library {
    /// `virConnectOpenReadOnly`
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn open_read_only(uri: &str) -> Result<Self, Fault> {
        ready()?;
        Ok(Self { connect: Connect::open_read_only(Some(uri))? })
    }

    /// `virConnectOpen`: to change what is then read.
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn open(uri: &str) -> Result<Self, Fault> {
        ready()?;
        Ok(Self { connect: Connect::open(Some(uri))? })
    }

    /// The connection, for calls that the crate `virt` makes safely.
    #[must_use]
    pub const fn connect(&self) -> &Connect {
        &self.connect
    }

    /// `virConnectListAllDomains`
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn list(&self, flags: u32) -> Result<Vec<Machine>, Fault> {
        self.connect.list_all_domains(flags)?.iter().map(Self::machine).collect()
    }

    /// `virDomainLookupByUUID`
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn look_up(&self, uuid: [u8; 16]) -> Result<Domain, Fault> {
        Ok(self.connect.lookup_domain_by_uuid(Uuid::from_bytes(uuid))?)
    }

    /// The domain of a handle.
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn machine(domain: &Domain) -> Result<Machine, Fault> {
        Ok(Machine { name: domain.name()?, uuid: domain.uuid()?.into_bytes(), id: domain.id() })
    }

    /// `virDomainGetState`: state and reason. `virt`'s own method hides an error.
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn state(domain: &Domain, flags: u32) -> Result<(i32, i32), Fault> {
        let (mut state, mut reason): (c_int, c_int) = (0, 0);
        // SAFETY: the handle is valid as long as `domain`; both pointers are to variables of this frame.
        let code = unsafe { sys::virDomainGetState(domain.as_ptr(), &raw mut state, &raw mut reason, flags) };
        if code < 0 { Err(Error::last_error().into()) } else { Ok((state, reason)) }
    }

    /// `virDomainGetXMLDesc`
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn xml(domain: &Domain, flags: u32) -> Result<String, Fault> {
        Ok(domain.xml_desc(flags)?)
    }

    /// `virDomainListGetStats`; if no domain is given, `virConnectGetAllDomainStats`.
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn stats(&self, domains: &[&Domain], stats: u32, flags: u32) -> Result<Vec<Record>, Fault> {
        // SAFETY: the handles are valid as long as `domains`, which outlives the array.
        let mut handles: Vec<_> = domains.iter().map(|domain| unsafe { domain.as_ptr() }).collect();
        handles.push(null_mut());
        let mut records: *mut sys::virDomainStatsRecordPtr = null_mut();
        // SAFETY: the connection is valid; the array ends with NULL; libvirt puts an array of its own into `records`.
        let count = unsafe {
            if domains.is_empty() {
                sys::virConnectGetAllDomainStats(self.connect.as_ptr(), stats, &raw mut records, flags)
            } else {
                sys::virDomainListGetStats(handles.as_mut_ptr(), stats, &raw mut records, flags)
            }
        };
        let Ok(count) = usize::try_from(count) else { return Err(Error::last_error().into()) };
        if records.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: libvirt has just said that the array has so many records, each of which says how many parameters it
        // has and owns a reference to its domain; the wrapper is not dropped, and so releases none.
        let read = |record: &sys::virDomainStatsRecordPtr| unsafe {
            let record = &**record;
            let domain = ManuallyDrop::new(Domain::from_ptr(record.dom));
            Ok(Record { machine: Self::machine(&domain)?, parameters: copy(record.params, record.nparams) })
        };
        // SAFETY: as above.
        let all = unsafe { std::slice::from_raw_parts(records, count) }.iter().map(read).collect();
        // SAFETY: the array is libvirt's own, ends with NULL, and is freed once with all that it holds.
        unsafe { sys::virDomainStatsRecordListFree(records) };
        all
    }

    /// `virDomainGetJobStats`: the job's type, and its parameters.
    ///
    /// # Errors
    ///
    /// libvirt's.
    pub fn job(domain: &Domain, flags: u32) -> Result<(i32, Vec<Parameter>), Fault> {
        let (mut kind, mut count): (c_int, c_int) = (0, 0);
        let mut first: sys::virTypedParameterPtr = null_mut();
        // SAFETY: the handle is valid as long as `domain`; the pointers are to variables of this frame.
        let code =
            unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut first, &raw mut count, flags) };
        if code < 0 {
            return Err(Error::last_error().into());
        }
        // SAFETY: libvirt has just given this count; they are freed once, after they were copied.
        let parameters = unsafe {
            let parameters = copy(first, count);
            sys::virTypedParamsFree(first, count);
            parameters
        };
        Ok((kind, parameters))
    }
}

/// Copies an array of parameters.
///
/// # Safety
///
/// `first` is NULL or points to `count` parameters.
unsafe fn copy(first: sys::virTypedParameterPtr, count: c_int) -> Vec<Parameter> {
    if first.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller's promise.
    let parameters = unsafe { std::slice::from_raw_parts(first, usize::try_from(count).unwrap_or(0)) };
    parameters.iter().map(copy_one).collect()
}

fn copy_one(parameter: &sys::virTypedParameter) -> Parameter {
    let name: Vec<u8> =
        parameter.field.iter().map(|byte| byte.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    let value = &parameter.value;
    // SAFETY: libvirt says in `type_` which member of the union it has written; a text ends with NUL.
    let value = unsafe {
        match c_uint::try_from(parameter.type_).unwrap_or(0) {
            sys::VIR_TYPED_PARAM_INT => Value::Int(value.i),
            sys::VIR_TYPED_PARAM_UINT => Value::UInt(value.ui),
            sys::VIR_TYPED_PARAM_LLONG => Value::LLong(value.l),
            sys::VIR_TYPED_PARAM_ULLONG => Value::ULLong(value.ul),
            sys::VIR_TYPED_PARAM_DOUBLE => Value::Double(value.d),
            sys::VIR_TYPED_PARAM_BOOLEAN => Value::Boolean(value.b != 0),
            sys::VIR_TYPED_PARAM_STRING => Value::Text(CStr::from_ptr(value.s).to_string_lossy().into_owned()),
            other => Value::Text(format!("a value of the unknown type {other}")),
        }
    };
    Parameter { name: String::from_utf8_lossy(&name).into_owned(), value }
}
