//! The procedures that this client can call, in one table: number, arguments, answer, and the answer's maximum size.
//!
//! Each procedure only reads, or concerns this connection alone. Numbers, arguments and answers are those of libvirt's
//! `remote_protocol.x`, which never change once released.

use bytes::Bytes;

use crate::limits::{
    AUTH_TYPES_MAX, DOMAINS_MAX, JOB_ANSWER_MAX, JOB_PARAMETERS_MAX, LIST_ANSWER_MAX, SHORT_TEXT_MAX, STATS_ANSWER_MAX,
    STATS_PARAMETERS_MAX, XML_ANSWER_MAX,
};
use crate::xdr::{Decode, Encode, Malformed, Reader, Writer};
use crate::{Domain, Parameters, Text};

/// A procedure of the remote program.
#[derive(Debug)]
pub struct Procedure {
    /// Its number, `REMOTE_PROC_…`.
    pub number: u32,
    /// The function of libvirt's API that makes this call.
    pub function: &'static str,
    /// The maximum size of its answer in bytes.
    pub answer_max: usize,
    check: fn(&Bytes) -> Result<(), Malformed>,
}

impl Procedure {
    /// Checks that `body` is a well-formed answer.
    ///
    /// # Errors
    ///
    /// If it is malformed.
    pub fn check(&self, body: &Bytes) -> Result<(), Malformed> {
        (self.check)(body)
    }

    /// Every procedure that can be called.
    pub const fn all() -> &'static [Self] {
        ALL
    }
}

/// A call: the arguments of a procedure.
pub trait Call: Encode {
    /// What the daemon answers.
    type Answer: Decode;

    /// The procedure.
    const PROCEDURE: &'static Procedure;
}

/// Reads an answer, which must fill the body.
pub(crate) fn answer<A: Decode>(body: &Bytes) -> Result<A, Malformed> {
    let mut reader = Reader::new(body);
    let answer = A::decode(&mut reader)?;
    reader.finish()?;
    Ok(answer)
}

/// Lines of `Name { arguments } = number, function, most bytes => answer;`.
macro_rules! procedures {
    ($($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $field:ident: $type:ty),* } =
        $number:literal, $function:literal, $most:expr => $answer:ty;)*) => {
        $(
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("Procedure ", $number, "; libvirt's function `", $function, "`.")]
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $name {
                $($(#[$of])* pub $field: $type,)*
            }

            impl Encode for $name {
                #[allow(unused_variables, reason = "some have no arguments")]
                fn encode(&self, writer: &mut Writer<'_>) {
                    $(self.$field.encode(writer);)*
                }
            }

            impl Call for $name {
                type Answer = $answer;
                const PROCEDURE: &'static Procedure = &Procedure {
                    number: $number,
                    function: $function,
                    answer_max: $most,
                    check: |body| answer::<$answer>(body).map(drop),
                };
            }
        )*

        const ALL: &[Procedure] = &[$(Procedure {
            number: $number,
            function: $function,
            answer_max: $most,
            check: |body| answer::<$answer>(body).map(drop),
        },)*];
    };
}

