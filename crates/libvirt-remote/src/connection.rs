//! A connection: one stream, owned by its user, without a task or a thread of its own.

mod calls;
mod events;
mod inbound;
mod open;
mod outbound;
mod pace;
mod waiting;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};

use self::calls::Calls;
use self::events::Events;
use self::inbound::Inbound;
use self::outbound::Outbound;
use self::pace::Pace;
use crate::error::{End, Error, LibvirtError, Violation};
use crate::event::{Event, EventKind};
use crate::frame::{Header, Kind, PING};
use crate::keepalive::{Keepalive, Pings};
use crate::limits::{CLOSE_DEADLINE, FRAME_DEADLINE, WRITE_DEADLINE};
use crate::procedure::{self, Call, ConnectClose, ConnectDomainEventCallbackRegisterAny};
use crate::room::Bounds;

pub use self::calls::Ticket;
pub use self::waiting::Waiting;

/// A connection to a libvirt daemon, opened read-only.
///
/// It makes progress only while it is polled: by a call that waits for its answer, by [`Connection::next_event`], or by
/// [`Connection::poll_event`]. Dropping it closes the stream at once.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    inbound: Inbound,
    outbound: Outbound,
    calls: Calls,
    events: Events,
    pace: Pace,
    pings: Option<Pings>,
    /// How long a long frame may take.
    long_within: Duration,
    ended: Option<End>,
    /// Wakes at the next deadline. Created with the first one.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over a stream on which nothing has been sent yet. [`open`](Self::open) sends what must come first.
    fn new(stream: S) -> Self {
        Self {
            stream,
            inbound: Inbound::default(),
            outbound: Outbound::default(),
            calls: Calls::default(),
            events: Events::default(),
            pace: Pace::new(Instant::now()),
            pings: None,
            long_within: FRAME_DEADLINE,
            ended: None,
            timer: None,
        }
    }

    /// Makes a call, and waits for its answer. Events that come meanwhile are queued.
    ///
    /// If the future is dropped, the call stays outstanding: its answer is discarded when it comes.
    ///
    /// # Errors
    ///
    /// If the daemon answers with an error, the connection has ended or ends, or
    /// [`CALLS_MAX`](crate::limits::CALLS_MAX) calls are outstanding.
    pub fn call<C: Call>(&mut self, call: &C) -> Waiting<'_, S, C> {
        let sent = self.send(call);
        Waiting::new(self, sent)
    }

    /// Queues a call, whose answer [`receive`](Self::receive) gives. Several may be outstanding at a time; a daemon may
    /// answer them in another order.
    ///
    /// # Errors
    ///
    /// If the connection has ended, or [`CALLS_MAX`](crate::limits::CALLS_MAX) calls are outstanding.
    pub fn send<C: Call>(&mut self, call: &C) -> Result<Ticket<C>, Error> {
        if let Some(end) = &self.ended {
            return Err(end.clone().into());
        }
        let serial = self.calls.begin(C::PROCEDURE)?;
        self.outbound.call(C::PROCEDURE.number, serial, call);
        Ok(Ticket::new(serial))
    }

    /// Waits for the answer to a sent call. If the future is dropped, the answer is discarded.
    ///
    /// # Errors
    ///
    /// If the daemon answers with an error, or the connection has ended or ends.
    pub fn receive<C: Call>(&mut self, ticket: Ticket<C>) -> Waiting<'_, S, C> {
        Waiting::new(self, Ok(ticket))
    }

    /// Polls for the answer to a sent call. Once it is ready, the ticket is useless.
    ///
    /// # Errors
    ///
    /// If the daemon answers with an error, or the connection has ended or ends.
    pub fn poll_receive<C: Call>(
        &mut self,
        ticket: &Ticket<C>,
        context: &mut Context<'_>,
    ) -> Poll<Result<C::Answer, Error>> {
        loop {
            if let Some(answer) = self.calls.take(ticket.serial) {
                return Poll::Ready(match answer {
                    Err(error) => Err(error.into()),
                    Ok(body) => procedure::answer(&body).map_err(|cause| {
                        let end = End::from(Violation::Answer { function: C::PROCEDURE.function, cause });
                        self.ended = Some(end.clone());
                        end.into()
                    }),
                });
            }
            ready!(self.poll_work(context))?;
        }
    }

    /// Registers for events of one kind, of all domains. Returns whether the daemon has this kind: an older one may
    /// not.
    ///
    /// Procedure 316 (`CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY`), `virConnectDomainEventRegisterAny`.
    ///
    /// # Errors
    ///
    /// If the connection has ended or ends, or [`CALLS_MAX`](crate::limits::CALLS_MAX) calls are outstanding.
    pub async fn register(&mut self, kind: EventKind) -> Result<bool, Error> {
        let call = ConnectDomainEventCallbackRegisterAny { event: kind.id(), domain: None };
        let registered = self.call(&call).await;
        self.registered(kind, registered)
    }

    /// Registers for events of several kinds at once. Returns how many of them the daemon does not have.
    ///
    /// Procedure 316 (`CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY`), `virConnectDomainEventRegisterAny`.
    ///
    /// # Errors
    ///
    /// If the connection has ended or ends, or [`CALLS_MAX`](crate::limits::CALLS_MAX) calls are outstanding.
    pub async fn register_all(&mut self, kinds: &[EventKind]) -> Result<u32, Error> {
        let call = |kind: &EventKind| ConnectDomainEventCallbackRegisterAny { event: kind.id(), domain: None };
        let sent: Vec<_> =
            kinds.iter().map(|kind| Ok((*kind, self.send(&call(kind))?))).collect::<Result<_, Error>>()?;
        let mut refused = 0;
        for (kind, ticket) in sent {
            let registered = self.receive(ticket).await;
            refused += u32::from(!self.registered(kind, registered)?);
        }
        Ok(refused)
    }

    /// Handles the answer to a registration.
    fn registered(&mut self, kind: EventKind, answer: Result<i32, Error>) -> Result<bool, Error> {
        match answer {
            Ok(callback) => {
                self.events.register(callback, kind);
                Ok(true)
            }
            Err(Error::Libvirt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for the next event. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn next_event(&mut self) -> Result<Event, End> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// Polls for the next event, or the end of the connection. Poll an idle connection, too: this is how it answers the
    /// daemon's PINGs and learns of its end.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, End>> {
        loop {
            if let Some(event) = self.events.next() {
                return Poll::Ready(Ok(event));
            }
            ready!(self.poll_work(context))?;
        }
    }

    /// Events dropped so far: those for which there was no room, and those that nobody had registered for.
    #[must_use]
    pub const fn dropped_events(&self) -> u64 {
        self.events.dropped()
    }

    /// From now on ends the connection when the peer does not answer PINGs; `None` turns this off.
    ///
    /// Procedure 1 (`PING`) of the keepalive program, `virConnectSetKeepAlive`.
    pub fn keep_alive(&mut self, keepalive: Option<Keepalive>) {
        self.pings = keepalive.map(|keepalive| Pings::new(keepalive, Instant::now()));
    }

    /// Sets the connection's bounds from now on. Without this call, [`Bounds::default`] applies.
    pub fn bound(&mut self, bounds: Bounds) {
        self.inbound.share(bounds.room);
        self.events.bound(bounds.events);
        self.long_within = bounds.long_within;
    }

    /// Closes the connection gracefully: tells the daemon, and waits at most [`CLOSE_DEADLINE`] for its answer.
    /// Dropping a connection ends it, too, at once; a daemon may log that as an error.
    ///
    /// Procedure 2 (`CONNECT_CLOSE`), `virConnectClose`.
    pub async fn close(mut self) {
        // Whatever the result, the stream is closed after it.
        let _ = tokio::time::timeout(CLOSE_DEADLINE, self.call(&ConnectClose {})).await;
    }

    /// The stream.
    pub const fn stream(&self) -> &S {
        &self.stream
    }

    /// Works until it has handled a frame: ready with `Ok` when there may be news.
    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        if let Some(end) = &self.ended {
            return Poll::Ready(Err(end.clone()));
        }
        let worked = self.poll_stream(context);
        if let Poll::Ready(Err(end)) = &worked {
            self.ended = Some(end.clone());
        }
        worked
    }

    fn poll_stream(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            // The deadlines hold, however much is read.
            let now = Instant::now();
            self.demand(now)?;
            let admitted = self.pace.admits(now);
            if admitted {
                let header = self.inbound.header(|header| self.calls.expect(header))?;
                if let Some((header, body)) = header.and_then(|header| Some((header, self.inbound.body(header, now)?)))
                {
                    return Poll::Ready(self.take(header, body, now));
                }
            }
            // Flush after all received frames: one PONG answers all PINGs among them. Pending writes do not stop
            // reading.
            self.outbound.poll_flush(&mut self.stream, context, now)?;
            if admitted && let Poll::Ready(read) = self.inbound.poll_fill(&mut self.stream, context, now) {
                read?;
                if let Some(pings) = &mut self.pings {
                    pings.heard(now);
                }
                continue;
            }
            ready!(self.poll_timer(context));
        }
    }

    /// Handles a frame.
    fn take(&mut self, header: Header, body: Bytes, now: Instant) -> Result<(), End> {
        match header.kind {
            Kind::Reply => self.calls.answered(header.serial, Ok(body)),
            Kind::Failure => {
                let error = procedure::answer::<LibvirtError>(&body);
                let function = self.calls.function(header.serial);
                let error = error.map_err(|cause| Violation::Answer { function, cause })?;
                self.calls.answered(header.serial, Err(error));
            }
            Kind::Message => {
                self.pace.took(header.body, now);
                self.events.take(header.procedure, &body)?;
            }
            Kind::Keepalive => {
                self.pace.took(header.body, now);
                if header.procedure == PING {
                    self.outbound.pong();
                }
            }
        }
        Ok(())
    }

    /// The earliest moment at which something is due even if nothing comes.
    fn due(&self) -> Option<Instant> {
        let write = self.outbound.since().map(|since| since + WRITE_DEADLINE);
        let frame = self.inbound.since().map(|since| since + FRAME_DEADLINE);
        let long = self.inbound.long_since().map(|since| since + self.long_within);
        let ping = self.pings.as_ref().map(|pings| pings.due);
        [write, frame, long, ping, self.pace.until()].into_iter().flatten().min()
    }

    /// Does what is due.
    fn demand(&mut self, now: Instant) -> Result<(), End> {
        if self.outbound.since().is_some_and(|since| since + WRITE_DEADLINE <= now) {
            return Err(End::NotReading);
        }
        if self.inbound.since().is_some_and(|since| since + FRAME_DEADLINE <= now) {
            return Err(End::Unfinished);
        }
        if self.inbound.long_since().is_some_and(|since| since + self.long_within <= now) {
            return Err(End::Withheld(self.long_within));
        }
        if let Some(pings) = &mut self.pings {
            match pings.demand(now) {
                Some(true) => self.outbound.ping(),
                Some(false) => return Err(End::Mute(pings.settings())),
                None => {}
            }
        }
        Ok(())
    }

    /// Ready when something is due; pending, with the timer set, if not.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due() else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(context)
    }
}
