//! Our client, with answers as the judge's types.

use judge::{Fault, Machine, Parameter, Record};
use libvirt_remote::address::{Conf, Surroundings};
use libvirt_remote::procedure::{
    Call, ConnectGetAllDomainStats, ConnectListAllDomains, DomainGetJobStats, DomainGetState, DomainGetXmlDesc,
};
use libvirt_remote::transport::Stream;
use libvirt_remote::{Address, Connection, Error};

/// A connection of `libvirt-remote`.
pub(crate) struct Client {
    pub(crate) connection: Connection<Stream>,
}

impl Client {
    /// Opens a libvirt URI.
    pub(crate) async fn open(uri: &str) -> Result<Client, Fault> {
        let surroundings = Surroundings { root: true, ..Surroundings::default() };
        let address = Address::resolve(uri, &surroundings, &Conf::default()).expect("an address");
        let stream = address.connect().await.expect("a stream");
        let opened = Connection::open(stream, address.driver_uri()).await;
        Ok(Client { connection: opened.map_err(fault)? })
    }

    pub(crate) async fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, Fault> {
        self.connection.call(call).await.map_err(fault)
    }

    pub(crate) async fn list(&mut self, flags: u32) -> Result<Vec<Machine>, Fault> {
        let list = self.call(&ConnectListAllDomains { need_results: 1, flags }).await?;
        assert_eq!(list.domains.len(), usize::try_from(list.count).unwrap());
        Ok(list.domains.into_iter().map(Machine::from).collect())
    }

    pub(crate) async fn state(&mut self, machine: &Machine, flags: u32) -> Result<(i32, i32), Fault> {
        let state = self.call(&DomainGetState { domain: machine.into(), flags }).await?;
        Ok((state.state, state.reason))
    }

    pub(crate) async fn xml(&mut self, machine: &Machine, flags: u32) -> Result<String, Fault> {
        Ok(self.call(&DomainGetXmlDesc { domain: machine.into(), flags }).await?.to_string())
    }

    pub(crate) async fn stats(&mut self, of: &[&Machine], stats: u32, flags: u32) -> Result<Vec<Record>, Fault> {
        let domains = of.iter().map(|machine| (*machine).into()).collect();
        let records = self.call(&ConnectGetAllDomainStats { domains, stats, flags }).await?;
        let record = |record: libvirt_remote::procedure::StatsRecord| Record {
            machine: record.domain.into(),
            parameters: record.parameters.iter().map(Parameter::from).collect(),
        };
        Ok(records.0.into_iter().map(record).collect())
    }

    pub(crate) async fn job(&mut self, machine: &Machine, flags: u32) -> Result<(i32, Vec<Parameter>), Fault> {
        let job = self.call(&DomainGetJobStats { domain: machine.into(), flags }).await?;
        Ok((job.kind, job.parameters.iter().map(Parameter::from).collect()))
    }
}

/// libvirt's error. Any other one fails the test.
fn fault(error: Error) -> Fault {
    match error {
        Error::Libvirt(error) => error.into(),
        error => panic!("not an answer of libvirt: {error}"),
    }
}
