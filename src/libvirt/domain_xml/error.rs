//! Why a domain's XML could not be parsed.

use super::limits::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS};

/// Why a domain's XML could not be parsed. libvirt itself causes none of these; something else answers in its place, or
/// the answer was damaged on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is longer than libvirt's protocol can carry.
    #[error("it has {length} bytes, and libvirt sends {limit} at most")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// It breaks the rules of XML.
    #[error("it is not well-formed at byte {position}: {reason}; compare `virsh dumpxml`")]
    NotWellFormed {
        /// Where, in bytes from its beginning.
        position: u64,
        /// The reason, cut to a readable length: the parser's own error may quote the whole document.
        reason: String,
    },
    /// It ends before the domain does.
    #[error("it ends in the middle, after {position} bytes; compare `virsh dumpxml`")]
    Truncated {
        /// Its length in bytes.
        position: u64,
    },
    /// Its root is not `<domain>`.
    #[error("it describes <{found}> and not <domain>")]
    Root {
        /// The root that was found, cut to a readable length.
        found: String,
    },
    /// The root has no `type`, or an empty or too long one.
    #[error("its <domain> has no usable type attribute")]
    NoType,
    /// It has a DOCTYPE, which could redefine what everything else means.
    #[error("it has a DOCTYPE, which libvirt never writes")]
    DocumentType,
    /// Its elements are nested too deeply.
    #[error("its elements are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// It has too many elements.
    #[error("it has more than {MAX_ELEMENTS} elements")]
    TooManyElements,
    /// One of its elements has too many attributes.
    #[error("one of its elements has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
}
