//! Answers as plain data, whoever gave them.

use std::borrow::Cow;

/// A domain as libvirt names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: [u8; 16],
    /// Its id; `None` if it does not run.
    pub id: Option<u32>,
}

impl From<libvirt_remote::Domain> for Machine {
    fn from(domain: libvirt_remote::Domain) -> Self {
        Self { name: domain.name.to_string(), uuid: domain.uuid, id: domain.id }
    }
}

impl From<&Machine> for libvirt_remote::Domain {
    fn from(machine: &Machine) -> Self {
        Self { name: machine.name.as_str().into(), uuid: machine.uuid, id: machine.id }
    }
}

/// The statistics of one domain, with its id at that moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The domain.
    pub machine: Machine,
    /// Its statistics, in libvirt's order.
    pub parameters: Vec<Parameter>,
}

/// A typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value, with its type.
    pub value: Value,
}

/// A value in one of libvirt's types.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `VIR_TYPED_PARAM_INT`
    Int(i32),
    /// `VIR_TYPED_PARAM_UINT`
    UInt(u32),
    /// `VIR_TYPED_PARAM_LLONG`
    LLong(i64),
    /// `VIR_TYPED_PARAM_ULLONG`
    ULLong(u64),
    /// `VIR_TYPED_PARAM_DOUBLE`
    Double(f64),
    /// `VIR_TYPED_PARAM_BOOLEAN`
    Boolean(bool),
    /// `VIR_TYPED_PARAM_STRING`
    Text(String),
}

impl From<libvirt_remote::Parameter<'_>> for Parameter {
    fn from(parameter: libvirt_remote::Parameter<'_>) -> Self {
        let value = match parameter.value {
            libvirt_remote::Value::Int(value) => Value::Int(value),
            libvirt_remote::Value::UInt(value) => Value::UInt(value),
            libvirt_remote::Value::LLong(value) => Value::LLong(value),
            libvirt_remote::Value::ULLong(value) => Value::ULLong(value),
            libvirt_remote::Value::Double(value) => Value::Double(value),
            libvirt_remote::Value::Boolean(value) => Value::Boolean(value),
            libvirt_remote::Value::Text(value) => Value::Text(Cow::into_owned(value)),
        };
        Self { name: parameter.field.into_owned(), value }
    }
}

impl Value {
    /// Whether this value lies between two others of its type, inclusively.
    #[must_use]
    pub fn is_between(&self, one: &Self, other: &Self) -> bool {
        fn between<T: PartialOrd>(value: &T, one: &T, other: &T) -> bool {
            (one <= value && value <= other) || (other <= value && value <= one)
        }
        match (self, one, other) {
            (Self::Int(value), Self::Int(one), Self::Int(other)) => between(value, one, other),
            (Self::UInt(value), Self::UInt(one), Self::UInt(other)) => between(value, one, other),
            (Self::LLong(value), Self::LLong(one), Self::LLong(other)) => between(value, one, other),
            (Self::ULLong(value), Self::ULLong(one), Self::ULLong(other)) => between(value, one, other),
            (Self::Double(value), Self::Double(one), Self::Double(other)) => between(value, one, other),
            _ => self == one && self == other,
        }
    }
}

/// An error of libvirt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `virErrorNumber`
    pub code: i32,
    /// `virErrorDomain`
    pub domain: i32,
    /// `virErrorLevel`
    pub level: i32,
    /// libvirt's own words.
    pub message: String,
}

impl From<libvirt_remote::LibvirtError> for Fault {
    fn from(error: libvirt_remote::LibvirtError) -> Self {
        let libvirt_remote::LibvirtError { code, domain, level, message } = error;
        Self { code, domain, level, message }
    }
}

impl From<virt::error::Error> for Fault {
    fn from(error: virt::error::Error) -> Self {
        let number = |raw: u32| i32::try_from(raw).unwrap_or(-1);
        Self {
            code: number(error.code().to_raw()),
            domain: number(error.domain().to_raw()),
            level: match error.level() {
                virt::error::ErrorLevel::None => 0,
                virt::error::ErrorLevel::Warning => 1,
                virt::error::ErrorLevel::Error => 2,
            },
            message: error.message().to_owned(),
        }
    }
}
