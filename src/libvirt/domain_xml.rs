//! The domain's XML. A stub, to be replaced.

use crate::model::Description;

/// Why the XML could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the root is not a domain")]
pub struct XmlError;

/// A stub.
///
/// # Errors
/// When there is no `<domain type='…'>`.
pub fn parse(xml: &str) -> Result<Description, XmlError> {
    let rest = xml.split_once("<domain type='").ok_or(XmlError)?.1;
    let domain_type = rest.split_once('\'').ok_or(XmlError)?.0;
    Ok(Description { domain_type: domain_type.into(), ..Description::default() })
}