procedures! {
    /// Lists the kinds of authentication that the daemon accepts. A connection's first call.
    AuthList {} = 66, "virConnectOpenReadOnly", 4 + 4 * AUTH_TYPES_MAX => AuthTypes;

    /// Has the daemon ask polkit about this client, identified by the credentials of its socket.
    AuthPolkit {} = 70, "virConnectOpenReadOnly", 4 => i32;

    /// Opens a driver by the daemon's own URI, such as `qemu:///system`.
    ConnectOpen {
        /// The URI; `None` lets the daemon choose.
        uri: Option<String>,
        /// `virConnectFlags`; this crate always opens read-only.
        flags: ConnectFlags
    } = 1, "virConnectOpenReadOnly", 0 => ();

    /// Tells the daemon that the connection ends, so that it logs no error.
    ConnectClose {} = 2, "virConnectClose", 0 => ();

    /// The driver's name: `QEMU`.
    ConnectGetType {} = 3, "virConnectGetType", SHORT_TEXT_MAX => Text;

    /// The hypervisor's version. A daemon that has just started may probe the hypervisor for it, which takes seconds.
    ConnectGetVersion {} = 4, "virConnectGetVersion", 8 => u64;

    /// The capabilities of host and guests, as XML. A daemon that has just started probes every emulator for it, which
    /// takes seconds.
    ConnectGetCapabilities {} = 7, "virConnectGetCapabilities", XML_ANSWER_MAX => Text;

    /// The host's name.
    ConnectGetHostname {} = 59, "virConnectGetHostname", SHORT_TEXT_MAX => Text;

    /// Whether the driver or the daemon has a feature (`VIR_DRV_FEATURE_…`).
    ConnectSupportsFeature {
        /// The feature's number.
        feature: i32
    } = 60, "virConnectSupportsFeature", 4 => i32;

    /// The URI of the driver that was opened.
    ConnectGetUri {} = 110, "virConnectGetURI", SHORT_TEXT_MAX => Text;

    /// The daemon's libvirt version.
    ConnectGetLibVersion {} = 157, "virConnectGetLibVersion", 8 => u64;

    /// Every domain, running or not.
    ConnectListAllDomains {
        /// 1 to list them; 0 only counts them.
        need_results: i32,
        /// `virConnectListAllDomainsFlags`; 0 is all.
        flags: u32
    } = 273, "virConnectListAllDomains", LIST_ANSWER_MAX => DomainList;

    /// Registers for events of one kind, of one domain or all.
    ConnectDomainEventCallbackRegisterAny {
        /// `virDomainEventID`
        event: i32,
        /// The domain; `None` is all.
        domain: Option<Domain>
    } = 316, "virConnectDomainEventRegisterAny", 4 => i32;

    /// Statistics of the given domains; of all if none is given.
    ConnectGetAllDomainStats {
        /// The domains.
        domains: Vec<Domain>,
        /// `virDomainStatsTypes`, 0 is all.
        stats: u32,
        /// `virConnectGetAllDomainStatsFlags`
        flags: u32
    } = 344, "virDomainListGetStats", STATS_ANSWER_MAX => StatsRecords;

    /// A domain's XML.
    DomainGetXmlDesc {
        /// The domain.
        domain: Domain,
        /// `virDomainXMLFlags`. The answer to a read-only connection never contains secrets.
        flags: u32
    } = 14, "virDomainGetXMLDesc", XML_ANSWER_MAX => Text;

    /// A domain's state and the reason for it.
    DomainGetState {
        /// The domain.
        domain: Domain,
        /// None exist.
        flags: u32
    } = 212, "virDomainGetState", 8 => DomainState;

    /// The statistics of a domain's job.
    DomainGetJobStats {
        /// The domain.
        domain: Domain,
        /// `virDomainGetJobStatsFlags`
        flags: u32
    } = 298, "virDomainGetJobStats", JOB_ANSWER_MAX => JobStats;
}

/// The flags of [`ConnectOpen`]. The only value is read-only, so no connection can be opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectFlags;

impl ConnectFlags {
    /// `VIR_CONNECT_RO`
    const READ_ONLY: u32 = 1;
}

impl Encode for ConnectFlags {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(Self::READ_ONLY);
    }
}

/// The daemon's list of `remote_auth_type`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthTypes(pub Vec<i32>);

impl AuthTypes {
    /// `REMOTE_AUTH_NONE`
    pub const NONE: i32 = 0;
    /// `REMOTE_AUTH_SASL`
    pub const SASL: i32 = 1;
    /// `REMOTE_AUTH_POLKIT`
    pub const POLKIT: i32 = 2;
}

impl Decode for AuthTypes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(AUTH_TYPES_MAX, 4)?;
        (0..count).map(|_| reader.i32()).collect::<Result<_, _>>().map(Self)
    }
}

/// The answer to [`ConnectListAllDomains`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainList {
    /// The domains, if requested.
    pub domains: Vec<Domain>,
    /// The number of domains.
    pub count: u32,
}

impl Decode for DomainList {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(DOMAINS_MAX, Domain::LEAST)?;
        let domains = (0..count).map(|_| Domain::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { domains, count: reader.u32()? })
    }
}

/// The answer to [`ConnectGetAllDomainStats`]: a record for each domain that the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRecords(pub Vec<StatsRecord>);

/// The statistics of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRecord {
    /// The domain, with its id at that moment.
    pub domain: Domain,
    /// Its statistics.
    pub parameters: Parameters,
}

impl Decode for StatsRecords {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = reader.count(DOMAINS_MAX, Domain::LEAST + 4)?;
        let record = |reader: &mut Reader<'_>| {
            let domain = Domain::decode(reader)?;
            Ok(StatsRecord { domain, parameters: Parameters::decode(reader, STATS_PARAMETERS_MAX)? })
        };
        (0..count).map(|_| record(reader)).collect::<Result<_, _>>().map(Self)
    }
}

/// The answer to [`DomainGetState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainState {
    /// `virDomainState`
    pub state: i32,
    /// Of the `virDomain…Reason` enumeration for `state`.
    pub reason: i32,
}

impl Decode for DomainState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { state: reader.i32()?, reason: reader.i32()? })
    }
}

/// The answer to [`DomainGetJobStats`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStats {
    /// `virDomainJobType`
    pub kind: i32,
    /// Its statistics.
    pub parameters: Parameters,
}

impl Decode for JobStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { kind: reader.i32()?, parameters: Parameters::decode(reader, JOB_PARAMETERS_MAX)? })
    }
}
