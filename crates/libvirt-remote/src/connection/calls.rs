//! The outstanding calls.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;

use crate::error::{Error, LibvirtError, Violation};
use crate::frame::{Header, Kind};
use crate::limits::{CALLS_MAX, ERROR_ANSWER_MAX, EVENT_MAX};
use crate::procedure::{Call, Procedure};

/// How many entries to keep room for while no call is outstanding. A connection makes more calls at once when it begins
/// than ever after.
const KEPT: usize = 4;

/// What a daemon answered: a body, or an error.
pub(super) type Answer = Result<Bytes, LibvirtError>;

/// A sent call. Its answer is kept until [`Connection::receive`](crate::Connection::receive) takes it.
pub struct Ticket<C> {
    pub(super) serial: u32,
    call: PhantomData<fn() -> C>,
}

impl<C> Ticket<C> {
    pub(super) const fn new(serial: u32) -> Self {
        Self { serial, call: PhantomData }
    }
}

impl<C: Call> fmt::Debug for Ticket<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ticket({} {})", C::PROCEDURE.function, self.serial)
    }
}

#[derive(Debug)]
enum State {
    /// It has no answer yet.
    Out,
    /// Nobody wants its answer any more.
    Forgotten,
    /// This is its answer.
    Answered(Answer),
}

#[derive(Debug)]
struct Entry {
    serial: u32,
    procedure: &'static Procedure,
    state: State,
}

/// The calls of one connection that are outstanding, or whose answer was not taken.
#[derive(Debug, Default)]
pub(super) struct Calls {
    entries: Vec<Entry>,
    last: u32,
}

impl Calls {
    /// Adds a call. Returns its serial.
    pub(super) fn begin(&mut self, procedure: &'static Procedure) -> Result<u32, Error> {
        if self.entries.len() >= CALLS_MAX {
            return Err(Error::TooManyCalls);
        }
        self.last = self.last.wrapping_add(1);
        self.entries.push(Entry { serial: self.last, procedure, state: State::Out });
        Ok(self.last)
    }

    fn find(&self, serial: u32) -> Option<usize> {
        self.entries.iter().position(|entry| entry.serial == serial)
    }

    /// The function of the call with this serial.
    pub(super) fn function(&self, serial: u32) -> &'static str {
        self.find(serial).map_or("a call", |at| self.entries[at].procedure.function)
    }

    /// Whether a frame with this header may come.
    pub(super) fn expect(&self, header: &Header) -> Result<(), Violation> {
        let length = header.body;
        match header.kind {
            Kind::Keepalive => Ok(()),
            Kind::Message if length > EVENT_MAX => Err(Violation::EventTooLong { length }),
            Kind::Message => Ok(()),
            Kind::Reply | Kind::Failure => {
                let (serial, procedure) = (header.serial, header.procedure);
                let called = self.find(serial).map(|at| &self.entries[at]);
                let waiting = called.filter(|entry| !matches!(entry.state, State::Answered(_)));
                let called = waiting.ok_or(Violation::Serial { serial })?.procedure;
                let function = called.function;
                if procedure != called.number {
                    return Err(Violation::Procedure { procedure, function });
                }
                let limit = if header.kind == Kind::Reply { called.answer_max } else { ERROR_ANSWER_MAX };
                if length > limit {
                    return Err(Violation::AnswerTooLong { function, length, limit });
                }
                Ok(())
            }
        }
    }

    /// Takes an answer that was [expected](Self::expect).
    pub(super) fn answered(&mut self, serial: u32, answer: Answer) {
        let Some(at) = self.find(serial) else { return };
        match &mut self.entries[at].state {
            State::Forgotten => drop(self.entries.swap_remove(at)),
            state => *state = State::Answered(answer),
        }
    }

    /// The answer to a call, if it is there.
    pub(super) fn take(&mut self, serial: u32) -> Option<Answer> {
        let at = self.find(serial)?;
        if !matches!(self.entries[at].state, State::Answered(_)) {
            return None;
        }
        let entry = self.entries.swap_remove(at);
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = Vec::new();
        }
        match entry.state {
            State::Answered(answer) => Some(answer),
            State::Out | State::Forgotten => None,
        }
    }

    /// Nobody wants the answer to this call any more.
    pub(super) fn forget(&mut self, serial: u32) {
        let Some(at) = self.find(serial) else { return };
        match &mut self.entries[at].state {
            State::Answered(_) => drop(self.entries.swap_remove(at)),
            state => *state = State::Forgotten,
        }
    }
}
